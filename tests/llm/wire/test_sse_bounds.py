from __future__ import annotations

import time
import tracemalloc

import pytest

from apps.llm.wire.sse import MAX_EVENT_BYTES, Decoder, EventTooLarge
from tests.each import each
from tests.llm.wire.reading import decode


class TestBound:
    @each("before", [b"", b"data: a\n\n"])
    @each("line_end", [b"\n", b"\r\n"])
    def test_a_line_may_take_all_of_it_and_not_a_byte_more(self, before, line_end):
        line = b"data: " + b"x" * (MAX_EVENT_BYTES - 6)
        assert decode([before, line + line_end * 2])[-1] == line[6:]

        decoder = Decoder()
        decoder.feed(before)
        with pytest.raises(EventTooLarge):
            decoder.feed(line + b"x" + line_end * 2)

    @each("step", [1000, 4096, MAX_EVENT_BYTES])
    def test_nor_when_it_comes_in_pieces(self, step):
        line = b"data: " + b"x" * (MAX_EVENT_BYTES - 6)
        pieces = [line[place : place + step] for place in range(0, len(line), step)]
        assert decode([*pieces, b"\n\n"]) == [line[6:]]

        decoder = Decoder()
        for piece in pieces:
            assert decoder.feed(piece) == []
        with pytest.raises(EventTooLarge):
            decoder.feed(b"x")

    def test_joined_data_is_bound_with_the_line_under_way(self):
        lines = b"data: aaaa\n" * 3  # 14 bytes of data, with their LFs

        assert decode([lines + b"data: x\n\n"], max_event_bytes=21) == [b"aaaa\naaaa\naaaa\nx"]
        with pytest.raises(EventTooLarge):
            decode([lines + b"data: xy\n\n"], max_event_bytes=21)

    @each("line", [b":", b"foo", b"event: ", b"id: ", b"\xef\xbb\xbf"])
    def test_every_kind_of_line_is_bound(self, line):
        with pytest.raises(EventTooLarge):
            decode([line, b"x" * 100], max_event_bytes=99)

    def test_data_lines_without_content_are_bound_too(self):
        with pytest.raises(EventTooLarge):
            decode([b"data\n" * 200], max_event_bytes=100)

    def test_events_before_it_in_the_same_read_are_not_lost(self):
        with pytest.raises(EventTooLarge, match="100 bytes") as caught:
            decode([b"data: a\n\ndata: b\n\ndata: " + b"x" * 100], max_event_bytes=100)

        assert caught.value.events == [b"a", b"b"]

    def test_it_is_final(self):
        decoder = Decoder(max_event_bytes=10)
        with pytest.raises(EventTooLarge):
            decoder.feed(b"data: " + b"x" * 100)
        with pytest.raises(EventTooLarge) as caught:
            decoder.feed(b"\n\ndata: a\n\n")

        assert caught.value.events == []
        assert isinstance(caught.value, ValueError)
        assert not decoder.close()

    @each("piece", [b"x" * 65_536, b"data:" + b"x" * 65_530 + b"\n"], ids=["line", "data"])
    def test_an_endless_event_never_holds_more_than_the_bound(self, piece):
        decoder, refused = Decoder(), 0
        tracemalloc.start()
        try:
            for _ in range(1024):
                try:
                    decoder.feed(piece)
                except EventTooLarge:
                    refused += 1
            held_bytes, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert refused == 1024 - 16
        assert peak_bytes < 3 * MAX_EVENT_BYTES  # while a growing buffer moves, it is there twice
        assert held_bytes < 65_536


class TestLinearTime:
    """Four times the bytes take some four times the time; anything quadratic takes sixteen times."""

    @staticmethod
    def spent_s(pieces: list[bytes]) -> float:
        spent_s = []
        for _ in range(3):
            decoder = Decoder()
            before_s = time.process_time()
            for piece in pieces:
                decoder.feed(piece)
            spent_s.append(time.process_time() - before_s)
        return min(spent_s)

    @each(
        "stream",
        [
            b"data: " + b"x" * 20_000,
            b"data: x\n" * 2_500,
            b"data: x\n\n" * 2_500,
            b"\r\n" * 10_000,
            b"\r" * 20_000,
            b"foo\n" * 5_000,
        ],
        ids=["one line", "data lines", "events", "blank CRLF", "blank CR", "unknown"],
    )
    def test_byte_by_byte(self, stream):
        one = self.spent_s([bytes([byte]) for byte in stream])
        four = self.spent_s([bytes([byte]) for byte in stream * 4])

        assert four < 10 * one

    @each("unit", [b"data: x\n", b"data: x\n\n", b"\n", b"data\n\r", b":\r\n"])
    def test_in_one_read(self, unit):
        one, four = unit * 20_000, unit * 80_000

        assert self.spent_s([four]) < 10 * self.spent_s([one])

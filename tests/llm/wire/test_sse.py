from __future__ import annotations

import re
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.llm.wire.json import dumps, loads
from apps.llm.wire.sse import (
    DONE,
    MAX_EVENT_BYTES,
    PING,
    Decoder,
    EventTooLarge,
    NamedEvent,
    encode_event,
    is_done,
)
from tests.llm.wire.cutting import cut
from tests.llm.wire.test_json import JSON_VALUES, whole

# Pieces of streams, legal and not, glued in any order.
PIECES = st.sampled_from(
    [
        b"data: ",
        b"data:",
        b"data",
        b"dat",
        b":",
        b": ping",
        b"event: error",
        b"event: message",
        b"event",
        b"id: 7",
        b"id: 7\0",
        b"id",
        b"retry: 3000",
        b"foo: bar",
        b"<html>",
        b'{"a":"b"}',
        b"[DONE]",
        b" ",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"\xef\xbb\xbf",
        b"\xef",
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"\x0b\x0c\x1c",
        b"\0",
        b"\xff",
    ]
)
STREAMS = st.lists(PIECES, max_size=40).map(b"".join)


def read_by_the_book(stream: bytes) -> tuple[list[tuple[str, bytes]], str]:
    """Decode a whole stream, clause by clause of the standard; events with empty data left out."""
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
    events, data, name, last_event_id = [], b"", "", ""
    for line in lines[:-1]:
        if line == b"":
            if data.removesuffix(b"\n"):
                events.append((name if name != "message" else "", data.removesuffix(b"\n")))
            data, name = b"", ""
        elif line[0:1] == b":":
            continue
        else:
            field, value = line.split(b":", 1) if b":" in line else (line, b"")
            value = value[1:] if value[0:1] == b" " else value
            if field == b"data":
                data += value + b"\n"
            elif field == b"event":
                name = value.decode(errors="replace")
            elif field == b"id" and b"\0" not in value:
                last_event_id = value.decode(errors="replace")
    return events, last_event_id


def decode(pieces: list[bytes], **options) -> list[bytes]:
    decoder = Decoder(**options)
    return [event for piece in pieces for event in decoder.feed(piece)]


def named(events: list[bytes]) -> list[tuple[str, bytes]]:
    return [(event.name if isinstance(event, NamedEvent) else "", bytes(event)) for event in events]


class TestAnyCut:
    @settings(deadline=None, max_examples=500)
    @given(st.data())
    def test_every_stream_reads_as_the_standard_has_it(self, data):
        stream = data.draw(STREAMS)
        decoder = Decoder()
        events = [event for piece in data.draw(cut(stream)) for event in decoder.feed(piece)]

        expected, last_event_id = read_by_the_book(stream)
        assert named(events) == expected
        assert decoder.last_event_id == last_event_id

    @settings(deadline=None, max_examples=200)
    @given(STREAMS)
    def test_byte_by_byte_reads_the_same_and_ends_the_same(self, stream):
        at_once, one_by_one = Decoder(), Decoder()
        events = at_once.feed(stream)

        assert [event for byte in stream for event in one_by_one.feed(bytes([byte]))] == events
        assert one_by_one.unknown_lines == at_once.unknown_lines
        assert one_by_one.close() == at_once.close()

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_the_bound_strikes_at_the_same_event(self, data):
        stream = data.draw(STREAMS)

        def read(pieces: list[bytes]) -> tuple[list[bytes], bool]:
            decoder, events = Decoder(max_event_bytes=12), []
            for piece in pieces:
                try:
                    events += decoder.feed(piece)
                except EventTooLarge as error:
                    return events + error.events, True
            return events, False

        assert read(data.draw(cut(stream))) == read([stream])

    @settings(deadline=None, max_examples=200)
    @given(st.data(), st.lists(JSON_VALUES, max_size=5), st.booleans())
    def test_what_is_encoded_decodes_to_itself(self, data, values, numbered):
        payloads = [dumps(value) for value in values]
        stream = b"".join(
            [encode_event(place if numbered else None, payload) for place, payload in enumerate(payloads)]
        )
        events = decode(data.draw(cut(stream)))

        assert events == payloads
        assert [loads(event) for event in events] == [whole(value) for value in values]

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_all_line_ends_agree(self, data):
        stream = data.draw(STREAMS.map(lambda stream: stream.replace(b"\r", b"")))
        expected = named(decode([stream]))

        for line_end in (b"\r\n", b"\r"):
            assert named(decode(data.draw(cut(stream.replace(b"\n", line_end))))) == expected


class TestDecoder:
    def test_a_lone_final_cr_ends_the_event_at_once(self):
        assert Decoder().feed(b"data: a\r\r") == [b"a"]

    def test_an_lf_after_a_cr_at_the_end_of_a_read_is_the_same_line_end(self):
        decoder = Decoder()

        assert decoder.feed(b"data: a\r") == []
        assert decoder.feed(b"\ndata: b\r") == []
        assert decoder.feed(b"") == []
        assert decoder.feed(b"\n\r") == [b"a\nb"]
        assert decoder.feed(b"\n") == []
        assert not decoder.close()

    @pytest.mark.parametrize("cut_at", [0, 1, 2, 3, 4])
    def test_one_leading_byte_order_mark_is_dropped_wherever_it_is_cut(self, cut_at):
        stream = b"\xef\xbb\xbfdata: a\n\n"

        assert decode([stream[:cut_at], stream[cut_at:]]) == [b"a"]

    def test_a_second_byte_order_mark_is_text(self):
        decoder = Decoder()

        assert decoder.feed(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == []
        assert decoder.unknown_lines == 2

    def test_torture_of_framing_gives_two_events_and_done(self):
        stream = (
            b'\xef\xbb\xbf:\r\ndata:{"id":"x","choices":[{"index":0,"delta":{"content":"a"}}]}\r\n\r\n'
            b'event: message\ndata: {"id":"x",\ndata: "choices":[{"index":0,"delta":{"content":"b"},'
            b'"finish_reason":"stop"}]}\nfoo: bar\n\ndata: [DONE] \n\n'
        )
        for pieces in ([stream], [bytes([byte]) for byte in stream]):
            first, second, done = decode(pieces)
            assert loads(first)["choices"][0]["delta"] == {"content": "a"}
            assert loads(second)["choices"][0]["finish_reason"] == "stop"
            assert is_done(done)
            assert not isinstance(second, NamedEvent)

    @pytest.mark.parametrize("text", ["\u2028", "\u2029", "\x85", "\x0b\x0c", "\x1c\x1d\x1e", "\0"])
    def test_only_cr_and_lf_end_lines(self, text):
        assert decode([b"data: a%bb\n\n" % text.encode()]) == [b"a%bb" % text.encode()]

    def test_the_plain_case_and_the_careful_one_agree(self):
        stream = b"".join([b'data: {"n":%d}\n\n' % n for n in range(50)])
        decoder = Decoder()
        careful = decoder.feed(stream)  # the first read may begin with a byte order mark
        plain = decoder.feed(stream)

        assert careful == plain == [b'{"n":%d}' % n for n in range(50)]

    @pytest.mark.parametrize(
        ("stream", "events"),
        [
            (b"data: a\ndata: b\n\n", [b"a\nb"]),
            (b"data: a\n\ndata: b\ndata: c\n\n", [b"a", b"b\nc"]),
            (b"data: a\n\n\ndata: b\n\n", [b"a", b"b"]),
            (b"data: a\n\n: keep-alive\n\ndata: b\n\n", [b"a", b"b"]),
            (b"data: \n\ndata: b\n\n", [b"b"]),
            (b"data: a\n\ndata:b\n\n", [b"a", b"b"]),
            (b"data:  a \n\n", [b" a "]),
            (b"data: a\n\ndata\n\n", [b"a"]),
            (b"data\ndata\n\n", [b"\n"]),
            (b"data: a\r\n\r\ndata: b\n\n", [b"a", b"b"]),
            (b"data: a\n\ndatadata: b\n\ndata: c\n\n", [b"a", b"c"]),
            (b"data: a\n\ndata : b\n\n", [b"a"]),
        ],
    )
    def test_reads_that_look_plain_are_read_with_care(self, stream, events):
        decoder = Decoder()
        decoder.feed(b"data: first\n\n")

        assert decoder.feed(stream) == events

    def test_a_read_that_begins_within_an_event_is_not_taken_for_plain(self):
        decoder = Decoder()

        assert decoder.feed(b"event: error\n") == []
        (event,) = decoder.feed(b"data: a\n\n")
        assert isinstance(event, NamedEvent)
        assert decoder.feed(b"data: a\n") == []
        assert decoder.feed(b"data: b\n\n") == [b"a\nb"]

    def test_a_named_event_says_its_name_and_the_next_is_unnamed(self):
        first, second, third = decode([b"event: error\ndata: a\n\ndata: b\n\nevent: message\ndata: c\n\n"])

        assert isinstance(first, NamedEvent)
        assert (first, first.name) == (b"a", "error")
        assert not isinstance(second, NamedEvent)
        assert not isinstance(third, NamedEvent)

    def test_an_id_persists_and_one_with_a_nul_is_ignored(self):
        decoder = Decoder()
        decoder.feed(b"id: 7\ndata: a\n\nid: 8\0\ndata: b\n\n")
        assert decoder.last_event_id == "7"
        decoder.feed(b"id\ndata: c\n\n")
        assert decoder.last_event_id == ""

    def test_long_names_and_ids_are_not_held(self):
        decoder = Decoder()
        (event,) = decoder.feed(b"id: 1\nid: %b\nevent: %b\ndata: a\n\n" % (b"x" * 1025, b"x" * 1025))

        assert not isinstance(event, NamedEvent)
        assert decoder.last_event_id == "1"

    def test_lines_of_no_field_are_counted(self):
        decoder = Decoder()

        assert decoder.feed(b"<html>\n<body>502: Bad Gateway</body>\n\n: ping\nretry: 5\nid: 1\n\n") == []
        assert decoder.unknown_lines == 2

    @pytest.mark.parametrize(
        ("stream", "unfinished"),
        [
            (b"", False),
            (b"\xef\xbb\xbf", False),
            (b"\xef\xbb", True),
            (b"data: a\n\n", False),
            (b"data: a\r\r", False),
            (b"data: a\n", True),
            (b"data: a", True),
            (b"data: a\n\ndata: {", True),
            (b"data: a\n\n: ping\n", False),
            (b"data: a\n\n: pi", True),
            (b"data: a\n\nupstream error: read ECONNRESET", True),
            (b"data: a\n\nupstream error: read ECONNRESET\n", True),
            (b'data: a\n\ndata: "\xe2\x80', True),
        ],
    )
    def test_close_says_whether_something_was_cut(self, stream, unfinished):
        for pieces in ([stream], [bytes([byte]) for byte in stream]):
            decoder = Decoder()
            for piece in pieces:
                decoder.feed(piece)
            assert decoder.close() is unfinished
            assert decoder.close() is False

    def test_a_closed_decoder_takes_no_more(self):
        decoder = Decoder()
        decoder.feed(b"data: a\n\n")
        decoder.close()

        with pytest.raises(ValueError, match="closed"):
            decoder.feed(b"data: a\n\n")


class TestBound:
    @pytest.mark.parametrize("before", [b"", b"data: a\n\n"])
    @pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
    def test_a_line_may_take_all_of_it_and_not_a_byte_more(self, before, line_end):
        line = b"data: " + b"x" * (MAX_EVENT_BYTES - 6)
        assert decode([before, line + line_end * 2])[-1] == line[6:]

        decoder = Decoder()
        decoder.feed(before)
        with pytest.raises(EventTooLarge):
            decoder.feed(line + b"x" + line_end * 2)

    @pytest.mark.parametrize("step", [1000, 4096, MAX_EVENT_BYTES])
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

    @pytest.mark.parametrize("line", [b":", b"foo", b"event: ", b"id: ", b"\xef\xbb\xbf"])
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

    def test_an_endless_line_never_holds_more_than_the_bound(self):
        decoder, piece = Decoder(), b"x" * 65_536
        tracemalloc.start()
        try:
            with pytest.raises(EventTooLarge):
                for _ in range(1024):
                    decoder.feed(piece)
            held_bytes, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

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

    @pytest.mark.parametrize(
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

    @pytest.mark.parametrize("unit", [b"data: x\n", b"data: x\n\n", b"\n", b"data\n\r", b":\r\n"])
    def test_in_one_read(self, unit):
        one, four = unit * 20_000, unit * 80_000

        assert self.spent_s([four]) < 10 * self.spent_s([one])


class TestEncoder:
    def test_bytes(self):
        assert encode_event(3, b'{"a":1}') == b'id: 3\ndata: {"a":1}\n\n'
        assert encode_event(None, b"{}") == b"data: {}\n\n"
        assert DONE == encode_event(None, b"[DONE]")
        assert PING == b": ping\n"

    @pytest.mark.parametrize("data", [b'{"id":"x",\n"a":1}', b"{\r\n}", b"a\rb"])
    def test_data_with_line_ends_stays_one_event(self, data):
        (event,) = decode([encode_event(1, data)])

        assert event == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def test_a_ping_among_events_is_nothing(self):
        assert decode([encode_event(1, b"{}"), PING, encode_event(2, b"{}"), PING, PING, DONE]) == [
            b"{}",
            b"{}",
            b"[DONE]",
        ]

    @pytest.mark.parametrize("data", [b"[DONE]", b" [DONE]", b"[DONE] ", b"[DONE]\n"])
    def test_done_is_recognised_with_stray_space(self, data):
        assert is_done(data)

    @pytest.mark.parametrize("data", [b"", b"{}", b'{"a":"[DONE]"}', b"[]"])
    def test_other_data_is_not_done(self, data):
        assert not is_done(data)

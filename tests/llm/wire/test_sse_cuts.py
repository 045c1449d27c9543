from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.llm.wire.json import dumps, loads
from apps.llm.wire.sse import Decoder, EventTooLarge, NamedEvent, encode_event
from tests.llm.wire.reading import decode
from tests.llm.wire.strategies import JSON_VALUES, cut, whole

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


def named(events: list[bytes]) -> list[tuple[str, bytes]]:
    return [(event.name if isinstance(event, NamedEvent) else "", bytes(event)) for event in events]


class TestAnyCut:
    @settings(max_examples=200)
    @given(st.data())
    def test_every_stream_reads_as_the_standard_has_it(self, data):
        stream = data.draw(STREAMS)
        decoder = Decoder()
        events = [event for piece in data.draw(cut(stream)) for event in decoder.feed(piece)]

        expected, last_event_id = read_by_the_book(stream)
        assert named(events) == expected
        assert decoder.last_event_id == last_event_id

    @settings(max_examples=100)
    @given(STREAMS)
    def test_byte_by_byte_reads_the_same_and_ends_the_same(self, stream):
        at_once, one_by_one = Decoder(), Decoder()
        events = at_once.feed(stream)

        assert [event for byte in stream for event in one_by_one.feed(bytes([byte]))] == events
        assert one_by_one.unknown_lines == at_once.unknown_lines
        assert one_by_one.close() == at_once.close()

    @settings(max_examples=100)
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

    @settings(max_examples=100)
    @given(st.data(), st.lists(JSON_VALUES, max_size=5), st.booleans())
    def test_what_is_encoded_decodes_to_itself(self, data, values, numbered):
        payloads = [dumps(value) for value in values]
        stream = b"".join(
            [encode_event(place if numbered else None, payload) for place, payload in enumerate(payloads)]
        )
        events = decode(data.draw(cut(stream)))

        assert events == payloads
        assert [loads(event) for event in events] == [whole(value) for value in values]

    @settings(max_examples=100)
    @given(st.data())
    def test_all_line_ends_agree(self, data):
        stream = data.draw(STREAMS.map(lambda stream: stream.replace(b"\r", b"")))
        expected = named(decode([stream]))

        for line_end in (b"\r\n", b"\r"):
            assert named(decode(data.draw(cut(stream.replace(b"\n", line_end))))) == expected

from __future__ import annotations

import pytest

from apps.llm.wire.json import loads
from apps.llm.wire.sse import Decoder, NamedEvent, is_done
from tests.each import each
from tests.llm.wire.reading import decode


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

    @each("cut_at", [0, 1, 2, 3, 4])
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

    @each("text", ["\u2028", "\u2029", "\x85", "\x0b\x0c", "\x1c\x1d\x1e", "\0"])
    def test_only_cr_and_lf_end_lines(self, text):
        assert decode([b"data: a%bb\n\n" % text.encode()]) == [b"a%bb" % text.encode()]

    def test_the_plain_case_and_the_careful_one_agree(self):
        stream = b"".join([b'data: {"n":%d}\n\n' % n for n in range(50)])
        decoder = Decoder()
        careful = decoder.feed(stream)  # the first read may begin with a byte order mark
        plain = decoder.feed(stream)

        assert careful == plain == [b'{"n":%d}' % n for n in range(50)]

    @each(
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

    def test_names_and_ids_of_a_kibibyte_are(self):
        decoder = Decoder()
        (event,) = decoder.feed(b"id: %b\nevent: %b\ndata: a\n\n" % (b"i" * 1024, b"e" * 1024))

        assert isinstance(event, NamedEvent)
        assert event.name == "e" * 1024
        assert decoder.last_event_id == "i" * 1024

    def test_lines_of_no_field_are_counted(self):
        decoder = Decoder()

        assert decoder.feed(b"<html>\n<body>502: Bad Gateway</body>\n\n: ping\nretry: 5\nid: 1\n\n") == []
        assert decoder.unknown_lines == 2

    @each(
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

from __future__ import annotations

from apps.llm.wire.sse import DONE, PING, encode_event, is_done
from tests.each import each
from tests.llm.wire.reading import decode


class TestEncoder:
    def test_bytes(self):
        assert encode_event(3, b'{"a":1}') == b'id: 3\ndata: {"a":1}\n\n'
        assert encode_event(None, b"{}") == b"data: {}\n\n"
        assert encode_event(None, b"[DONE]") == DONE
        assert PING == b": ping\n"

    @each("data", [b'{"id":"x",\n"a":1}', b"{\r\n}", b"a\rb"])
    def test_data_with_line_ends_stays_one_event(self, data):
        (event,) = decode([encode_event(1, data)])

        assert event == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def test_a_ping_among_events_is_nothing(self):
        assert decode([encode_event(1, b"{}"), PING, encode_event(2, b"{}"), PING, PING, DONE]) == [
            b"{}",
            b"{}",
            b"[DONE]",
        ]

    @each("data", [b"[DONE]", b" [DONE]", b"[DONE] ", b"[DONE]\n"])
    def test_done_is_recognised_with_stray_space(self, data):
        assert is_done(data)

    @each("data", [b"", b"{}", b'{"a":"[DONE]"}', b"[]"])
    def test_other_data_is_not_done(self, data):
        assert not is_done(data)

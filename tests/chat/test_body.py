"""Bodies: read to their bound, whatever the pieces, and not a message further than need be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.chat.body import MAX_BODY_BYTES, MAX_BODY_WITH_IMAGES_BYTES, Body, read_body

IMAGE = b'{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,'
DISCONNECT: Mapping[str, Any] = {"type": "http.disconnect"}


class Sent:
    """What a server hands over: the messages given, then silence. `asked` counts the calls."""

    def __init__(self, messages: Iterable[Mapping[str, Any]]) -> None:
        self._messages: Iterator[Mapping[str, Any]] = iter(messages)
        self.asked = 0
        self.bytes_taken = 0

    async def __call__(self) -> Mapping[str, Any]:
        self.asked += 1
        message = next(self._messages, None)
        if message is None:
            await asyncio.Event().wait()
            raise AssertionError
        self.bytes_taken += len(message.get("body", b""))
        return message


def scope(content_length: bytes | None = None) -> dict[str, Any]:
    return {"headers": [] if content_length is None else [(b"content-length", content_length)]}


def parts(*bodies: bytes) -> list[Mapping[str, Any]]:
    return [
        {"type": "http.request", "body": body, "more_body": index + 1 < len(bodies)}
        for index, body in enumerate(bodies)
    ]


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=8))
def test_any_pieces_are_joined(pieces: list[bytes]) -> None:
    sent = Sent(parts(*pieces))
    assert asyncio.run(read_body(scope(), sent)) == Body(data=b"".join(pieces))
    assert sent.asked == len(pieces)


@settings(max_examples=30)
@given(st.lists(st.integers(0, MAX_BODY_BYTES - 1), max_size=4), st.sampled_from([-1, 0, 1]))
def test_the_bound_is_exact_however_it_is_cut(cuts: list[int], beyond: int) -> None:
    size_bytes = MAX_BODY_BYTES + beyond
    edges = [0, *sorted(cuts), size_bytes]
    pieces = [b"a" * (end - start) for start, end in zip(edges, edges[1:], strict=False) if end >= start]
    body = asyncio.run(read_body(scope(), Sent(parts(*pieces))))
    assert body is not None
    assert (body.overflowed, len(body.data)) == ((True, 0) if beyond > 0 else (False, size_bytes))


async def test_a_message_may_leave_its_fields_out() -> None:
    assert await read_body(scope(), Sent([{"type": "http.request"}])) == Body(data=b"")


@pytest.mark.parametrize("before", [0, 1, 3])
async def test_a_client_that_leaves_has_no_body(before: int) -> None:
    pieces = [{"type": "http.request", "body": b"x", "more_body": True}] * before
    assert await read_body(scope(), Sent([*pieces, DISCONNECT])) is None


class TestImages:
    @pytest.mark.parametrize(("beyond", "overflowed"), [(0, False), (1, True)])
    async def test_have_a_bound_of_20_mib(self, beyond: int, overflowed: bool) -> None:
        piece = b"a" * (1024 * 1024)
        tail = b"a" * (MAX_BODY_WITH_IMAGES_BYTES + beyond - 19 * len(piece) - len(IMAGE))
        body = await read_body(scope(), Sent(parts(IMAGE, *[piece] * 19, tail)))
        assert body is not None
        assert body.overflowed is overflowed
        assert len(body.data) == (0 if overflowed else MAX_BODY_WITH_IMAGES_BYTES)

    async def test_are_seen_across_pieces(self) -> None:
        body = await read_body(scope(), Sent(parts(IMAGE[:40], IMAGE[40:48], IMAGE[48:] + b"a" * MAX_BODY_BYTES)))
        assert body is not None
        assert not body.overflowed

    async def test_that_show_themselves_past_the_first_mib_come_too_late(self) -> None:
        body = await read_body(scope(), Sent(parts(b"a" * (MAX_BODY_BYTES + 1), IMAGE)))
        assert body == Body(data=b"", overflowed=True)


class TestOverflow:
    async def test_a_declared_length_is_refused_before_a_byte_is_kept(self) -> None:
        sent = Sent(parts(b"a" * 100))
        declared = str(MAX_BODY_WITH_IMAGES_BYTES + 1).encode()
        assert await read_body(scope(declared), sent) == Body(data=b"", overflowed=True)

    @pytest.mark.parametrize("declared", [b"", b"-1", b"1e9", b"x", b"\xd9\xa3", b"0"])
    async def test_a_false_length_is_not_believed(self, declared: bytes) -> None:
        assert await read_body(scope(declared), Sent(parts(b"{}"))) == Body(data=b"{}")

    async def test_a_length_of_many_digits_costs_nothing(self) -> None:
        body = await read_body(scope(b"9" * 100_000), Sent(parts(b"{}")))
        assert body == Body(data=b"", overflowed=True)

    async def test_the_rest_is_read_for_a_while_and_then_left(self) -> None:
        piece = {"type": "http.request", "body": b"a" * 65_536, "more_body": True}
        sent = Sent(piece for _ in range(10_000))
        assert await read_body(scope(), sent) == Body(data=b"", overflowed=True)
        assert sent.bytes_taken < 2 * MAX_BODY_WITH_IMAGES_BYTES

    async def test_a_client_that_leaves_meanwhile_is_seen(self) -> None:
        over = {"type": "http.request", "body": b"a" * (MAX_BODY_BYTES + 1), "more_body": True}
        assert await read_body(scope(), Sent([over, DISCONNECT])) is None

    async def test_a_client_that_falls_silent_is_answered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("apps.chat.body._DISCARD_S", 0.01)
        over = {"type": "http.request", "body": b"a" * (MAX_BODY_BYTES + 1), "more_body": True}
        assert await read_body(scope(), Sent([over])) == Body(data=b"", overflowed=True)

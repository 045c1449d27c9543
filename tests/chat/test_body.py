"""Bodies: read to their bound, whatever the pieces, and not a message further than need be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.chat.body import (
    MAX_BODY_BYTES,
    MAX_BODY_WITH_IMAGES_BYTES,
    REFUSED,
    Body,
    answer_first,
)
from apps.llm.errors import HeadTooLarge
from tests.chat.reading import read_body
from tests.each import each

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


@each("before", [0, 1, 3])
async def test_a_client_that_leaves_has_no_body(before: int) -> None:
    pieces = [{"type": "http.request", "body": b"x", "more_body": True}] * before
    assert await read_body(scope(), Sent([*pieces, DISCONNECT])) is None


class TestImages:
    @each(("beyond", "overflowed"), [(0, False), (1, True)])
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
        assert body == Body(data=b"", overflowed=True, unread=True)


UNREAD = Body(data=b"", overflowed=True, unread=True)


class TestOverflow:
    @each("declared", [b"%d" % (MAX_BODY_WITH_IMAGES_BYTES + 1), b"9" * 100_000, b"0020971521"])
    async def test_a_declared_length_is_refused_before_a_byte_is_asked_for(self, declared: bytes) -> None:
        """Asking is what has a server write `100 Continue`."""
        sent = Sent(parts(b"a" * 100))
        assert await read_body(scope(declared), sent) == UNREAD
        assert sent.asked == 0

    async def test_one_that_only_images_may_have_is_refused_elsewhere(self) -> None:
        sent = Sent(parts(b"{}"))
        declared = scope(b"%d" % (MAX_BODY_BYTES + 1))
        assert await read_body(declared, sent, images=False) == UNREAD
        assert await read_body(declared, sent) == Body(data=b"{}")

    @each("declared", [b"", b"-1", b"1e9", b"x", b"\xd9\xa3", b"0"])
    async def test_a_false_length_is_not_believed(self, declared: bytes) -> None:
        assert await read_body(scope(declared), Sent(parts(b"{}"))) == Body(data=b"{}")

    async def test_nothing_is_read_behind_a_head_that_was_refused(self) -> None:
        sent = Sent(parts(b"{}"))
        body = await read_body({**scope(), REFUSED: HeadTooLarge()}, sent)
        assert (body, sent.asked) == (Body(data=b"", unread=True), 0)


class TestAnswerFirst:
    """What is left of a body that was refused is read behind the answer, for a while."""

    answer: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"type": "http.response.start", "status": 413, "headers": []},
        {"type": "http.response.body", "body": b"no"},
    )

    async def test_whole_answer_is_out_before_anything_is_read(self) -> None:
        sent = Sent(parts(b"a" * 9, b"b" * 9))
        said: list[tuple[int, Any, Any]] = []

        async def send(message: Mapping[str, Any]) -> None:
            said.append((sent.bytes_taken, message.get("body"), message.get("more_body")))

        _, send_first = answer_first({}, sent, send)
        for message in self.answer:
            await send_first(message)
        assert said == [(0, None, None), (0, b"no", True), (18, b"", False)]

    async def test_an_answer_in_pieces_is_one_answer(self) -> None:
        sent, said = Sent(parts(b"a")), []

        async def send(message: Mapping[str, Any]) -> None:
            said.append(sent.asked)

        _, send_first = answer_first({}, sent, send)
        for more in (True, True, False):
            await send_first({"type": "http.response.body", "body": b"x", "more_body": more})
        assert said == [0, 0, 0, 1]

    @pytest.mark.parametrize("end", ["flood", "leaves", "silence"])
    async def test_it_ends(self, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
        piece = {"type": "http.request", "body": b"a" * 65_536, "more_body": True}
        scenes: dict[str, list[Mapping[str, Any]]] = {
            "flood": [piece] * 10_000,
            "leaves": [piece, DISCONNECT],
            "silence": [piece],
        }
        messages = scenes[end]
        if end == "silence":
            monkeypatch.setattr("apps.chat.body._DISCARD_S", 0.01)
        sent, said = Sent(messages), []

        async def send(message: Mapping[str, Any]) -> None:
            said.append(message)

        _, send_first = answer_first({}, sent, send)
        await send_first(self.answer[1])
        assert [message["more_body"] for message in said] == [True, False]
        assert sent.bytes_taken < 2 * MAX_BODY_WITH_IMAGES_BYTES

    async def test_application_hears_nothing_more(self) -> None:
        async def send(message: Mapping[str, Any]) -> None:
            raise AssertionError(message)

        sent = Sent(parts(b"a"))
        hear, _ = answer_first({}, sent, send)
        hearing = asyncio.ensure_future(hear())
        await asyncio.sleep(0)
        assert (hearing.done(), sent.asked) == (False, 0)
        hearing.cancel()

"""Request bodies: read up to their bound, in their time, never past either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec

from apps.chat.begun import Rest, begin
from apps.core.loop_turns import LOOP_TURNS
from apps.core.memory_shares import HeldMemory, SharedMemory
from apps.llm.errors import (
    BodyTooLarge,
    Code,
    InvalidRequest,
    PromptCraftError,
    RequestTimeout,
    ServiceUnavailable,
    UnsupportedMediaType,
)
from apps.llm.wire.values import MAX_VALUES, most_values, values_exceed

__all__ = [
    "BODY_BYTES_PER_S",
    "BODY_S",
    "CALLER",
    "MAX_BODY_BYTES",
    "MAX_BODY_WITH_IMAGES_BYTES",
    "MOST_HELD_BYTES",
    "REFUSED",
    "Body",
    "answer_first",
    "crowded",
    "ended_at_bound",
    "held_meanwhile",
    "is_surely_small",
    "most_body_bytes",
    "read_body",
]

REFUSED = "promptcraft.refused"
"""The scope's place for the error of a request that no view is to see."""
CALLER = "promptcraft.caller"
"""The scope's place for on whose account a body is held: a user's, or a network's."""
MAX_BODY_BYTES = 1024 * 1024
MAX_BODY_WITH_IMAGES_BYTES = 20 * 1024 * 1024
BODY_S = 10.0
BODY_BYTES_PER_S = 128 * 1024
"""A body has so many seconds, and another one for so many bytes that came: a slow uplink passes, a drip does not."""
MOST_HELD_BYTES = 256 * 1024 * 1024
"""Of bodies that arrive, wait for their turn or have not been read yet, all together.

At the bound the largest of who holds most gets 503. Small ones, which come in one piece, are not counted.
"""
_IMAGE_MARK = b'"image_url"'
_DISCARD_BYTES = 32 * 1024 * 1024
_DISCARD_S = 1.0
"""A body that was refused is read on behind the answer for so long and no longer: closing on unread data would reset
the connection before most clients have read the answer. The bytes are more than a body just over its bound has."""

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_HELD = SharedMemory(MOST_HELD_BYTES)
_UNASKED_BYTES = 256 * 1024
"""What a server may read of a body that nobody has asked for yet: what comes with one look at a connection."""


class Body(msgspec.Struct, kw_only=True):
    """A request's body. `data` is empty if one of the others is true: then it has a `refusal`.

    Not frozen: it may be large, and what reads it lets it go before it waits for anything.
    """

    data: bytes | bytearray
    held: HeldMemory | None = None
    """What is counted of it until it is let go of."""
    overflowed: bool = False
    late: bool = False
    crowded: bool = False
    tangled: bool = False
    encoded: bool = False
    unread: bool = False
    """Whether more of it may be arriving: `answer_first` sees to that."""

    def let_go(self) -> None:
        """Hold nothing of it any more. Safe to call again."""
        self.data = b""
        if self.held is not None:
            self.held.close()

    def hand_over(self) -> HeldMemory | None:
        """Hold nothing of it any more; what is counted is the caller's to close, who goes on with what it said."""
        held, self.held = self.held, None
        self.data = b""
        return held

    @property
    def refusal(self) -> PromptCraftError | None:
        """Why it is not used, None if it may be. The connection ends with the answer then."""
        if self.encoded:
            return UnsupportedMediaType("Send the body as it is, without a Content-Encoding: it is not unpacked here.")
        if self.overflowed:
            return BodyTooLarge("The body is over 1 MiB (20 MiB with image parts). Send less.")
        if self.late:
            return RequestTimeout("The request's body did not arrive in time. Send it again.")
        if self.crowded:
            return crowded()
        if self.tangled:
            return InvalidRequest(
                f"The body holds more than {MAX_VALUES} values. Send a smaller JSON object.", code=Code.INVALID_JSON
            )
        return None


def is_surely_small(scope: Mapping[str, Any]) -> bool:
    """Tell whether a head says of its body that it needs no images to be as large as it is."""
    headers = dict(scope["headers"])
    return b"transfer-encoding" not in headers and _declared_bytes(headers) <= MAX_BODY_BYTES


def most_body_bytes(method: str, path: str) -> int:
    """Return the bound of a request's body; the path has its slash."""
    may_hold_images = method == "POST" and path.endswith("/chat/completions/")
    return MAX_BODY_WITH_IMAGES_BYTES if may_hold_images else MAX_BODY_BYTES


async def read_body(scope: Mapping[str, Any], receive: Receive, *, images: bool = True) -> Body | None:
    """Read the body; return None if the client left first. The caller lets it go.

    The bound is 1 MiB, or, where `images` may come, 20 MiB once an image part has shown itself within the first.
    Nothing is read of a body that is declared to be over it, nor behind a head that was refused.
    """
    if REFUSED in scope:
        return Body(data=b"", unread=True)
    most_bytes = MAX_BODY_WITH_IMAGES_BYTES if images else MAX_BODY_BYTES
    if _declared_bytes(dict(scope["headers"])) > most_bytes:
        return Body(data=b"", overflowed=True, unread=True)
    first = begin(receive())
    if not isinstance(first, Rest) and not first.get("more_body", False):
        # It is here already, as small ones are: no clock is needed.
        data: bytes = first.get("body", b"")
        if first["type"] == "http.disconnect":
            return None
        if len(data) <= MAX_BODY_BYTES:
            return _whole(scope, data, tangled=values_exceed(data))
    try:
        async with asyncio.timeout(BODY_S) as deadline:
            arriving = _HELD.open(scope.get(CALLER), partial(_end_now, deadline))
            message = await first if isinstance(first, Rest) else first
            return await _read(scope, receive, message, most_bytes, deadline, arriving)
    except TimeoutError:
        given_up = arriving.given_up
        arriving.close()
        return Body(data=b"", crowded=given_up, late=not given_up, unread=True)


@asynccontextmanager
async def held_meanwhile(scope: Mapping[str, Any]) -> AsyncIterator[None]:
    """Count what came of a request's body while it waits for something else. Raises ServiceUnavailable at the bound.

    What came is for its server to know: it is taken to be as much as one reads at once.
    """
    brought_bytes = _brought_bytes(scope)
    if not brought_bytes:
        yield
        return
    held = _HELD.open(scope.get(CALLER), _nothing)
    try:
        async with ended_at_bound(held):
            held.hold(brought_bytes)
            yield
    finally:
        held.close()


@asynccontextmanager
async def ended_at_bound(held: HeldMemory, told: Callable[[], None] | None = None) -> AsyncIterator[None]:
    """Cancel what is done inside if what is held has to make room, `told` first. Raises ServiceUnavailable then."""

    def given_up() -> None:
        if told is not None:
            told()
        _end_now(deadline)

    try:
        async with asyncio.timeout(None) as deadline:
            held.on_given_up = given_up
            try:
                yield
            finally:
                # Not where it was handed over meanwhile.
                if held.on_given_up is given_up:
                    held.on_given_up = _nothing
    except TimeoutError:
        raise crowded() from None


def _brought_bytes(scope: Mapping[str, Any]) -> int:
    headers = dict(scope["headers"])
    return _UNASKED_BYTES if b"transfer-encoding" in headers else min(_declared_bytes(headers), _UNASKED_BYTES)


def crowded() -> ServiceUnavailable:
    """Return the error of a body that makes room for others."""
    return ServiceUnavailable("Too many large requests are arriving at once. Try again shortly.", code=Code.OVERLOADED)


async def _read(
    scope: Mapping[str, Any],
    receive: Receive,
    message: Mapping[str, Any],
    most_bytes: int,
    deadline: asyncio.Timeout,
    arriving: HeldMemory,
) -> Body | None:
    held = bytearray()
    size_bytes = values = 0
    bound = MAX_BODY_BYTES
    first_deadline_s = deadline.when()
    assert first_deadline_s is not None
    body: Body | None = None
    try:
        while True:
            if message["type"] == "http.disconnect":
                return None
            part: bytes = message.get("body", b"")
            if part:
                held += part
                size_bytes += len(part)
                # Part by part: many megabytes at once would stop the loop for a tenth of a second.
                values += most_values(part)
            more: bool = message.get("more_body", False)
            if size_bytes > bound:
                if bound < most_bytes and _IMAGE_MARK in held:
                    bound = most_bytes
                if size_bytes > bound:
                    return Body(data=b"", overflowed=True, unread=more)
            arriving.hold(size_bytes)
            if arriving.given_up:
                return Body(data=b"", crowded=True, unread=more)
            if not more:
                if size_bytes > MAX_BODY_BYTES and values <= MAX_VALUES:
                    # Only we read it: no copy is made.
                    body = _whole(scope, held, tangled=False)
                else:
                    # Django and its like take bytes, and they are cheaper to look for strings in.
                    whole = bytes(held)
                    held.clear()
                    body = _whole(scope, whole, tangled=values > MAX_VALUES and values_exceed(whole))
                if body.data:
                    body.held = arriving
                return body
            deadline.reschedule(first_deadline_s + size_bytes / BODY_BYTES_PER_S)
            # Each piece has its turn, as each request has: a crowd's large bodies leave the loop to others.
            await LOOP_TURNS.wait(scope.get(CALLER))
            message = await receive()
    except PromptCraftError:
        return Body(data=b"", crowded=True, unread=True)
    finally:
        if body is None or body.held is None:
            arriving.close()


def _end_now(deadline: asyncio.Timeout) -> None:
    # One that is over this very moment ends by itself.
    if not deadline.expired():
        deadline.reschedule(asyncio.get_running_loop().time())


def _nothing() -> None:
    pass


def _declared_bytes(headers: Mapping[bytes, bytes]) -> int:
    declared = headers.get(b"content-length", b"")
    return int(declared[:20]) if declared.isdigit() else 0


def _whole(scope: Mapping[str, Any], data: bytes | bytearray, *, tangled: bool) -> Body:
    if data and _is_encoded(scope):
        return Body(data=b"", encoded=True)
    return Body(data=b"", tangled=True) if tangled else Body(data=data)


def _is_encoded(scope: Mapping[str, Any]) -> bool:
    """Tell whether a body is said to be compressed. Unpacking would let a few bytes take any amount of memory."""
    if b"content-encoding" not in dict(scope["headers"]):
        return False
    codings = (value.strip().lower() for name, value in scope["headers"] if name == b"content-encoding")
    return any(coding not in (b"", b"identity") for coding in codings)


def answer_first(scope: Mapping[str, Any], receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Return the two for an application that refuses a body of which more may be arriving.

    It hears nothing more; what still comes is read and dropped behind its answer, before the response ends.
    """
    caller = scope.get(CALLER)

    async def hear_nothing() -> Mapping[str, Any]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def send_first(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            await send({**message, "more_body": True})
            await _discard(receive, caller)
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    return hear_nothing, send_first


async def _discard(receive: Receive, caller: Hashable) -> None:
    discarded_bytes = 0
    try:
        async with asyncio.timeout(_DISCARD_S):
            while discarded_bytes < _DISCARD_BYTES:
                await LOOP_TURNS.wait(caller)
                message = await receive()
                discarded_bytes += len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    except (TimeoutError, PromptCraftError):
        pass

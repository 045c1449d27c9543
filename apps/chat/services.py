"""The one door to completions: HTTP views, WebSockets and the workbench all come through here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec

from apps.accounts.identity import Caller
from apps.chat.body import MAX_BODY_BYTES, Body
from apps.chat.engine.generation import Generation, Status, Stop
from apps.chat.engine.log import LogFull
from apps.chat.engine.log_memory import MemoryLog
from apps.chat.engine.reader import Reader
from apps.chat.engine.restored import RestoredLogs
from apps.chat.engine.supervisor import Command, Supervisor
from apps.chat.restore import restore_log
from apps.chat.runtime import get_supervisor
from apps.chat.store import StoredCompletion, completion_find_by_key, completion_get
from apps.limits.limiter import Window
from apps.llm.errors import (
    BodyTooLarge,
    Code,
    Conflict,
    Gone,
    InvalidRequest,
    NotFound,
    PromptCraftError,
    ServiceUnavailable,
    UnsupportedMediaType,
)
from apps.llm.providers.scenario import parse_scenario
from apps.llm.wire.openai import parse_request
from promptcraft.database import run_in_database

__all__ = ["Asked", "Opened", "cancel", "find", "open_completion", "parse_scenario", "resume", "window_of"]

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_THEIR_FAULT = frozenset({400, 404, 408, 413, 415})
"""A request that ends in one of these is counted."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a completion as it came in, authenticated and otherwise unchecked."""

    caller: Caller
    request_id: str
    body: Body
    content_type: str
    idempotency_key: str | None
    scenario: str | None
    on_begun: Callable[[Generation], None]
    """Told of the completion as soon as there is one, long before the answer may begin."""
    on_window: Callable[[Window], None]
    """Told how the caller's rate window stands by the step that looked at it: always, but for errors other than 429."""


class StoredHead(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a completion in front of its answer, which may be large."""

    id: str
    provider: str
    model: str
    fallback_count: int
    ignored: tuple[str, ...]


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A completion that was begun or attached to.

    `reader` is open: drive it or close it. `generation` is None for one that only the database still knows.
    """

    stream: bool | None
    """Whether it was asked for as a stream; None leaves it to the Accept header."""
    reader: Reader
    generation: Generation | None
    stored: StoredHead | None
    replayed: bool


async def window_of(caller: Caller) -> Window:
    """Say how the caller's rate window stands."""
    return await get_supervisor().limiter.look(caller.user_id)


async def open_completion(asked: Asked) -> Opened:
    """Begin a completion, or attach to the one that the same Idempotency-Key made.

    Returns once the answer may begin. Raises PromptCraftError; whatever fails before the first content through
    no fault of the caller gives the rate slot back, so often in a window (`apps.limits.refunds`).
    """
    supervisor = get_supervisor()
    user_id = asked.caller.user_id
    key = asked.idempotency_key
    if key is not None and (not _KEY.fullmatch(key) or asked.body.refusal is not None):
        key = None
    body_sha256 = ""
    if key is not None:
        body_sha256 = hashlib.sha256(asked.body.data).hexdigest()
        replay = await _replay(supervisor, asked, key, body_sha256)
        if replay is not None:
            return replay
    if supervisor.draining:
        raise ServiceUnavailable(
            "This server is shutting down. Try again: another one will answer.", code=Code.DRAINING
        )
    admission = await supervisor.limiter.admit(user_id)
    asked.on_window(admission.window)
    lease = admission.lease
    begun = None if key is None else supervisor.find_by_key(user_id, key)
    if begun is not None:
        # A request with the same key came in while this one was being admitted, and took what there was.
        if lease is not None:
            lease.give_back()
        return await _attached(asked, begun, body_sha256)
    if admission.refusal is not None:
        raise admission.refusal
    if lease is None:
        raise RuntimeError("an admission is a lease or a refusal")

    def on_failure(error: PromptCraftError) -> None:
        if error.http_status in _THEIR_FAULT:
            lease.release()
        else:
            lease.fail()

    try:
        command = _checked(asked, body_sha256)
        api_key = asked.caller.key
        plan = supervisor.chain.plan(command.request, allowed=() if api_key is None else api_key.models)
        generation = supervisor.admit(command, plan, lease)
        generation.hold_request(asked.body.hand_over())
    except PromptCraftError as error:
        on_failure(error)
        raise
    except BaseException:
        lease.fail()
        raise
    # It may fail long after the headers are out, and still before any content.
    generation.on_fruitless = on_failure
    asked.on_begun(generation)
    reader = generation.attach()
    supervisor.launch(generation)
    try:
        await _begun(generation)
    except BaseException:
        reader.close()
        raise
    return Opened(stream=command.request.stream, reader=reader, generation=generation, stored=None, replayed=False)


async def resume(*, caller: Caller, completion_id: str, after: int) -> Reader | None:
    """Return a reader from the event after an id on; None if it is finished and nothing is new.

    Raises NotFound, Gone if its events are no longer kept, or RateLimited if the caller has too many readers.
    """
    supervisor = get_supervisor()
    generation = supervisor.find(completion_id, caller.user_id)
    if generation is None:
        stored = await run_in_database(completion_get, completion_id=completion_id, user_id=caller.user_id)
        if stored is None:
            raise _absent()
        raise _gone()
    if generation.log.terminal is not None and after >= generation.log.last_id:
        return None
    return supervisor.join(generation, after)


def find_running(*, caller: Caller, completion_id: str) -> Generation | None:
    """Return a completion of the caller's if it runs or is kept."""
    return get_supervisor().find(completion_id, caller.user_id)


def answer_turn(caller: Caller) -> AbstractAsyncContextManager[None]:
    """Return a turn of the caller's to make a large answer. Entering raises RateLimited or ServiceUnavailable."""
    return get_supervisor().answer_turns.turn(caller.user_id)


async def find(*, caller: Caller, completion_id: str) -> Generation | StoredCompletion:
    """Return a completion of the caller's, running, kept or stored. Raises NotFound."""
    generation = get_supervisor().find(completion_id, caller.user_id)
    if generation is not None:
        return generation
    stored = await run_in_database(completion_get, completion_id=completion_id, user_id=caller.user_id)
    if stored is None:
        raise _absent()
    return stored


async def cancel(*, caller: Caller, completion_id: str) -> Generation | StoredCompletion:
    """Stop a completion of the caller's and return it settled. Again is fine; Conflict if it finished by itself."""
    found = await find(caller=caller, completion_id=completion_id)
    if isinstance(found, Generation):
        found.stop(Stop.CANCELLED)
        await found.done.wait()
    if found.status != Status.CANCELLED.value:
        raise Conflict("This completion has finished already; there is nothing to cancel.")
    if isinstance(found, Generation) and found.unrecorded is not None:
        raise found.unrecorded
    return found


def _checked(asked: Asked, body_sha256: str) -> Command:
    if asked.content_type.partition(";")[0].strip().lower() not in ("application/json", ""):
        raise UnsupportedMediaType("Send the body as `Content-Type: application/json`.")
    if asked.body.refusal is not None:
        raise asked.body.refusal
    if asked.idempotency_key is not None and not _KEY.fullmatch(asked.idempotency_key):
        raise InvalidRequest("An Idempotency-Key is 1 to 255 printable ASCII characters.", param="Idempotency-Key")
    request = parse_request(asked.body.data)
    if len(asked.body.data) > MAX_BODY_BYTES and not request.has_images:
        raise _too_large()
    return Command(
        user_id=asked.caller.user_id,
        request_id=asked.request_id,
        request=request,
        idempotency_key=asked.idempotency_key or "",
        body_sha256=body_sha256,
        scenario=None if asked.scenario is None else parse_scenario(asked.scenario),
    )


async def _begun(generation: Generation) -> None:
    """Wait until the answer may begin. Raises what it failed with, if headers were not released before."""
    await generation.ready.wait()
    if generation.error is not None and not generation.headers_released:
        raise generation.error


async def _replay(supervisor: Supervisor, asked: Asked, key: str, body_sha256: str) -> Opened | None:
    user_id = asked.caller.user_id
    generation = supervisor.find_by_key(user_id, key)
    found: tuple[str, str] | None = None
    if generation is None or generation.unrecorded is not None:
        found = await run_in_database(completion_find_by_key, user_id=user_id, idempotency_key=key)
        # It may have begun while the database was asked.
        generation = supervisor.find_by_key(user_id, key)
    if generation is not None and (found is None or generation.unrecorded is None):
        return await _attached(asked, generation, body_sha256)
    if found is None:
        return None
    completion_id, former_sha256 = found
    _same_body(former_sha256, body_sha256)
    asked.on_window(await window_of(asked.caller))
    stream = parse_request(asked.body.data).stream
    asked.body.let_go()
    # Before the answer is read, which may be large.
    give_back = supervisor.take_reader(user_id)
    try:
        async with supervisor.answer_turns.turn(user_id):
            stored, log = await run_in_database(_stored_with_log, completion_id, user_id, supervisor.restored)
            reader = supervisor.join_restored(completion_id, user_id, log, give_back)
    except BaseException:
        give_back()
        raise
    return Opened(stream=stream, reader=reader, generation=None, stored=stored, replayed=True)


def _gone() -> Gone:
    return Gone("The events of this completion are no longer kept. GET /api/v2/chat/completions/{id}/ has its text.")


def _stored_with_log(completion_id: str, user_id: int, restored: RestoredLogs) -> tuple[StoredHead, MemoryLog]:
    """Return what is said of a completion, and its log, made anew unless it is still there. Raises NotFound, Gone."""
    stored = completion_get(completion_id=completion_id, user_id=user_id)
    if stored is None:
        raise _absent()
    head = StoredHead(
        id=stored.id,
        provider=stored.provider,
        model=stored.model,
        fallback_count=max(0, len(stored.attempts) - 1),
        ignored=tuple(stored.attempts[-1].get("ignored", ())) if stored.attempts else (),
    )
    try:
        return head, restored.find(completion_id) or restore_log(stored)
    except LogFull:
        raise _gone() from None


async def _attached(asked: Asked, generation: Generation, body_sha256: str) -> Opened:
    """Return a reader of a completion that another request with the same key began.

    Raises Conflict, RateLimited if the caller has too many readers, or what the completion failed with.
    """
    _same_body(generation.order.body_sha256, body_sha256)
    asked.body.let_go()
    asked.on_window(await window_of(asked.caller))
    reader = get_supervisor().join(generation)
    asked.on_begun(generation)
    try:
        await _begun(generation)
    except BaseException:
        reader.close()
        raise
    return Opened(stream=generation.order.stream, reader=reader, generation=generation, stored=None, replayed=True)


def _same_body(known_sha256: str, body_sha256: str) -> None:
    if known_sha256 != body_sha256:
        raise Conflict(
            "This Idempotency-Key was used with another body. Use a new key for a new request.",
            code=Code.IDEMPOTENCY_CONFLICT,
        )


def _too_large() -> BodyTooLarge:
    return BodyTooLarge("The body is over 1 MiB (20 MiB with image parts). Send less.")


def _absent() -> NotFound:
    return NotFound("There is no such completion.")

"""What a provider sends: bytes, lines, every member of an event and of the provider's protocol, whole answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import httpx

from apps.chat.engine.exchange import Exchange
from apps.chat.engine.log_memory import MemoryLog
from apps.chat.engine.reader import QUEUE_BYTES
from apps.chat.engine.record import Attempt
from apps.chat.engine.stamp import Stamp
from apps.llm.errors import ProviderError
from apps.llm.providers import DIALECTS, ProviderConfig
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from apps.llm.providers.push_connection import MOST_TURN_BYTES, Connection
from apps.llm.providers.push_stream import PushResponse
from apps.llm.wire.openai import assembling
from apps.llm.wire.shaping import Shaping
from apps.llm.wire.sse import Decoder
from tests.doors.growth.growing import Growing, Work
from tests.doors.growth.shapes import SHAPES
from tests.llm.providers.asking import call_of, request_of

if TYPE_CHECKING:
    # Valgrind would take seconds to import it, and needs no application.
    from tests.doors.growth.application import Application

__all__ = ["MEMBERS_OF_EVENTS", "MEMBERS_OF_PROVIDERS", "answer_doors", "event_doors"]

_SIZE = 200
_FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'

Value = Callable[[int], Any]


def _delta(**members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": members, "finish_reason": None}]}


def _call(index: int = 0, arguments: str = "x") -> dict[str, Any]:
    return {"index": index, "id": f"call-{index}", "function": {"name": "f", "arguments": arguments}}


def _choice(**members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None, **members}]}


MEMBERS_OF_EVENTS: Mapping[str, Mapping[str, Value]] = {
    "content": {
        "text": lambda size: _delta(content=_text(size)),
        "parts": lambda size: _delta(content=[{"type": "text", "text": "x"}] * size),
    },
    "reasoning": {"text": lambda size: _delta(reasoning_content=_text(size))},
    "refusal": {"text": lambda size: _delta(refusal=_text(size))},
    "tool_calls": {
        "calls of an event": lambda size: _delta(tool_calls=[_call(number) for number in range(size)]),
        "arguments": lambda size: _delta(tool_calls=[_call(arguments=_text(size))]),
    },
    "extra": {
        "log probabilities": lambda size: _choice(logprobs={"content": [{"token": "x", "logprob": 0.5}] * size}),
        "members": lambda size: _choice(**{f"a{number}": number for number in range(size)}),
    },
    "finish_reason": {"word": lambda size: _choice(finish_reason=_text(size))},
    "native_finish_reason": {"word": lambda size: _choice(finish_reason="x" * size)},
    "usage": {
        "members": lambda size: {"choices": [], "usage": {f"a{number}": number for number in range(size)}},
        "digits": lambda size: {"choices": [], "usage": {"prompt_tokens": int("9" * size)}},
    },
    "error": {
        "message": lambda size: {"error": {"message": _text(size), "code": _text(size), "param": _text(size)}},
        "members": lambda size: {"error": {f"a{number}": number for number in range(size)}},
    },
    "system_fingerprint": {"text": lambda size: {**_delta(content="x"), "system_fingerprint": _text(size)}},
}
"""By what is read of an event (`Chunk`): how each grows in one event. As many events as there are is grown below."""

_LINES: Mapping[str, Callable[[int], bytes]] = {
    "blank lines": lambda size: b"\n" * size,
    "carriage returns": lambda size: b"\r" * size,
    "comments": lambda size: b":\n" * size,
    "data lines of one event": lambda size: b"data: \n" * size + b"\n",
    "event names": lambda size: b"event: a\n" * size,
    "ids": lambda size: b"id: 1\n" * size,
    "retries": lambda size: b"retry: 1\n" * size,
    "unknown lines": lambda size: b"<p>\n" * size,
    "a line that never ends": lambda size: b"data: " + b"a" * size,
    "empty events": lambda size: b"data:\n\n" * size,
    "text events": lambda size: _events(_delta(content="x y") for _ in range(size)) + _FINISH,
    "text events that differ": lambda size: (
        _events({**_delta(content="x"), "id": str(number)} for number in range(size)) + _FINISH
    ),
    "thoughts and text by turns": lambda size: (
        _events(_delta(**{("content", "reasoning_content")[number % 2]: "x"}) for number in range(size)) + _FINISH
    ),
    "fragments of a tool call": lambda size: _events(_delta(tool_calls=[_call()]) for _ in range(size)) + _FINISH,
    "tool calls": lambda size: _events(_delta(tool_calls=[_call(number)]) for number in range(size)) + _FINISH,
    "log probabilities": lambda size: _events(_choice(logprobs={"content": [1]}) for _ in range(size)) + _FINISH,
    "usage": lambda size: _events({"choices": [], "usage": {"prompt_tokens": 1}} for _ in range(size)),
    "events after the finish": lambda size: _FINISH + _events(_delta(content="x") for _ in range(size)),
}

_HEADS: Mapping[str, Callable[[int], bytes]] = {
    "headers": lambda size: b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * size + b"\r\n",
    "a header": lambda size: b"HTTP/1.1 200 OK\r\na: " + b"b" * size + b"\r\n\r\n",
    "answers before the answer": lambda size: b"HTTP/1.1 100 Continue\r\n\r\n" * size + b"HTTP/1.1 200 OK\r\n\r\n",
    "chunks": lambda size: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n\n\r\n" * size + b"0\r\n\r\n"
    ),
    "extensions of a chunk": lambda size: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * size + b"\r\n\n\r\n"
    ),
    "trailers": lambda size: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * size + b"\r\n"
    ),
    "a body": lambda size: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, b"\n" * size),
    "what follows an answer": lambda size: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + b"a" * size,
}

_INTENTS: Mapping[str, Callable[[int], str]] = {
    **SHAPES,
    "a fence": lambda size: "```json" + "\n" * size + "a",
    "alternatives": lambda size: json.dumps(
        {"category": "seo", "confidence": 1, "alternatives": [{"category": "blog_post", "confidence": 1}] * (size // 8)}
    ),
    "entities": lambda size: json.dumps(
        {"category": "seo", "confidence": 1, "entities": {"tone": "a" * (size // 8), "product": "b" * size}}
    ),
}

_SHAPINGS: Mapping[str, Shaping] = {
    "stop strings": Shaping(stop=("a" * 50 + "b", "ab", "\n")),
    "text in the place of a call": Shaping(answer_tool="answer"),
}

MEMBERS_OF_PROVIDERS: Mapping[str, str] = {
    "name": "a constant",
    "mock": "a constant",
    "default_model": "set by the operator",
    "models": "the catalogue, a constant of the vendor's file",
    "aclose": "nothing is given to it",
    "resolve": "model names",
    "lacks": "requests",
    "doubts": "requests",
    "ignored": "requests",
    "price_percent": "it looks for one name",
    "shaping": "requests; what it says is done to the events of a shaped answer",
    "classify_stream_error": "`error` of an event",
    "run": "everything that is fed, and what is fed from",
}
"""What can grow of each member of the provider's protocol, or why nothing can."""


def event_doors() -> Iterator[Growing]:
    """Yield whatever can grow of what a provider sends."""
    for member, values in MEMBERS_OF_EVENTS.items():
        for name, value in values.items():
            yield _growing("an event", f"{member}: {name}", {"": partial(_one_event, value)})
    for name, lines in _LINES.items():
        yield _growing(
            "a stream", name, {"at once": partial(_stream, lines), "a byte at a time": partial(_drip, lines)}
        )
    for name, shaping in _SHAPINGS.items():
        yield _growing(
            "a shaped answer",
            name,
            {"at once": partial(_shaped, shaping, 1), "in pieces": partial(_shaped, shaping, 40)},
        )
    for name, head in _HEADS.items():
        yield _growing("a connection", name, {"at once": partial(_connection, head)})
    yield _growing("a provider", "JSON in the place of a stream", {"": _whole_json})
    yield _growing("a provider", "the body of a refusal", {"": _refusal})
    for vendor in DIALECTS:
        yield _growing(f"the {vendor} dialect", "messages", {"": partial(_dialect_body, vendor)})
        yield _growing(f"the {vendor} dialect", "model", {"": partial(_dialect_model, vendor)})


def answer_doors(application: Application) -> Iterator[Growing]:
    """Yield what can grow of the answers that the workbench reads itself."""
    yield Growing(
        door="a model's answer about intent",
        thing="text",
        size=_SIZE,
        works={form: partial(_answered, application, "intent", "query", text) for form, text in _INTENTS.items()},
    )
    yield Growing(
        door="a model's rewrite",
        thing="text",
        size=_SIZE,
        works={
            form: partial(_answered, application, "optimize", "prompt", SHAPES[form])
            for form in ("lines", "line ends", "quotations", "placeholders", "one word again and again")
        },
    )


def _growing(door: str, thing: str, works: Mapping[str, Callable[[int], Work]]) -> Growing:
    return Growing(door=door, thing=thing, size=_SIZE, works=works)


def _text(size: int) -> str:
    return SHAPES["words"](size)


def _events(events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


# --- an exchange of the engine's


def _exchange(shaping: Shaping | None = None) -> tuple[Exchange, MemoryLog]:
    provider = OpenAICompatibleProvider(DIALECTS["openai"], ProviderConfig(api_key="key"))
    log = MemoryLog()
    exchange = Exchange(
        provider=provider,
        attempt=Attempt(provider="openai", model="model", started_at=0, started_monotonic=0),
        stamp=Stamp(log, completion_id="chatcmpl-1", created=1),
        log=log,
        clock=time.monotonic,
        on_first_content=lambda: None,
        shaping=shaping,
    )
    return exchange, log


def _read(log: MemoryLog) -> None:
    """Do what is done with an answer: replay it, and put it together."""
    after = 0
    while after < log.last_id:
        _, after = log.replay(after, QUEUE_BYTES)
    for _ in assembling(log.parts()):
        pass


def _fed(pieces: Any, shaping: Shaping | None = None) -> Work:
    exchange, log = _exchange(shaping)

    def work() -> None:
        try:
            for piece in pieces:
                exchange.feed(piece)
        except ProviderError:
            pass
        _read(log)

    return work


def _one_event(value: Value, size: int) -> Work:
    # The first is read as any is; those behind it by what was learnt from it.
    return _fed([_events([value(size)] * 3) + _FINISH])


def _shaped(shaping: Shaping, pieces: int, size: int) -> Work:
    # Letters that may begin a stop string, and never are one.
    return _fed([_events([_delta(content="a" * (size // pieces))]) for _ in range(pieces)] + [_FINISH], shaping)


def _stream(lines: Callable[[int], bytes], size: int) -> Work:
    return _fed([lines(size)])


def _drip(lines: Callable[[int], bytes], size: int) -> Work:
    data = lines(size // 8)
    return _fed([data[at : at + 1] for at in range(len(data))])


# --- a connection


class _Wire:
    def write(self, data: bytes) -> None:
        return

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return

    def abort(self) -> None:
        return

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> None:
        return


class _Keeper:
    def keep(self, connection: Connection) -> None:
        return

    def forget(self, connection: Connection) -> None:
        return


def _connection(head: Callable[[int], bytes], size: int) -> Work:
    # Some are to take several turns of the loop.
    data = head(size * MOST_TURN_BYTES // 2048)

    async def work() -> None:
        connection = Connection(_Keeper(), (b"http", "nowhere", 80))
        connection.connection_made(cast(Any, _Wire()))
        asking = asyncio.ensure_future(connection.exchange(b"a", write_timeout_s=None, read_timeout_s=None))
        await asyncio.sleep(0)
        connection.data_received(data)
        for _ in range(len(data) // MOST_TURN_BYTES + 1):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        try:
            answered: PushResponse = await asking
            await answered.stream.push(Decoder().feed)  # type: ignore[arg-type]
        except httpx.TransportError:
            pass

    return work


# --- a provider


def _provider(status: int, body: bytes) -> OpenAICompatibleProvider:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body, headers={"Content-Type": "application/json"})

    return OpenAICompatibleProvider(
        DIALECTS["openai"], ProviderConfig(api_key="key"), transport=httpx.MockTransport(answer)
    )


def _run(status: int, body: bytes) -> Work:
    provider = _provider(status, body)
    target = provider.resolve(None)
    assert target is not None
    call = call_of(target)
    exchange, log = _exchange()

    async def work() -> None:
        try:
            await provider.run(call, exchange)
        except ProviderError:
            pass
        _read(log)

    return work


def _whole_json(size: int) -> Work:
    message = {"role": "assistant", "content": _text(size)}
    return _run(200, json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode())


def _refusal(size: int) -> Work:
    return _run(400, json.dumps({"error": {"message": _text(size), "param": _text(size)}}).encode())


def _dialect_body(vendor: str, size: int) -> Work:
    dialect = DIALECTS[vendor]
    call = call_of(
        dialect.target(dialect.default_model), messages=[{"role": "user", "content": "a"}] * size, stop=["a"]
    )
    return partial(dialect.body, call)


def _dialect_model(vendor: str, size: int) -> Work:
    dialect = DIALECTS[vendor]
    name = dialect.prefixes[0] + "a" * size
    request = request_of()

    def work() -> None:
        dialect.knows(name)
        dialect.lacks(request, dialect.target(name))

    return work


# --- answers of the workbench's


def _answered(application: Application, route: str, member: str, text: Callable[[int], str], size: int) -> Work:
    async def work() -> None:
        application.model.answer = _events([_delta(content=text(size))]) + _FINISH
        try:
            await application.ask("POST", f"/api/v2/prompts/{route}/", {member: "write a post about dogs"})
        finally:
            application.model.answer = b""

    return work

"""The provider for every vendor that speaks OpenAI's chat format over HTTP. It and its transport alone import httpx.

One `run` is one POST and one answer. It goes to the transport directly: an httpx client would keep cookies
between users, log URLs and add its own headers, and there is no redirect, proxy or retry for it to manage.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from typing import Any

import httpx

from apps.llm.errors import Failure, ProviderError
from apps.llm.providers.base import Call, ModelFacts, ProviderConfig, Sink, Target, TransportKind
from apps.llm.providers.dialect import Dialect
from apps.llm.providers.push_connection import MOST_TURN_BYTES
from apps.llm.providers.push_stream import PushResponse, PushStream
from apps.llm.providers.push_transport import Endpoint, PushTransport
from apps.llm.providers.refusal import read_refusal, read_retry_after
from apps.llm.wire.json import dumps, loads
from apps.llm.wire.openai import CompletionRequest
from apps.llm.wire.shaping import Shaping
from apps.llm.wire.sse import MAX_EVENT_BYTES
from apps.llm.wire.values import values_exceed

__all__ = ["Dialect", "OpenAICompatibleProvider", "ProviderConfig"]

_ERROR_BODY_BYTES = 64 * 1024
# A provider that refuses and then dawdles is not worth the client's time: its status says enough.
_ERROR_BODY_TIMEOUT_S = 5.0
# With the empty lines that a vendor sends to keep the connection alive; what they stand before is one event.
_JSON_BODY_BYTES = 8 * 1024 * 1024
_WRITE_TIMEOUT_S = 30.0
_BOM = b"\xef\xbb\xbf"
_BEGINS_JSON = (b"{", b"[")
_BEGINS_STREAM = (b":", b"data:", b"event:", b"id:", b"retry:")
_TELLING_BYTES = max(map(len, _BEGINS_STREAM))


class OpenAICompatibleProvider:
    """A vendor, its key and its connections.

    `transport` is for tests and for other transports; the provider owns it either way and closes it in `aclose`.
    Connections are not capped: admission is the engine's.
    """

    mock = False

    def __init__(
        self,
        dialect: Dialect,
        config: ProviderConfig,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        error_body_timeout_s: float = _ERROR_BODY_TIMEOUT_S,
    ) -> None:
        if config.api_key is None and dialect.needs_key:
            raise ValueError(f"{dialect.name} has no API key")
        self.name = dialect.name
        self._dialect = dialect
        self._default = dialect.target(config.model or dialect.default_model)
        self.default_model = self._default.model
        self._configured_model = config.model
        self._listed = {
            name: dialect.target(name) for name in (*dialect.aliases, *(facts.id for facts in dialect.catalogue))
        }
        self._url = _completions_url(config.base_url or dialect.base_url)
        self._headers = {
            **({} if config.api_key is None else {"Authorization": f"Bearer {config.api_key}"}),
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": "promptcraft",
        }
        # No read timeout: the engine's watchdogs count content, which the transport cannot see.
        timeouts = {"connect": config.connect_timeout_s, "read": None, "write": _WRITE_TIMEOUT_S, "pool": None}
        self._extensions = {"timeout": timeouts}
        self._error_body_timeout_s = error_body_timeout_s
        self._transport = transport or _transport(config.transport)
        self._endpoint: Endpoint | None = None
        if isinstance(self._transport, PushTransport):
            self._endpoint = self._transport.endpoint(self._request(b""))
        self._exchanges: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        """Show the vendor and its model, nothing that is secret."""
        return f"<{type(self).__name__} {self.name} {self.default_model}>"

    def resolve(self, model: str | None, *, by_name: bool = False) -> Target | None:
        """Return the target for a model name or alias, for the default if None; None if it is not this vendor's.

        `by_name`: the client names this provider too.
        """
        if model is None or model == self._configured_model:
            return self._default
        listed = self._listed.get(model)
        if listed is not None:
            return listed
        knows = self._dialect.knows_by_name if by_name else self._dialect.knows
        return self._dialect.target(model) if knows(model) else None

    def models(self) -> tuple[ModelFacts, ...]:
        """Return the catalogue, the configured default included."""
        catalogue = self._dialect.catalogue
        if self._default.facts is not None:
            return catalogue
        unknown = ModelFacts(id=self.default_model, context_window_tokens=0, max_output_tokens=0, created=0)
        return (unknown, *catalogue)

    def lacks(self, request: CompletionRequest, target: Target) -> str | None:
        """Name the first request field that the target cannot serve, None if it can serve them all."""
        return self._dialect.lacks(request, target)

    def doubts(self, request: CompletionRequest, target: Target) -> bool:
        """Whether the target may refuse what the request needs, though nobody says so for certain."""
        return self._dialect.doubts(request, target)

    def ignored(self, request: CompletionRequest, target: Target) -> tuple[str, ...]:
        """Name the fields of the request that have no effect on the target's answer."""
        return self._dialect.ignored(request, target)

    def shaping(self, request: CompletionRequest, target: Target) -> Shaping | None:
        """Say what is to be done with the target's answer to make it what was asked for; None for nothing."""
        return self._dialect.shaping(request, target)

    def price_percent(self, request: CompletionRequest) -> int | None:
        """Return how much of the listed price the request costs by what it asks for; None if that is not known."""
        return self._dialect.price_percent(request)

    def classify_stream_error(self, error: Mapping[str, Any]) -> ProviderError:
        """Say what the `error` object of an event inside a 200 means."""
        return self._dialect.classify(read_refusal(error, status=None))

    async def run(self, call: Call, sink: Sink) -> None:
        """Ask upstream and feed the sink until the stream ends; close the connection on every way out.

        Raises ProviderError, and whatever the sink raises. Cancelling it closes the connection at once; cancelling
        it again meanwhile cannot leave a stream running that is paid for and read by nobody.
        """
        if self._endpoint is None:
            apart = self._run_apart(call, sink)
            del call
            await apart
            return
        # The connections of our transport close in one step, which nothing can interrupt.
        task = asyncio.current_task()
        assert task is not None
        self._exchanges.add(task)
        exchange = self._exchange(call, sink)
        # Nothing keeps the request, which may be large, while the answer comes.
        del call
        try:
            await exchange
        finally:
            self._exchanges.discard(task)
            # A task keeps the exception that ends it, and that one this frame: it is not to keep the task in turn.
            del task

    async def aclose(self) -> None:
        """Cancel what still runs and close all connections."""
        for exchange in self._exchanges:
            exchange.cancel()
        if self._exchanges:
            await asyncio.wait(tuple(self._exchanges))
        await self._transport.aclose()

    async def _run_apart(self, call: Call, sink: Sink) -> None:
        """Run the exchange in a task of its own, for a transport that may be interrupted while it closes."""
        exchange = asyncio.create_task(self._exchange(call, sink))
        del call
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._ended)
        try:
            await asyncio.wait((exchange,))
        except asyncio.CancelledError:
            exchange.cancel()
            await asyncio.wait((exchange,))
            raise
        exchange.result()

    def _ended(self, exchange: asyncio.Task[None]) -> None:
        self._exchanges.discard(exchange)
        if not exchange.cancelled():
            # Looked at, so that a run that was cancelled meanwhile does not log it as lost.
            exchange.exception()

    async def _exchange(self, call: Call, sink: Sink) -> None:
        opening = self._open(call)
        del call
        answered = await opening
        if isinstance(answered, PushResponse):
            if answered.is_plain_event_stream:
                # Of the response no more is needed, perhaps for minutes.
                stream = answered.stream
                del answered
                try:
                    await _push(stream, sink)
                finally:
                    await stream.aclose()
                return
            answered = answered.as_httpx()
        await self._pull(answered, sink)

    async def _pull(self, response: httpx.Response, sink: Sink) -> None:
        """Take whatever answer it is, a stream included, as an iterator gives it; close it."""
        try:
            async with aclosing(_body(response)) as body:
                if response.status_code != 200:
                    raise await self._refused(response, body)
                if not _is_identity(response.headers):
                    raise ProviderError(Failure.BAD_RESPONSE, status=200, detail="an encoded body")
                begun = b"" if _is_called_stream(response.headers) else await _beginning(body)
                if begun.startswith(_BEGINS_JSON):
                    sink.feed(self._as_stream(begun + await _read(body, _JSON_BODY_BYTES - len(begun))))
                    return
                if begun and not begun.startswith(_BEGINS_STREAM):
                    raise ProviderError(Failure.BAD_RESPONSE, status=200, detail="neither an event stream nor JSON")
                async for data in _with(begun, body):
                    for start in range(0, len(data), MOST_TURN_BYTES):
                        sink.feed(data[start : start + MOST_TURN_BYTES])
                        # An iterator that has more at hand does not wait by itself.
                        await asyncio.sleep(0)
        finally:
            # A connection with anything left to read is closed here, not drained and kept.
            with suppress(httpx.TransportError, OSError):
                await response.aclose()

    def _request(self, content: bytes) -> httpx.Request:
        return httpx.Request("POST", self._url, headers=self._headers, content=content, extensions=self._extensions)

    async def _open(self, call: Call) -> httpx.Response | PushResponse:
        try:
            # What is written out is not kept here: with images it may be 20 MiB.
            if self._endpoint is not None:
                return await self._endpoint.send(dumps(self._dialect.body(call)))
            return await self._transport.handle_async_request(self._request(dumps(self._dialect.body(call))))
        except (httpx.TransportError, OSError) as error:
            failure = _transport_failure(error)
        # Outside the except clause: the exception of a header that cannot be sent quotes it, and it is the key's.
        raise failure

    async def _refused(self, response: httpx.Response, body: AsyncIterator[bytes]) -> ProviderError:
        document: object = None
        if _is_identity(response.headers):
            with suppress(TimeoutError, ProviderError, ValueError):
                async with asyncio.timeout(self._error_body_timeout_s):
                    document = loads(await _read(body, _ERROR_BODY_BYTES))
        refusal = read_refusal(document, status=response.status_code, retry_after_s=read_retry_after(response.headers))
        return self._dialect.classify(refusal)

    def _as_stream(self, body: bytes) -> bytes:
        """Turn the JSON answer of an upstream that did not stream into a stream of one event."""
        body = body.strip()
        try:
            document = None if len(body) > MAX_EVENT_BYTES or values_exceed(body) else loads(body)
        except ValueError:
            document = None
        if isinstance(document, list) and document:
            # Google's way to send an error.
            document = document[0]
        if not isinstance(document, dict):
            raise ProviderError(Failure.BAD_RESPONSE, status=200, detail="JSON that is no completion")
        return b"data: " + dumps(document) + b"\n\ndata: [DONE]\n\n"


async def _push(stream: PushStream, sink: Sink) -> None:
    """Have the stream's bytes fed as they are read. Raises ProviderError if the connection breaks."""
    try:
        await stream.push(sink.feed)
    except httpx.TransportError as error:
        failure = _transport_failure(error)
    else:
        return
    raise failure


async def _body(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Yield the body's raw bytes. Raises ProviderError if the connection breaks."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    try:
        async for data in response.stream:
            yield data
    except (httpx.TransportError, OSError) as error:
        failure = _transport_failure(error)
    else:
        return
    raise failure


async def _read(body: AsyncIterator[bytes], limit_bytes: int) -> bytes:
    """Read a whole body. Raises ProviderError if it is over its bound or the connection breaks."""
    read = bytearray()
    async for data in body:
        read += data
        if len(read) > limit_bytes:
            raise ProviderError(Failure.BAD_RESPONSE, detail=f"a body over {limit_bytes} bytes")
    return bytes(read)


def _is_called_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() in ("", "text/event-stream")


async def _beginning(body: AsyncIterator[bytes]) -> bytes:
    """Read until it can be told what a body is, whatever it is called; the empty lines before it are dropped.

    Raises ProviderError if it is nothing, or the connection breaks.
    """
    begun, blank_bytes = b"", 0
    async for data in body:
        blank_bytes += len(data)
        begun = (begun + data).removeprefix(_BOM).lstrip()
        if len(begun) >= _TELLING_BYTES:
            return begun
        if blank_bytes > _JSON_BODY_BYTES:
            break
    if not begun:
        raise ProviderError(Failure.BAD_RESPONSE, status=200, detail="an empty body")
    return begun


async def _with(begun: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if begun:
        yield begun
    async for data in body:
        yield data


def _is_identity(headers: Mapping[str, str]) -> bool:
    return all(coding.strip().lower() in ("", "identity") for coding in headers.get("content-encoding", "").split(","))


def _transport_failure(error: Exception) -> ProviderError:
    # The connection keeps it too, and is in the frames on the way here.
    error.__traceback__ = error.__context__ = None
    match error:
        case httpx.ConnectTimeout() | httpx.WriteTimeout() | httpx.PoolTimeout():
            # A request that was not sent whole has not been worked on.
            failure = Failure.CONNECT_TIMEOUT
        case httpx.ConnectError() | httpx.WriteError() | httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            failure = Failure.CONNECT_FAILED
        case _:
            failure = Failure.STREAM_CUT
    return ProviderError(failure, detail=type(error).__name__)


def _completions_url(base_url: str) -> httpx.URL:
    url = httpx.URL(base_url)
    return url.copy_with(path=url.path.rstrip("/") + "/chat/completions")


def _transport(kind: TransportKind) -> httpx.AsyncBaseTransport:
    if kind == "push":
        return PushTransport(tls=_tls_context())
    return httpx.AsyncHTTPTransport(
        verify=_tls_context(),
        trust_env=False,
        http2=False,
        retries=0,
        # No connection is used twice: httpx would give what an upstream sends behind an answer, unasked, to the
        # next request, which may be another user's.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
    )


@functools.cache
def _tls_context() -> ssl.SSLContext:
    # Reading the certificates takes tens of milliseconds: once for all providers.
    context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    return context

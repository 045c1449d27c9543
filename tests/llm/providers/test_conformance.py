"""What every vendor's provider must do, over real sockets. A new vendor is one line in SAMPLES."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from apps.llm.errors import Failure, ProviderError
from apps.llm.providers import DIALECTS, ProviderConfig
from apps.llm.providers.base import Call, Provider
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from apps.llm.wire.json import loads
from apps.llm.wire.openai import parse_chunk
from apps.llm.wire.sse import Decoder
from tests.fixtures import RESPONSES, STREAMS, WHOLE_JSON
from tests.llm.providers.asking import Kept, call_of
from tests.llm.providers.scripted import ScriptedUpstream, chunked, response
from tests.upstream.vendor_errors import ERRORS

KEY = "sk-secret-a1b2c3"
SAMPLES = {
    "deepseek": "f2",
    "zai": "f3",
    "openai": "f1",
}
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
ERROR_ROWS = tuple(ERRORS.values()) if isinstance(ERRORS, dict) else tuple(ERRORS)


@pytest.fixture(params=SAMPLES)
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def provider_of(
    vendor: str,
    base_url: str = "http://127.0.0.1:9/v1",
    transport: httpx.AsyncBaseTransport | None = None,
    model: str | None = None,
    **options: Any,
) -> AsyncIterator[OpenAICompatibleProvider]:
    config = ProviderConfig(api_key=KEY, base_url=base_url, model=model, connect_timeout_s=5)
    provider = OpenAICompatibleProvider(DIALECTS[vendor], config, transport, **options)
    try:
        async with asyncio.timeout(10):
            yield provider
    finally:
        await provider.aclose()


def call(provider: Provider, **fields: Any) -> Call:
    target = provider.resolve(None)
    assert target is not None
    return call_of(target, **fields)


async def failure_of(vendor: str, *writes: bytes, then: str = "hold", **options: Any) -> ProviderError:
    async with (
        ScriptedUpstream(*writes, then=then) as upstream,
        provider_of(vendor, upstream.base_url, **options) as provider,
    ):
        with pytest.raises(ProviderError) as caught:
            await provider.run(call(provider), Kept())
        return caught.value


def test_every_vendor_has_a_sample():
    assert set(SAMPLES) == set(DIALECTS)


# --- the request


async def test_request_is_a_post_that_asks_for_a_stream_with_usage(vendor):
    async with ScriptedUpstream(response(200, EVENT)) as upstream, provider_of(vendor, upstream.base_url) as provider:
        await provider.run(call(provider), Kept())
    (received,) = upstream.received
    assert received.line == "POST /v1/chat/completions HTTP/1.1"
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.headers["accept"] == "text/event-stream"
    assert received.headers["accept-encoding"] == "identity"
    assert received.headers["content-type"] == "application/json"
    assert not {"cookie", "expect", "transfer-encoding"} & set(received.headers)
    body = loads(received.body)
    assert body["model"] == DIALECTS[vendor].default_model
    assert body["messages"] == [{"role": "user", "content": "How tall is a lighthouse?"}]
    assert body["stream"] is True
    assert body["stream_options"]["include_usage"] is True


@pytest.mark.parametrize("ending", ["", "/", "///"])
async def test_base_url_is_joined_with_or_without_a_slash(ending):
    async with (
        ScriptedUpstream(response(200, EVENT)) as upstream,
        provider_of("zai", upstream.base_url + "/api" + ending) as provider,
    ):
        await provider.run(call(provider), Kept())
    assert upstream.received[0].line == "POST /v1/api/chat/completions HTTP/1.1"


async def test_query_of_the_base_url_is_kept(vendor):
    async with (
        ScriptedUpstream(response(200, EVENT)) as upstream,
        provider_of(vendor, upstream.base_url + "?version=7") as provider,
    ):
        await provider.run(call(provider), Kept())
    assert upstream.received[0].line == "POST /v1/chat/completions?version=7 HTTP/1.1"


def test_base_url_is_the_vendors_own_by_default(vendor):
    provider = OpenAICompatibleProvider(DIALECTS[vendor], ProviderConfig(api_key=KEY))
    assert str(provider._url) == DIALECTS[vendor].base_url + "/chat/completions"


async def test_environment_proxies_are_ignored(vendor, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with ScriptedUpstream(response(200, EVENT)) as upstream, provider_of(vendor, upstream.base_url) as provider:
        await provider.run(call(provider), Kept())
    assert len(upstream.received) == 1


async def test_cookies_do_not_travel_between_users(vendor):
    answer = response(200, EVENT, Set_Cookie="session=one; Path=/")
    async with ScriptedUpstream(answer) as upstream, provider_of(vendor, upstream.base_url) as provider:
        await provider.run(call(provider), Kept())
        await provider.run(call(provider), Kept())
    assert len(upstream.received) == 2
    assert "cookie" not in upstream.received[1].headers


# --- the stream


async def test_stream_reaches_the_sink_to_the_byte(vendor):
    sample = STREAMS[SAMPLES[vendor]]
    pieces = [sample.content[at : at + 7] for at in range(0, len(sample.content), 7)]
    sink = Kept()
    async with ScriptedUpstream(chunked(*pieces)) as upstream, provider_of(vendor, upstream.base_url) as provider:
        await provider.run(call(provider), sink)
        finishes = provider.finish_reasons()
    assert sink.data == sample.content
    chunks = [parse_chunk(data) for data in Decoder().feed(sink.data) if data != b"[DONE]"]
    assert "".join(chunk.content for chunk in chunks) == sample.text
    (finish,) = [chunk.finish_reason for chunk in chunks if chunk.finish_reason]
    assert finishes.get(finish, finish) == sample.finish


async def test_stream_that_ends_with_the_connection(vendor):
    answer = response(200, EVENT, length=False)
    async with (
        ScriptedUpstream(answer, then="close") as upstream,
        provider_of(vendor, upstream.base_url) as provider,
    ):
        sink = Kept()
        await provider.run(call(provider), sink)
    assert sink.data == EVENT


async def test_answer_without_a_content_type_is_a_stream(vendor):
    answer = response(200, EVENT, None)
    async with ScriptedUpstream(answer) as upstream, provider_of(vendor, upstream.base_url) as provider:
        sink = Kept()
        await provider.run(call(provider), sink)
    assert sink.data == EVENT


async def test_connection_is_kept_for_the_next_request(vendor):
    async with ScriptedUpstream(chunked(EVENT)) as upstream, provider_of(vendor, upstream.base_url) as provider:
        for _ in range(3):
            await provider.run(call(provider), Kept())
        assert upstream.connections == 1


async def test_streams_at_once_are_not_capped(vendor):
    async with (
        ScriptedUpstream(chunked(EVENT, end=False)) as upstream,
        provider_of(vendor, upstream.base_url) as provider,
    ):
        runs = [asyncio.create_task(provider.run(call(provider), Kept())) for _ in range(120)]
        await upstream.seen(120)
        for run in runs:
            run.cancel()
        await asyncio.wait(runs)
    assert upstream.connections == 120


# --- cancellation and the sink's own errors: the connection is closed, not drained


async def cancelled(provider: OpenAICompatibleProvider, upstream: ScriptedUpstream, started: asyncio.Event) -> None:
    sink = Kept()
    run = asyncio.create_task(provider.run(call(provider), sink))
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await upstream.hung_up.wait()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="before the status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Ty", id="inside the headers"),
        pytest.param(response(500, b'{"err', "application/json", length=False), id="inside an error body"),
        pytest.param(response(200, b'{"choi', "application/json", length=False), id="inside a JSON body"),
    ],
)
async def test_cancelling_closes_the_connection(vendor, answer):
    async with ScriptedUpstream(answer) as upstream, provider_of(vendor, upstream.base_url) as provider:
        await cancelled(provider, upstream, upstream.requested)


async def test_cancelling_in_the_stream_closes_the_connection(vendor):
    async with (
        ScriptedUpstream(chunked(EVENT, end=False)) as upstream,
        provider_of(vendor, upstream.base_url) as provider,
    ):
        sink = Kept()
        run = asyncio.create_task(provider.run(call(provider), sink))
        await sink.fed.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await upstream.hung_up.wait()
        upstream.writes = [chunked(EVENT)]
        await provider.run(call(provider), Kept())
    assert upstream.connections == 2


async def test_cancelling_twice_still_closes_the_connection(vendor):
    async with (
        ScriptedUpstream(chunked(EVENT, end=False)) as upstream,
        provider_of(vendor, upstream.base_url) as provider,
    ):
        sink = Kept()
        run = asyncio.create_task(provider.run(call(provider), sink))
        await sink.fed.wait()
        run.cancel()
        for _ in range(3):
            # Between any two steps of the first clean-up.
            await asyncio.sleep(0)
            run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await upstream.hung_up.wait()


async def test_closing_the_provider_ends_its_streams(vendor):
    async with (
        ScriptedUpstream(chunked(EVENT, end=False)) as upstream,
        provider_of(vendor, upstream.base_url) as provider,
    ):
        sink = Kept()
        run = asyncio.create_task(provider.run(call(provider), sink))
        await sink.fed.wait()
        await provider.aclose()
        await upstream.hung_up.wait()
        with pytest.raises(asyncio.CancelledError):
            await run


@pytest.mark.parametrize(
    "error", [ProviderError(Failure.BAD_RESPONSE), KeyError("a fault of ours")], ids=["ours", "bug"]
)
async def test_what_the_sink_raises_passes_through_and_closes_the_connection(vendor, error):
    async with (
        ScriptedUpstream(chunked(EVENT, end=False)) as upstream,
        provider_of(vendor, upstream.base_url) as provider,
    ):
        with pytest.raises(type(error)) as caught:
            await provider.run(call(provider), Kept(error))
        assert caught.value is error
        await upstream.hung_up.wait()


# --- refusals


@pytest.mark.parametrize("row", ERROR_ROWS, ids=lambda row: row.name)
async def test_refusals_mean_what_the_vendor_says(row):
    kind = "text/html" if row.error is None else "application/json"
    failed = await failure_of(row.vendor, response(row.status, row.body(KEY), kind))
    if row.failure is not None:
        assert failed.failure == row.failure
    assert failed.status == row.status
    assert row.words not in str(failed)
    assert KEY[-4:] not in repr(failed)


@pytest.mark.parametrize("sample", RESPONSES.values(), ids=str)
async def test_recorded_refusals(sample):
    failed = await failure_of(sample.vendor, sample.wire)
    assert failed.failure == sample.failure
    assert failed.clients_fault is sample.clients_fault
    assert failed.retry_after_s == (float(sample.headers["retry-after"]) if "retry-after" in sample.headers else None)


@pytest.mark.parametrize("status", [204, 206, 301, 302, 307, 308, 405, 415, 418])
async def test_statuses_nobody_expects_are_bad_responses(vendor, status):
    answer = response(status, b"", None, Location="http://127.0.0.1:9/elsewhere")
    failed = await failure_of(vendor, answer)
    assert failed.failure is Failure.BAD_RESPONSE
    assert failed.status == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"7",
        b'"no"',
        b"[[1]]",
        b'{"error": 7}',
        b'{"error": {"code": {}}}',
        b"{" * 900,
    ],
)
async def test_garbage_in_an_error_body_leaves_the_status_to_speak(vendor, body):
    failed = await failure_of(vendor, response(503, body, "application/json"))
    assert failed.failure is Failure.OVERLOADED


async def test_error_body_is_read_up_to_a_bound(vendor):
    endless = response(429, b"x" * 200_000, "application/json", length=False)
    async with (
        ScriptedUpstream(endless) as upstream,
        provider_of(vendor, upstream.base_url, error_body_timeout_s=60) as provider,
    ):
        with pytest.raises(ProviderError) as caught:
            await provider.run(call(provider), Kept())
        await upstream.hung_up.wait()
    assert caught.value.failure is Failure.RATE_LIMITED


async def test_error_body_is_waited_for_up_to_a_bound(vendor):
    stuck = response(402, b'{"error"', "application/json", length=False)
    failed = await failure_of(vendor, stuck, error_body_timeout_s=0.02)
    assert failed.failure is Failure.OUT_OF_FUNDS


async def test_error_body_that_calls_itself_compressed_is_not_read(vendor):
    body = b'{"error":{"code":"insufficient_quota"}}'
    failed = await failure_of(vendor, response(429, body, "application/json", Content_Encoding="gzip"))
    assert failed.failure is Failure.RATE_LIMITED


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "0.5"}, 0.5),
        ({"Retry_After": "3600"}, 3600.0),
        ({"Retry_After_Ms": "1500", "Retry_After": "2"}, 1.5),
        ({"Retry_After": "Fri, 01 Jan 2021 00:00:00 GMT"}, 0.0),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "-3"}, None),
        ({"Retry_After": "nan"}, None),
        ({"Retry_After": "Fri, 99 Foo 9999999 00:00:00 GMT"}, None),
        ({}, None),
    ],
)
async def test_retry_after_is_read(headers, seconds):
    failed = await failure_of("openai", response(429, b"{}", "application/json", **headers))
    assert failed.retry_after_s == seconds


# --- a 200 that is no stream


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(response(200, b"<html>Sign in</html>", "text/html"), id="html"),
        pytest.param(response(200, gzip.compress(EVENT), Content_Encoding="gzip"), id="gzip"),
        pytest.param(response(200, EVENT, Content_Encoding="identity, br"), id="brotli"),
        pytest.param(response(200, b"{}", "application/json"), id="json without choices"),
        pytest.param(response(200, b"[]", "application/json"), id="json array"),
        pytest.param(response(200, b"not json", "application/json"), id="broken json"),
        pytest.param(response(200, b" " * 9_000_000, "application/json"), id="json over its bound"),
    ],
)
async def test_a_200_that_is_no_answer_is_a_bad_response(vendor, answer):
    failed = await failure_of(vendor, answer)
    assert failed.failure is Failure.BAD_RESPONSE


async def test_json_answer_becomes_a_stream_of_one_event(vendor):
    sink = Kept()
    answer = response(200, WHOLE_JSON, "application/json; charset=utf-8")
    async with ScriptedUpstream(answer) as upstream, provider_of(vendor, upstream.base_url) as provider:
        await provider.run(call(provider), sink)
    event, done = Decoder().feed(sink.data)
    assert parse_chunk(event).content == "Half an answer."
    assert done == b"[DONE]"


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b'\n\n{"error":{"code":"insufficient_quota","message":"x"}}', Failure.OUT_OF_FUNDS),
        (b'{"error":{"message":"oops","type":"server_error"}}', Failure.STREAM_ERROR),
        (b'{"error":"oops"}', Failure.STREAM_ERROR),
    ],
)
async def test_json_error_in_a_200_is_classified(vendor, body, failure):
    failed = await failure_of(vendor, response(200, body, "application/json"))
    assert failed.failure is failure


# --- error events inside a 200


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ({"message": "The server had an error", "type": "server_error", "param": None, "code": None}, "stream_error"),
        ({"type": "overloaded_error"}, "stream_error"),
        ({"code": 503, "message": "Provider returned error"}, "stream_error"),
        ({}, "stream_error"),
        ({"code": 429}, "rate_limited"),
        ({"code": "429"}, "rate_limited"),
        ({"code": "rate_limit_exceeded"}, "rate_limited"),
        ({"code": "insufficient_quota"}, "out_of_funds"),
        ({"type": "insufficient_quota"}, "out_of_funds"),
        ({"code": "context_length_exceeded"}, "context_length_exceeded"),
        ({"message": "This model's maximum context length is 9 tokens"}, "context_length_exceeded"),
        ({"code": True, "type": [], "param": {}, "message": 7}, "stream_error"),
    ],
)
def test_error_events_are_classified(vendor, error, failure):
    provider = OpenAICompatibleProvider(DIALECTS[vendor], ProviderConfig(api_key=KEY))
    assert provider.classify_stream_error(error).failure == failure


# --- a broken transport


class Broken(httpx.AsyncBaseTransport):
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self.error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (httpx.ConnectTimeout(""), Failure.CONNECT_TIMEOUT),
        (httpx.WriteTimeout(""), Failure.CONNECT_TIMEOUT),
        (httpx.PoolTimeout(""), Failure.CONNECT_TIMEOUT),
        (httpx.ConnectError(""), Failure.CONNECT_FAILED),
        (httpx.WriteError(""), Failure.CONNECT_FAILED),
        (httpx.LocalProtocolError(f"Illegal header value b'Bearer {KEY}'"), Failure.CONNECT_FAILED),
        (httpx.UnsupportedProtocol(""), Failure.CONNECT_FAILED),
        (httpx.ReadError(""), Failure.STREAM_CUT),
        (httpx.ReadTimeout(""), Failure.STREAM_CUT),
        (httpx.RemoteProtocolError(""), Failure.STREAM_CUT),
        (httpx.CloseError(""), Failure.STREAM_CUT),
        (OSError("too many open files"), Failure.STREAM_CUT),
    ],
)
async def test_transport_errors_become_failures_without_their_words(vendor, error, failure):
    async with provider_of(vendor, transport=Broken(error)) as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.run(call(provider), Kept())
    assert caught.value.failure is failure
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert KEY not in str(caught.value)


async def test_refused_connection(vendor):
    async with ScriptedUpstream() as upstream:
        base_url = upstream.base_url
    async with provider_of(vendor, base_url) as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.run(call(provider), Kept())
    assert caught.value.failure is Failure.CONNECT_FAILED


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        pytest.param(b"", "close", id="closed before the status line"),
        pytest.param(b"", "reset", id="reset before the status line"),
        pytest.param(b"\x00\x01 not HTTP\r\n\r\n", "close", id="not HTTP"),
        pytest.param(chunked(EVENT, end=False), "close", id="closed in the stream"),
        pytest.param(chunked(EVENT, end=False), "reset", id="reset in the stream"),
        pytest.param(chunked(EVENT, end=False) + b"zz\r\n", "hold", id="broken chunk"),
        pytest.param(
            response(200, b'{"id"', "application/json").replace(b": 5", b": 9"), "close", id="half a JSON body"
        ),
    ],
)
async def test_broken_streams_are_cut(vendor, answer, then):
    failed = await failure_of(vendor, answer, then=then)
    assert failed.failure is Failure.STREAM_CUT


# --- models and secrets


def test_resolving(vendor):
    dialect = DIALECTS[vendor]
    provider = OpenAICompatibleProvider(dialect, ProviderConfig(api_key=KEY))
    default = provider.resolve(None)
    assert default is not None
    assert default.facts is not None
    assert default.model == provider.default_model == dialect.default_model
    for facts in provider.models():
        named = provider.resolve(facts.id)
        assert named is not None
        assert named.facts == facts
    unknown = provider.resolve(dialect.prefixes[0] + "next-year")
    assert unknown is not None
    assert unknown.facts is None
    assert provider.resolve("fake-model") is None
    assert provider.resolve(dialect.prefixes[0] + "x\r\nx-evil: 1") is None


def test_configured_model_always_resolves(vendor):
    provider = OpenAICompatibleProvider(DIALECTS[vendor], ProviderConfig(api_key=KEY, model="fake-model"))
    for name in (None, "fake-model"):
        target = provider.resolve(name)
        assert target is not None
        assert (target.model, target.facts) == ("fake-model", None)
    assert provider.default_model == "fake-model"
    assert provider.models()[0].id == "fake-model"
    assert DIALECTS[vendor].default_model in {facts.id for facts in provider.models()}


def test_keys_show_nowhere(vendor):
    config = ProviderConfig(api_key=KEY, base_url="http://127.0.0.1:9")
    provider = OpenAICompatibleProvider(DIALECTS[vendor], config)
    assert KEY not in repr(config)
    assert KEY not in repr(provider)
    assert KEY not in str(provider)
    assert vendor in repr(provider)


@pytest.mark.parametrize("key", ["", "sk a", "sk-\n", "sk-é", "sk-\x00"])
def test_keys_that_cannot_be_sent_are_refused_without_showing_them(key):
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        ProviderConfig(api_key=key)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "api.example",
        "ftp://api.example",
        "https://",
        "https://u:p@api.example",
        "https://api.example/#x",
        "http://[::1",
        "http://a:x",
    ],
)
def test_base_urls_that_cannot_be_used_are_refused(base_url):
    with pytest.raises(ValueError, match="a base URL"):
        ProviderConfig(api_key=KEY, base_url=base_url)


def test_provider_without_a_key_is_refused(vendor):
    with pytest.raises(ValueError, match="no API key"):
        OpenAICompatibleProvider(DIALECTS[vendor], ProviderConfig(api_key=None))

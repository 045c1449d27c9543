"""What every vendor's provider must do, over real sockets. Configured ones are no exception."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apps.llm.providers import DIALECTS, ProviderConfig
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from apps.llm.wire.json import dumps, loads
from apps.llm.wire.openai import Chunk, UpstreamAnswer, finish_of, parse_chunk
from apps.llm.wire.sse import Decoder, is_done
from tests.each import each
from tests.fixtures import STREAMS
from tests.llm.providers.asking import Kept
from tests.llm.providers.connecting import EVENT, KEY, SPOKEN, call, provider_of
from tests.llm.providers.scripted import ScriptedUpstream, chunked, response

# What the vendor sends; a dialect that is not here gets OpenAI's.
SAMPLES = {
    "deepseek": "f2",
    "zai": "f3",
}


@pytest.fixture(params=SPOKEN)
def vendor(request: pytest.FixtureRequest) -> str:
    """Each vendor by name, and a configured provider."""
    return str(request.param)


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
    assert body["model"] == SPOKEN[vendor].default_model
    assert body["messages"] == [{"role": "user", "content": "How tall is a lighthouse?"}]
    assert body["stream"] is True
    assert body["stream_options"]["include_usage"] is True


@each("ending", ["", "/", "///"])
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
    provider = OpenAICompatibleProvider(SPOKEN[vendor], ProviderConfig(api_key=KEY))
    assert str(provider._url) == SPOKEN[vendor].base_url + "/chat/completions"


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
    sample = STREAMS[SAMPLES.get(vendor, "f1")]
    pieces = [sample.content[at : at + 7] for at in range(0, len(sample.content), 7)]
    sink = Kept()
    async with ScriptedUpstream(chunked(*pieces)) as upstream, provider_of(vendor, upstream.base_url) as provider:
        await provider.run(call(provider), sink)
    assert sink.data == sample.content
    chunks = [parse_chunk(data) for data in Decoder().feed(sink.data) if data != b"[DONE]"]
    assert "".join(chunk.content for chunk in chunks) == sample.text
    (finish,) = [chunk.finish_reason for chunk in chunks if chunk.finish_reason]
    assert finish_of(finish) == sample.finish


async def test_odd_answer_is_read_the_same(vendor):
    call_ = {"id": "call_a", "function": {"name": "tide"}}
    whole = {"content": [{"type": "text", "text": "Hi"}], "reasoning": "hm", "tool_calls": [call_]}
    pieces = [b'event: ping\ndata: {"type":"ping"}\n\n', b"event: data\ndata: " + _delta({"reasoning": "hm"})]
    pieces += [b"data: " + _delta(whole | {"reasoning": None}), b"data: " + _delta({}, "end_turn")]
    document = dumps({"choices": [{"message": whole, "finish_reason": "end_turn"}]})
    said = []
    for answer in (
        chunked(*pieces),
        response(200, document, "application/json"),
        chunked(document, content_type="text/plain"),
    ):
        sink = Kept()
        async with ScriptedUpstream(answer) as upstream, provider_of(vendor, upstream.base_url) as provider:
            await provider.run(call(provider), sink)
        answer_ = UpstreamAnswer()
        chunks = [answer_.read(data) or Chunk() for data in Decoder().feed(sink.data) if not is_done(data)]
        texts = ["".join(parts) for parts in zip(*[(one.content, one.reasoning) for one in chunks], strict=True)]
        said.append((texts, [one for chunk in chunks for one in chunk.tool_calls], chunks[-1].finish_reason))
    assert said[0] == (
        ["Hi", "hm"],
        [{"index": 0, "id": "call_a", "type": "function", "function": {"name": "tide", "arguments": ""}}],
        "stop",
    )
    assert said[1:] == said[:1] * 2


def _delta(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}) + b"\n\n"


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


# --- models and secrets


def test_resolving(vendor):
    dialect = SPOKEN[vendor]
    provider = OpenAICompatibleProvider(dialect, ProviderConfig(api_key=KEY))
    default = provider.resolve(None)
    assert default is not None
    assert (default.facts is not None) == bool(dialect.catalogue)
    assert default.model == provider.default_model == dialect.default_model
    for facts in dialect.catalogue:
        named = provider.resolve(facts.id)
        assert named is not None
        assert named.facts == facts
    for prefix in dialect.prefixes:
        unknown = provider.resolve(prefix + "next-year")
        assert unknown is not None
        assert unknown.facts is None
        assert provider.resolve(prefix + "x\r\nx-evil: 1") is None
    assert provider.lacks(call(provider).request, default) is None
    assert provider.lacks(call(provider, modalities=["audio"]).request, default) == "modalities"
    assert provider.resolve("fake-model") is None
    assert provider.resolve("x\r\nx-evil: 1", by_name=True) is None


def test_configured_model_always_resolves(vendor):
    provider = OpenAICompatibleProvider(SPOKEN[vendor], ProviderConfig(api_key=KEY, model="fake-model"))
    for name in (None, "fake-model"):
        target = provider.resolve(name)
        assert target is not None
        assert (target.model, target.facts) == ("fake-model", None)
    assert provider.default_model == "fake-model"
    assert provider.models()[0].id == "fake-model"
    assert {facts.id for facts in SPOKEN[vendor].catalogue} <= {facts.id for facts in provider.models()}


def test_keys_show_nowhere(vendor):
    config = ProviderConfig(api_key=KEY, base_url="http://127.0.0.1:9")
    provider = OpenAICompatibleProvider(SPOKEN[vendor], config)
    assert KEY not in repr(config)
    assert KEY not in repr(provider)
    assert KEY not in str(provider)
    assert vendor in repr(provider)


@each("key", ["", "sk a", "sk-\n", "sk-é", "sk-\x00"])
def test_keys_that_cannot_be_sent_are_refused_without_showing_them(key):
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        ProviderConfig(api_key=key)
    assert not key.strip() or key not in str(caught.value)


@each(
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


async def test_configured_provider_needs_no_key_and_sends_none():
    async with ScriptedUpstream(response(200, EVENT)) as upstream:
        config = ProviderConfig(api_key=None, base_url=upstream.base_url, model="owl-1")
        provider = OpenAICompatibleProvider(SPOKEN["my-llm"], config)
        await provider.run(call(provider), Kept())
        await provider.aclose()
    assert "authorization" not in upstream.received[0].headers


@each(("sent", "other"), [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")])
async def test_configured_provider_gets_the_clients_own_words(sent, other):
    async with ScriptedUpstream(response(200, EVENT)) as upstream, provider_of("my-llm", upstream.base_url) as provider:
        await provider.run(call(provider, **{sent: 9}, reasoning_effort="low", user="someone"), Kept())
    body = loads(upstream.received[0].body)
    assert (body[sent], body["reasoning_effort"]) == (9, "low")
    assert not {other, "user"} & set(body)


@pytest.mark.parametrize("vendor", DIALECTS)
def test_vendor_without_a_key_is_refused(vendor):
    with pytest.raises(ValueError, match="no API key"):
        OpenAICompatibleProvider(SPOKEN[vendor], ProviderConfig(api_key=None))

"""Upstreams that refuse, or answer 200 with something else than a stream."""

from __future__ import annotations

import gzip

import pytest

from apps.llm.errors import Failure, ProviderError
from apps.llm.providers import DIALECTS, ProviderConfig
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from apps.llm.wire.openai import parse_chunk
from apps.llm.wire.sse import Decoder
from tests.each import each
from tests.fixtures import RESPONSES, WHOLE_JSON
from tests.llm.providers.asking import Kept
from tests.llm.providers.connecting import EVENT, KEY, call, failure_of, provider_of
from tests.llm.providers.scripted import ScriptedUpstream, response
from tests.upstream.vendor_errors import ERRORS

# --- refusals


@each("row", ERRORS, ids=lambda row: row.name)
async def test_refusals_mean_what_the_vendor_says(row):
    kind = "text/html" if row.error is None else "application/json"
    failed = await failure_of(row.vendor, response(row.status, row.body(KEY), kind))
    if row.failure is not None:
        assert failed.failure == row.failure
    assert failed.status == row.status
    assert row.words not in str(failed)
    assert KEY[-4:] not in repr(failed)


@each("sample", RESPONSES.values(), ids=str)
async def test_recorded_refusals(sample):
    failed = await failure_of(sample.vendor, sample.wire)
    assert failed.failure == sample.failure
    assert failed.clients_fault is sample.clients_fault
    assert failed.retry_after_s == (float(sample.headers["retry-after"]) if "retry-after" in sample.headers else None)


@each("status", [204, 206, 301, 302, 307, 308, 405, 415, 418])
async def test_statuses_nobody_expects_are_bad_responses(vendor, status):
    answer = response(status, b"", None, Location="http://127.0.0.1:9/elsewhere")
    failed = await failure_of(vendor, answer)
    assert failed.failure is Failure.BAD_RESPONSE
    assert failed.status == status


@each(
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
        await upstream.wait_hung_up()
    assert caught.value.failure is Failure.RATE_LIMITED


async def test_error_body_is_waited_for_up_to_a_bound(vendor):
    stuck = response(402, b'{"error"', "application/json", length=False)
    failed = await failure_of(vendor, stuck, error_body_timeout_s=0.02)
    assert failed.failure is Failure.OUT_OF_FUNDS


async def test_error_body_that_calls_itself_compressed_is_not_read(vendor):
    body = b'{"error":{"code":"insufficient_quota"}}'
    failed = await failure_of(vendor, response(429, body, "application/json", Content_Encoding="gzip"))
    assert failed.failure is Failure.RATE_LIMITED


@each(
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


@each(
    "answer",
    [
        pytest.param(response(200, b"<html>Sign in</html>", "text/html"), id="html"),
        pytest.param(response(200, gzip.compress(EVENT), Content_Encoding="gzip"), id="gzip"),
        pytest.param(response(200, EVENT, Content_Encoding="identity, br"), id="brotli"),
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


@each(
    ("body", "failure"),
    [
        (b'\n\n{"error":{"code":"insufficient_quota","message":"x"}}', Failure.OUT_OF_FUNDS),
        (b'{"error":{"message":"oops","type":"server_error"}}', Failure.STREAM_ERROR),
        (b'{"error":"oops"}', Failure.STREAM_ERROR),
        (b'[{"error":{"code":"content_filter"}}]', Failure.CONTENT_FILTERED),
    ],
)
async def test_json_error_in_a_200_is_classified(vendor, body, failure):
    sink = Kept()
    answer = response(200, body, "application/json")
    async with ScriptedUpstream(answer) as upstream, provider_of(vendor, upstream.base_url) as provider:
        await provider.run(call(provider), sink)
        chunk = parse_chunk(bytes(Decoder().feed(sink.data)[0]))
        assert chunk.error is not None
        assert provider.classify_stream_error(chunk.error).failure is failure


@each(
    ("body", "content_type"),
    [
        (EVENT, "text/plain"),
        (b": comment\n\n" + EVENT, "application/json"),
        (b"\xef\xbb\xbf\n" + EVENT, "application/x-ndjson"),
        (b"event: data\n" + EVENT, "text/html"),
        (b'\n{"choices":[{"message":{"content":"Hi"}}]}', "text/plain"),
    ],
)
async def test_what_a_200_is_called_decides_nothing(vendor, body, content_type):
    sink = Kept()
    answer = response(200, body, content_type)
    async with ScriptedUpstream(answer) as upstream, provider_of(vendor, upstream.base_url) as provider:
        await provider.run(call(provider), sink)
    assert parse_chunk(bytes(Decoder().feed(sink.data)[0])).content == "Hi"


# --- error events inside a 200


@each(
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

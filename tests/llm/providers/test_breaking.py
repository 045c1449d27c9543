"""Transports that break: what each kind of error becomes, and that none of its words is kept."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from apps.llm.errors import Failure, ProviderError
from tests.each import each
from tests.llm.providers.asking import Kept
from tests.llm.providers.connecting import EVENT, KEY, call, failure_of, provider_of
from tests.llm.providers.scripted import ScriptedUpstream, chunked, response

pytestmark = pytest.mark.usefixtures("each_transport")


class Broken(httpx.AsyncBaseTransport):
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise self.error


@each(
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


async def test_connecting_takes_no_longer_than_it_may(vendor):
    # The handshake is part of it: this server accepts and never says a word of TLS.
    async with (
        ScriptedUpstream() as upstream,
        provider_of(vendor, upstream.base_url.replace("http:", "https:"), connect_timeout_s=0.05) as provider,
    ):
        with pytest.raises(ProviderError) as caught:
            await provider.run(call(provider), Kept())
        await upstream.wait_hung_up()
    assert caught.value.failure is Failure.CONNECT_TIMEOUT


async def test_upstream_that_speaks_no_tls(vendor):
    class Plain(ScriptedUpstream):
        async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

    async with (
        Plain() as upstream,
        provider_of(vendor, upstream.base_url.replace("http:", "https:")) as provider,
    ):
        with pytest.raises(ProviderError) as caught:
            await provider.run(call(provider), Kept())
    assert caught.value.failure is Failure.CONNECT_FAILED


async def test_host_that_cannot_be_a_name(vendor):
    async with provider_of(vendor, f"http://{'a' * 64}.invalid/v1") as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.run(call(provider), Kept())
    assert caught.value.failure is Failure.CONNECT_FAILED


@each(
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

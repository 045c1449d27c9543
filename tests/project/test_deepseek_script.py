"""test_deepseek_ai.py as a user runs it: a process, its lines and its exit code, against a vendor on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import test_deepseek_ai
from apps.llm.providers import DIALECTS
from apps.llm.providers.base import ProviderConfig
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from promptcraft.settings import ENVIRONMENT
from tests.project.tree import ROOT

KEY = "sk-0123456789abcdef-tail"
CHUNK = '{"id":"x","object":"chat.completion.chunk","created":1790000002,"model":"deepseek-flash","choices":[%s]%s}'
USAGE = (
    ',"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,'
    '"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":10}'
)


def stream(*data: str) -> bytes:
    body = "".join(f"data: {line}\n\n" for line in data)
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return f"{head}: keep-alive\n\n{body}".encode()


def delta(content: str) -> str:
    return CHUNK % (f'{{"index":0,"delta":{{"content":"{content}"}},"finish_reason":null}}', "")


def finish(reason: str) -> str:
    return CHUNK % (f'{{"index":0,"delta":{{"content":""}},"finish_reason":"{reason}"}}', USAGE)


def refusal(status: str, message: str) -> bytes:
    body = json.dumps({"error": {"message": message, "type": "x", "param": None, "code": "invalid_request_error"}})
    return f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


@asynccontextmanager
async def vendor(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve one answer to every request; yield the address and the requests' heads."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


async def run(**environment: str) -> tuple[int, list[str]]:
    """Run the script to its end; return its exit code and all that it printed, line by line."""
    inherited = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "test_deepseek_ai.py",
        cwd=ROOT,
        # DEBUG=0 keeps a developer's own .env, and the key in it, out of this.
        env={**inherited, "DEBUG": "0", "SECRET_KEY": "only-for-tests-" * 4, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode().splitlines()


async def test_without_a_key_the_fallback_answers_at_once():
    code, lines = await run()
    assert code == 0, lines
    assert [line.split(":")[0] for line in lines] == ["ok   key", "ok   fallback"]
    first_token = re.search(r"first token after (\d+) ms", lines[1])
    assert first_token
    assert int(first_token[1]) < 1000
    assert lines[1].endswith("0.000000000 USD")


async def test_with_a_key_a_real_stream_is_read_and_priced():
    answer = stream(delta("Hello there,"), delta(" dear user"), finish("stop"), "[DONE]")
    async with vendor(answer) as (address, heads):
        code, lines = await run(DEEPSEEK_API_KEY=KEY, DEEPSEEK_BASE_URL=address)
    assert code == 0, lines
    (line,) = lines
    assert re.fullmatch(
        r"ok   deepseek: deepseek-flash said 'Hello there, dear user', first token after \d+ ms, "
        # 10 tokens at 0.15 USD and 4 at 0.60 for a million, or twice that at peak.
        r"10 \+ 4 tokens, (0\.000003900|0\.000007800) USD",
        line,
    )
    (head,) = heads
    assert head.startswith(b"POST /chat/completions ")
    assert f"authorization: bearer {KEY}".encode() in head.lower()


async def test_the_model_is_the_configured_one():
    async with vendor(stream(delta("Hi"), finish("stop"), "[DONE]")) as (address, _):
        code, lines = await run(DEEPSEEK_API_KEY=KEY, DEEPSEEK_BASE_URL=address, DEEPSEEK_MODEL="deepseek-unheard-of")
    assert code == 0, lines
    assert "deepseek-unheard-of said 'Hi'" in lines[0]
    assert lines[0].endswith("price unknown")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(refusal("402 Payment Required", "Insufficient Balance"), "balance is empty", id="402"),
        pytest.param(refusal("404 Not Found", "gone"), "check DEEPSEEK_MODEL", id="404"),
        pytest.param(refusal("503 Service Unavailable", "busy"), "DEEPSEEK_SETUP.md", id="503"),
        pytest.param(stream(delta("Hel")), "stream_cut", id="cut"),
        pytest.param(stream("[DONE]"), "stream_cut", id="done-alone"),
        pytest.param(stream(finish("stop"), "[DONE]"), "not a completion", id="empty"),
        pytest.param(stream("<html>"), "not a completion", id="html-event"),
        pytest.param(
            stream(delta("Hel"), finish("insufficient_system_resource"), "[DONE]"), "DEEPSEEK_SETUP.md", id="gave-up"
        ),
        pytest.param(
            stream(delta("Hel"), '{"error":{"message":"secret words","type":"x"}}'), "stream_error", id="error-event"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>", "not a completion", id="html"),
        pytest.param(b"SSH-2.0\r\n", "FAIL deepseek: ", id="not-http"),
    ],
)
async def test_a_failure_is_one_line_that_tells_no_secret(answer, told, capsys):
    async with vendor(answer) as (address, _):
        config = ProviderConfig(api_key=KEY, base_url=address)
        passed = await test_deepseek_ai.check("deepseek", OpenAICompatibleProvider(DIALECTS["deepseek"], config))
    assert not passed
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("FAIL deepseek: ")
    assert told in line
    assert "tail" not in line, "a part of the key is shown"
    assert "secret words" not in line, "the vendor's own words are shown"


async def test_a_wrong_key_is_one_line_and_no_trace():
    async with vendor(refusal("401 Unauthorized", "Your api key: ****tail is invalid")) as (address, _):
        code, lines = await run(DEEPSEEK_API_KEY=KEY, DEEPSEEK_BASE_URL=address)
    assert code == 1
    assert lines == ["FAIL deepseek: the key was refused; check DEEPSEEK_API_KEY, or make a new key"]


async def test_a_refused_connection_is_one_line():
    # Bound and not listening: nobody else can take the port, and nobody answers.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        code, lines = await run(DEEPSEEK_API_KEY=KEY, DEEPSEEK_BASE_URL=f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert code == 1
    assert lines == ["FAIL deepseek: no connection; check the network and DEEPSEEK_BASE_URL"]


@pytest.mark.parametrize(("name", "value"), [("DEEPSEEK_API_KEY", "sk with spaces"), ("DEEPSEEK_BASE_URL", "nonsense")])
async def test_a_malformed_setting_is_one_line(name, value):
    code, lines = await run(**{name: value})
    assert code == 1
    (line,) = lines
    assert line.startswith("FAIL settings: ")
    assert name in line
    assert "sk with" not in line

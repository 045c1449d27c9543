"""The simulator refuses what its vendors refuse, and nothing that the recorded samples sent."""

from __future__ import annotations

from tests.each import each
from tests.sse_client import open_stream
from tests.upstream import UpstreamServer
from tests.upstream_tests.reading import ask

TOOLS = [{"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}]
USER = {"role": "user", "content": "When?"}


@each(
    ("vendor", "fields", "words"),
    [
        ("deepseek", {"messages": []}, "messages is missing"),
        ("deepseek", {"response_format": {"type": "json_object"}}, "the word json"),
        ("deepseek", {"messages": [USER, {"role": "assistant", "content": "At", "prefix": True}]}, "prefix"),
        ("deepseek", {"messages": [{"role": "developer", "content": "x"}, USER]}, "developer"),
        (
            "deepseek",
            {"thinking": None, "messages": [USER, {"role": "assistant", "tool_calls": [{}]}]},
            "reasoning_content",
        ),
        ("zai", {"temperature": 0}, "temperature"),
        ("zai", {"top_p": 1}, "top_p"),
        ("zai", {"messages": [{"role": "developer", "content": "x"}, USER]}, "developer"),
        ("openai", {"user_id": "u"}, "user_id"),
        ("openai", {"fallback": True}, "fallback"),
        ("openai", {"model": "gpt-6-luna", "max_tokens": 5}, "max_completion_tokens"),
        ("openai", {"model": "gpt-5.4-mini", "temperature": 0.2}, "temperature"),
        ("openai", {"model": "gpt-6-luna", "tools": TOOLS}, "reasoning_effort none"),
        ("openai", {"model": "gpt-6.2-sol", "reasoning_effort": "none"}, "refuses"),
        ("openai", {"stream": False}, "stream_options without stream"),
    ],
)
def test_refuses(upstream, vendor, fields, words):
    with ask(upstream, vendor, **fields) as stream:
        assert stream.status in (400, 422)
        assert words in stream.json()["error"]["message"]
    assert upstream.journal[-1].scenario.startswith("refused: ")


@each(
    ("vendor", "fields"),
    [
        (
            "deepseek",
            {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "as JSON"}]},
        ),
        ("deepseek", {"temperature": 0, "max_tokens": 9, "tools": TOOLS}),
        ("zai", {"temperature": 0.01, "top_p": 0.99}),
        ("openai", {"model": "gpt-6-luna", "max_completion_tokens": 5, "tools": TOOLS, "reasoning_effort": "none"}),
        ("openai", {"model": "gpt-4o-mini", "max_tokens": 5, "temperature": 0.2}),
    ],
)
def test_takes(upstream, vendor, fields):
    with ask(upstream, vendor, **fields) as stream:
        assert stream.status == 200


@each("vendor", ["deepseek", "zai", "openai"])
@each("authorization", ["", "Basic eA==", "Bearer sk-wrong-4444"])
def test_refuses_keys(upstream, vendor, authorization):
    headers = {"Authorization": authorization} if authorization else {}
    url = upstream.base_url(vendor) + "/chat/completions"
    with open_stream(url, json={"model": "m", "messages": [USER]}, headers=headers) as stream:
        assert stream.status == 401
        assert ("4444" in stream.json()["error"]["message"]) == ("4444" in authorization)


def test_a_scripted_fault_comes_before_the_rules(upstream):
    upstream.script("openai", "status-503", times=1)
    with ask(upstream, "openai", user_id="u") as stream:
        assert stream.status == 503


def test_rules_can_be_left_out():
    with UpstreamServer(strict=False) as upstream, ask(upstream, "openai", user_id="u") as stream:
        assert stream.status == 200

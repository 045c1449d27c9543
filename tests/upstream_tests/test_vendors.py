"""A whole answer looks like its vendor's."""

from __future__ import annotations

import json

import httpx

from tests.each import each
from tests.sse_client import open_stream
from tests.upstream import VENDORS, Answer, Tokens, UpstreamServer, echo, healthy
from tests.upstream_tests.reading import ask, read

CASES = each("vendor", VENDORS)
HEADERS = {"Authorization": "Bearer sk-any"}


@CASES
def test_names_itself_and_reports_what_the_journal_bills(upstream, vendor):
    with ask(upstream, vendor) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        answer = read(stream.read())
    assert answer.text == VENDORS[vendor].default_text
    assert (answer.finishes, answer.done, len(answer.usages)) == (["stop"], True, 1)
    exchange = upstream.journal[-1]
    usage = answer.usages[0]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (exchange.prompt_tokens, exchange.completion_tokens)
    assert usage["total_tokens"] == exchange.prompt_tokens + exchange.completion_tokens
    assert exchange.usage == Tokens(prompt=exchange.prompt_tokens, completion=exchange.completion_tokens)


def test_deepseek_puts_usage_on_the_finish_chunk_and_thinks_unless_told_not_to(upstream):
    with ask(upstream, "deepseek", thinking=None) as stream:
        assert "x-ds-trace-id" in stream.headers
        answer = read(stream.read())
    assert answer.reasoning
    assert answer.chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": None, "reasoning_content": ""}
    assert answer.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    usage = answer.chunks[-1]["usage"]
    assert usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"] == usage["prompt_tokens"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] > 0
    assert [chunk["usage"] for chunk in answer.chunks[:-1]] == [None] * (len(answer.chunks) - 1)
    with ask(upstream, "deepseek") as stream:
        assert not read(stream.read()).reasoning


def test_zai_repeats_the_role_and_finishes_once(upstream):
    with ask(upstream, "zai", model="glm-4.7", thinking=None) as stream:
        answer = read(stream.read())
    assert answer.reasoning
    assert all(chunk["choices"][0]["delta"]["role"] == "assistant" for chunk in answer.chunks)
    assert ["finish_reason" in chunk["choices"][0] for chunk in answer.chunks].count(True) == 1
    assert ["usage" in chunk for chunk in answer.chunks].count(True) == 1
    assert list(answer.chunks[0])[:4] == ["id", "created", "object", "model"]


def test_openai_sends_usage_in_a_chunk_of_its_own_if_asked(upstream):
    with ask(upstream, "openai") as stream:
        assert stream.headers["x-request-id"].startswith("req_")
        answer = read(stream.read())
    assert answer.chunks[-1]["choices"] == []
    assert all(chunk["usage"] is None for chunk in answer.chunks[:-1])
    assert all("obfuscation" in chunk for chunk in answer.chunks)
    with ask(upstream, "openai", stream_options={"include_obfuscation": False}) as stream:
        answer = read(stream.read())
    assert not answer.usages
    assert all("obfuscation" not in chunk and "usage" not in chunk for chunk in answer.chunks)


@CASES
def test_whole_answer_without_streaming(upstream, vendor):
    upstream.script(vendor, healthy("Six hens.", answer=None))
    with ask(upstream, vendor, stream=False, stream_options=None) as stream:
        document = stream.json()
    assert document["object"] == "chat.completion"
    assert document["choices"][0]["message"]["content"] == "Six hens."
    assert document["usage"]["completion_tokens"] == upstream.journal[-1].completion_tokens == 2


@CASES
def test_max_tokens_cuts_the_answer(upstream, vendor):
    with ask(upstream, vendor, max_tokens=3) as stream:
        answer = read(stream.read())
    assert answer.finishes == ["length"]
    assert VENDORS[vendor].default_text.startswith(answer.text)
    assert answer.usages[0]["completion_tokens"] == 3


@CASES
def test_text_usage_and_model_can_be_told(upstream, vendor):
    upstream.script(vendor, healthy(answer=Answer(text="a b", usage=Tokens(prompt=9, completion=7, cached=4))))
    with ask(upstream, vendor, model="glm-4-any") as stream:
        answer = read(stream.read())
    assert (answer.text, answer.usages[0]["prompt_tokens"], answer.chunks[0]["model"]) == ("a b", 9, "glm-4-any")
    assert (upstream.journal[-1].prompt_tokens, upstream.journal[-1].completion_tokens) == (9, 7)


def test_echo_says_the_last_user_message(upstream):
    upstream.script("openai", echo())
    parts = [{"type": "text", "text": "the second\n owl"}]
    messages = [{"role": "user", "content": "first"}, {"role": "user", "content": parts}]
    with ask(upstream, "openai", messages=messages) as stream:
        assert read(stream.read()).text == "the second\n owl"


@CASES
def test_models_list(upstream, vendor):
    with open_stream(upstream.base_url(vendor) + "/models", headers=HEADERS) as stream:
        assert VENDORS[vendor].default_model in [row["id"] for row in stream.json()["data"]]
    assert upstream.journal[-1].endpoint == "models"


def test_balance_is_deepseeks_alone(upstream):
    with open_stream(upstream.base_url("deepseek") + "/user/balance", headers=HEADERS) as stream:
        assert stream.json()["balance_infos"][0]["total_balance"] == "110.00"
    with open_stream(upstream.base_url("openai") + "/user/balance", headers=HEADERS) as stream:
        assert stream.status == 404


def test_models_and_balance_can_be_scripted(upstream):
    upstream.script("zai", "status-404", endpoint="models")
    with open_stream(upstream.base_url("zai") + "/models", headers=HEADERS) as stream:
        assert stream.status == 404
    with ask(upstream, "zai") as stream:
        assert stream.status == 200


@each("alias", ["/v1", "/beta"])
def test_deepseek_has_its_aliases(upstream, alias):
    url = upstream.base_url("deepseek") + alias + "/chat/completions"
    with open_stream(
        url, json={"model": "m", "messages": [{"role": "user", "content": "x"}]}, headers=HEADERS
    ) as stream:
        assert stream.status == 200


@CASES
def test_the_official_client_streams(upstream, vendor):
    # It takes seconds to import, and every process collects this.
    import openai

    client = openai.OpenAI(base_url=upstream.base_url(vendor), api_key="sk-any", max_retries=0)
    with (
        client,
        client.chat.completions.create(
            model=VENDORS[vendor].default_model,
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        ) as stream,
    ):
        chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == VENDORS[vendor].default_text
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [
        upstream.journal[-1].completion_tokens
    ]


async def test_runs_in_the_loop_of_a_test():
    async with UpstreamServer() as upstream, httpx.AsyncClient(trust_env=False) as client:
        upstream.script("openai", "tool-calls-interleaved")
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}], "stream": True}
        answered = await client.post(upstream.base_url("openai") + "/chat/completions", json=body, headers=HEADERS)
        assert await upstream.wait_for_async(lambda journal: journal and journal[0].complete)
    calls = read(answered.content).tool_calls
    assert calls[0][:2] == ["call_a", "tide"]
    assert json.loads(calls[0][2]) == {"port": "Brest", "note": "café 🦉"}
    assert calls[1] == ["call_b", "moon", "{}"]
    assert upstream.journal[0].model == "gpt-4o-mini"

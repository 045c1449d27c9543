"""OpenAI's own client, pointed here: `base_url = http://HOST/api/v2`, `api_key = <access token>`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.stream_fixtures import PROMPT, Relay
from tests.contract.test_idempotency import use_up
from tests.server import USERNAME
from tests.upstream import PARTIAL, Answer, Gate, ToolCall, healthy

if TYPE_CHECKING:
    import openai

TEXT = "At six, says the caf\u00e9's owl \U0001f989.\u2028\u0085"
MESSAGES: Any = PROMPT
TOOLS: Any = [{"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module", autouse=True)
def import_openai() -> None:
    """Import it where these tests run: it takes seconds, and every process collects them."""
    global openai
    import openai


def client_of(relay: Relay, user: str = USERNAME, **options: Any) -> openai.OpenAI:
    fields: dict[str, Any] = {"api_key": relay.headers(user)["Authorization"].removeprefix("Bearer "), "max_retries": 0}
    return openai.OpenAI(base_url=relay.server.url("/api/v2"), **(fields | options))


@pytest.fixture
def client(relay: Relay) -> Iterator[openai.OpenAI]:
    with client_of(relay) as client:
        yield client


@pytest.fixture
def hurried(hasty: Relay) -> Iterator[openai.OpenAI]:
    with client_of(hasty) as client:
        yield client


class TestAnswers:
    def test_streaming(self, relay: Relay, client: openai.OpenAI):
        relay.upstream.script("deepseek", healthy(answer=Answer(text=TEXT, reasoning="")))
        options: Any = {"include_usage": True}
        with client.chat.completions.create(
            model="auto", messages=MESSAGES, stream=True, stream_options=options
        ) as stream:
            chunks = list(stream)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        assert chunks[0].choices[0].delta.role == "assistant"
        assert {chunk.model for chunk in chunks} == {"deepseek-flash"}
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens > 0

    def test_streaming_helper_joins_the_answer(self, relay: Relay, client: openai.OpenAI):
        call = ToolCall("call_a", "tide", ('{"port":', '"Brest"}'))
        relay.upstream.script("deepseek", healthy(answer=Answer(text="Let me see.", tool_calls=(call,), reasoning="")))
        with client.chat.completions.stream(model="deepseek-flash", messages=MESSAGES, tools=TOOLS) as stream:
            for _ in stream:
                pass
            answer = stream.get_final_completion()
        (choice,) = answer.choices
        assert (choice.message.content, choice.finish_reason) == ("Let me see.", "tool_calls")
        assert choice.message.tool_calls is not None
        (tool_call,) = choice.message.tool_calls
        assert (tool_call.id, tool_call.function.name, tool_call.function.arguments) == (
            "call_a",
            "tide",
            '{"port":"Brest"}',
        )

    def test_without_streaming(self, relay: Relay, client: openai.OpenAI):
        relay.upstream.script("zai", healthy(answer=Answer(text=TEXT, reasoning="")))
        answer = client.chat.completions.create(model="glm-4.7", messages=MESSAGES, max_completion_tokens=50)
        assert answer.choices[0].message.content == TEXT
        assert answer.choices[0].finish_reason == "stop"
        assert answer.model == "glm-4.7"
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is not None
        assert relay.upstream.exchanges("zai")[0].json["max_tokens"] == 50

    def test_tools_both_ways(self, relay: Relay, client: openai.OpenAI):
        call = ToolCall("call_a", "tide", ('{"port":', '"Brest"}'))
        relay.upstream.script("openai", healthy(answer=Answer(tool_calls=(call,))), times=1)
        first = client.chat.completions.create(model="gpt-6-luna", messages=MESSAGES, tools=TOOLS)
        assert first.choices[0].finish_reason == "tool_calls"
        message: Any = first.choices[0].message
        history: Any = [*MESSAGES, message, {"role": "tool", "tool_call_id": "call_a", "content": "at six"}]
        second = client.chat.completions.create(model="gpt-6-luna", messages=history, tools=TOOLS)
        assert second.choices[0].message.content
        sent = relay.upstream.exchanges("openai")[1].json["messages"]
        assert sent[1]["tool_calls"][0]["function"] == {"name": "tide", "arguments": '{"port":"Brest"}'}

    async def test_asynchronous_client(self, relay: Relay):
        relay.upstream.script("deepseek", healthy(answer=Answer(text=TEXT, reasoning="")))
        token = relay.headers()["Authorization"].removeprefix("Bearer ")
        async with openai.AsyncOpenAI(base_url=relay.server.url("/api/v2/"), api_key=token, max_retries=0) as client:
            text = ""
            async with await client.chat.completions.create(model="auto", messages=MESSAGES, stream=True) as stream:
                async for chunk in stream:
                    text += chunk.choices[0].delta.content or ""
            whole = await client.chat.completions.create(model="auto", messages=MESSAGES)
        assert text == whole.choices[0].message.content == TEXT

    def test_models(self, client: openai.OpenAI):
        models = list(client.models.list())
        assert {"deepseek-flash", "glm-4.7", "gpt-6-luna"} <= {model.id for model in models}
        assert client.models.retrieve("glm-4.7").owned_by == "zai"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("owl-1")

    def test_its_listing_of_stored_completions(self, relay: Relay, client: openai.OpenAI):
        made = client.chat.completions.create(model="auto", messages=MESSAGES)
        assert client.chat.completions.list(limit=1).data[0].id == made.id
        assert client.chat.completions.retrieve(made.id).choices[0].message.content == made.choices[0].message.content

    def test_leaving_early_closes_upstream(self, relay: Relay, client: openai.OpenAI):
        relay.upstream.script("deepseek", "drip-for-ever")
        with client.chat.completions.create(model="auto", messages=MESSAGES, stream=True) as stream:
            next(iter(stream))
        assert relay.upstream.wait_hung_up("deepseek").hung_up_at_s

    @pytest.mark.parametrize("after", [0, 1])
    def test_keep_alives(self, hasty: Relay, hurried: openai.OpenAI, after: int):
        """Silence before the first content and within the answer, until the server has said something of it."""
        gate = Gate()
        hasty.upstream.script(
            "deepseek", healthy(answer=Answer(pieces=("One ", "two"), reasoning=""), gate=gate, gate_after=after)
        )
        with hurried.chat.completions.create(model="auto", messages=MESSAGES, stream=True) as stream:
            chunks = iter(stream)
            text = "".join(next(chunks).choices[0].delta.content or "" for _ in range(after))
            with hasty.events(hasty.running_id(), after) as other:
                assert next(other.lines()).data == b": ping"
            gate.release()
            text += "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == "One two"


class TestErrors:
    def test_authentication(self, relay: Relay):
        with client_of(relay, api_key="nonsense") as client, pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model="auto", messages=MESSAGES)
        assert (caught.value.status_code, caught.value.code) == (401, "invalid_token")
        assert caught.value.type == "authentication_error"

    @pytest.mark.parametrize("stream", [True, False])
    def test_bad_request(self, client: openai.OpenAI, stream: bool):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="auto", messages=MESSAGES, temperature=3, stream=stream)
        error = caught.value
        assert (error.status_code, error.param, error.type) == (400, "temperature", "invalid_request_error")
        assert error.request_id

    @pytest.mark.parametrize("stream", [True, False])
    def test_a_model_of_nobody(self, client: openai.OpenAI, stream: bool):
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model="owl-1", messages=MESSAGES, stream=stream)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")

    def test_rate_limit(self, hasty: Relay):
        user = hasty.new_user()
        use_up(hasty, user)
        with client_of(hasty, user) as client, pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="auto", messages=MESSAGES, stream=True)
        assert (caught.value.code, caught.value.type) == ("rate_limited", "rate_limit_error")
        assert int(caught.value.response.headers["retry-after"]) >= 1

    def test_conflict(self, client: openai.OpenAI):
        headers = {"Idempotency-Key": "the-official-client"}
        client.chat.completions.create(model="auto", messages=MESSAGES, extra_headers=headers)
        with pytest.raises(openai.ConflictError) as caught:
            client.chat.completions.create(model="auto", messages=MESSAGES, seed=1, extra_headers=headers)
        assert caught.value.code == "idempotency_conflict"

    def test_every_provider_failed(self, relay: Relay, client: openai.OpenAI):
        for vendor in ("deepseek", "zai", "openai"):
            relay.upstream.script(vendor, "status-500")
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="auto", messages=MESSAGES, stream=True)
        assert (caught.value.status_code, caught.value.code) == (502, "all_providers_failed")

    def test_it_does_not_try_again_what_could_bill_twice(self, relay: Relay):
        relay.upstream.script("deepseek", "cut-by-reset")
        with client_of(relay, max_retries=2) as client, pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model="auto", messages=MESSAGES)
        assert caught.value.code == "stream_interrupted"
        assert len(relay.upstream.exchanges()) == 1

    def test_in_the_stream(self, relay: Relay, client: openai.OpenAI):
        relay.upstream.script("deepseek", "cut-by-reset")
        with client.chat.completions.create(model="auto", messages=MESSAGES, stream=True) as stream:
            chunks = iter(stream)
            text = "".join(next(chunks).choices[0].delta.content or "" for _ in range(2))
            with pytest.raises(openai.APIError) as caught:
                next(chunks)
        assert text == PARTIAL
        assert (caught.value.code, caught.value.type) == ("stream_interrupted", "provider_error")

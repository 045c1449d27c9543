"""The mock: development's provider. No network, no cost, the same request gets the same answer.

It writes raw SSE bytes in OpenAI's form into the same sink as a real provider, at a readable pace, and rehearses
faults by scenario (`scenario.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from apps.llm.errors import Failure, ProviderError
from apps.llm.providers.base import Call, ModelFacts, Sink, Target
from apps.llm.providers.mock_answer import MockAnswer, compose
from apps.llm.providers.scenario import SCENARIOS, Scenario, parse_scenario
from apps.llm.tokens import estimate_prompt_tokens
from apps.llm.wire.json import dumps
from apps.llm.wire.shaping import Shaping
from apps.llm.wire.types import CompletionRequest

__all__ = ["SCENARIOS", "MockProvider", "parse_scenario"]

_MODEL = ModelFacts(
    id="mock",
    context_window_tokens=1_000_000,
    max_output_tokens=100_000,
    created=0,
    images=True,
    reasoning=True,
)
# Completions that were rate limited once and wait for their second run; the oldest is forgotten at this many.
_RATE_LIMITED_KEPT = 1024
_RETRY_AFTER_S = 0.2


class MockProvider:
    """A provider that talks to nobody. All delays are seconds and may be 0; even then it yields to the loop."""

    name = "mock"
    mock = True
    default_model = "mock"

    def __init__(
        self,
        *,
        first_token_s: float = 0.04,
        token_gap_s: float = 0.012,
        slow_first_token_s: float = 3.0,
        long_gap_s: float = 0.001,
        stall_comment_s: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._first_token_s = first_token_s
        self._token_gap_s = token_gap_s
        self._slow_first_token_s = slow_first_token_s
        self._long_gap_s = long_gap_s
        self._stall_comment_s = stall_comment_s
        self._clock = clock
        self._rate_limited: OrderedDict[str, None] = OrderedDict()

    def resolve(self, model: str | None, *, by_name: bool = False) -> Target | None:
        """Return the one target, for `mock` and for no name at all."""
        del by_name
        if model in (None, "mock"):
            return Target(provider=self.name, model=_MODEL.id, facts=_MODEL)
        return None

    def models(self) -> tuple[ModelFacts, ...]:
        """Return the one model."""
        return (_MODEL,)

    def lacks(self, request: CompletionRequest, target: Target) -> str | None:
        """Return None: it takes everything, though it understands little of it."""
        del request, target
        return None

    def classify_stream_error(self, error: Mapping[str, Any]) -> ProviderError:
        """Return STREAM_ERROR: its scenarios know no other."""
        del error
        return ProviderError(Failure.STREAM_ERROR, detail="error event")

    def doubts(self, request: CompletionRequest, target: Target) -> bool:
        """Return False."""
        del request, target
        return False

    def ignored(self, request: CompletionRequest, target: Target) -> tuple[str, ...]:
        """Name what a model would heed and the mock does not."""
        del target
        return (*request.parameters, *request.unknown)

    def shaping(self, request: CompletionRequest, target: Target) -> Shaping | None:
        """Return None: it stops and writes JSON by itself."""
        del request, target
        return None

    def price_percent(self, request: CompletionRequest) -> int | None:
        """Return 100: the listed price is nothing."""
        del request
        return 100

    async def run(self, call: Call, sink: Sink) -> None:
        """Feed the sink the answer or the fault that the scenario asks for. Raises ProviderError."""
        scenario = Scenario.of(call.scenario)
        self._refuse(call, scenario)
        answer = compose(call.request, scenario.name)
        slow = scenario.name == "slow_first_token"
        gap_s = self._long_gap_s if scenario.name == "long" else self._token_gap_s
        wait_s = self._slow_first_token_s if slow else self._first_token_s
        events = _Events(completion_id=call.completion_id, created=int(self._clock()))
        faulty = scenario.name in ("cut_after_n", "error_after_n", "stall")
        sink.feed(events.delta({"role": "assistant", "content": None if answer.tool else ""}))
        for count, event in enumerate(events.of(answer)):
            await asyncio.sleep(wait_s)
            wait_s = gap_s
            if faulty and count == scenario.after_tokens:
                await self._break(scenario, event, sink)
                return
            sink.feed(event)
        if faulty:
            # The answer was shorter than the count: the fault comes in the place of its end.
            await self._break(scenario, events.finish(answer), sink)
            return
        sink.feed(events.finish(answer))
        if scenario.name != "no_usage":
            sink.feed(events.usage(call.request, answer))
        sink.feed(b"data: [DONE]\n\n")

    async def aclose(self) -> None:
        """Return: there is nothing to close."""

    def _refuse(self, call: Call, scenario: Scenario) -> None:
        if scenario.name == "error_first":
            raise ProviderError(Failure.SERVER_ERROR, status=500, detail="scenario")
        if scenario.name != "rate_limited_then_ok":
            return
        if call.completion_id in self._rate_limited:
            del self._rate_limited[call.completion_id]
            return
        self._rate_limited[call.completion_id] = None
        if len(self._rate_limited) > _RATE_LIMITED_KEPT:
            self._rate_limited.popitem(last=False)
        raise ProviderError(Failure.RATE_LIMITED, retry_after_s=_RETRY_AFTER_S, status=429, detail="scenario")

    async def _break(self, scenario: Scenario, event: bytes, sink: Sink) -> None:
        if scenario.name == "cut_after_n":
            # Half an event and then the end, as a connection that breaks.
            sink.feed(event[: len(event) // 2])
            return
        if scenario.name == "error_after_n":
            fault = {"message": "The mock was asked to fail here.", "type": "server_error", "param": None, "code": None}
            sink.feed(b"data: " + dumps({"error": fault}) + b"\n\n")
            return
        while True:
            # Alive and silent: what a watchdog that counts bytes never notices.
            await asyncio.sleep(self._stall_comment_s)
            sink.feed(b": keep-alive\n\n")


class _Events:
    """The SSE events of one answer."""

    def __init__(self, *, completion_id: str, created: int) -> None:
        self._head = {
            "id": f"mock-{completion_id}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": _MODEL.id,
            "system_fingerprint": None,
        }
        self._call_id = f"call_{completion_id[-12:]}"

    def of(self, answer: MockAnswer) -> Iterator[bytes]:
        """Yield one event for each token: reasoning, then content or the tool call."""
        for token in answer.reasoning:
            yield self.delta({"reasoning_content": token})
        for token in answer.content:
            yield self.delta({"content": token})
        if answer.tool is not None:
            function = {"name": answer.tool, "arguments": ""}
            yield self._tool_delta({"id": self._call_id, "type": "function", "function": function})
            for token in answer.arguments:
                yield self._tool_delta({"function": {"arguments": token}})

    def delta(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        """Write one chunk."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._event({**self._head, "choices": [choice], "usage": None})

    def finish(self, answer: MockAnswer) -> bytes:
        """Write the chunk with the finish reason."""
        return self.delta({}, answer.finish_reason)

    def usage(self, request: CompletionRequest, answer: MockAnswer) -> bytes:
        """Write the usage chunk."""
        prompt_tokens = estimate_prompt_tokens(request)
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": answer.tokens,
            "total_tokens": prompt_tokens + answer.tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": len(answer.reasoning)},
        }
        return self._event({**self._head, "choices": [], "usage": usage})

    def _tool_delta(self, fragment: Mapping[str, Any]) -> bytes:
        return self.delta({"tool_calls": [{"index": 0, **fragment}]})

    @staticmethod
    def _event(chunk: Mapping[str, Any]) -> bytes:
        return b"data: " + dumps(chunk) + b"\n\n"

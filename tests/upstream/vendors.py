"""How each vendor's answers look on the wire.

Vendor
├── DeepSeek    usage on the finish chunk, thinking unless told otherwise, `x-ds-trace-id`
├── Zai         role in every delta, finish key in the last chunk alone, tool calls whole
└── OpenAI      usage in a chunk of its own and only when asked for, obfuscation, `refusal`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.upstream.journal import Tokens
from tests.upstream.request import UpstreamRequest
from tests.upstream.vendor import CREATED, Answer, ToolCall, Vendor

__all__ = ["VENDORS", "DeepSeek", "OpenAI", "Zai"]


class DeepSeek(Vendor):
    """DeepSeek's habits."""

    name = "deepseek"
    label = "DeepSeek"
    path = "/deepseek"
    default_model = "deepseek-flash"
    model_ids = ("deepseek-flash", "deepseek-v4-pro")
    usage_placement = "finish"

    def id_headers(self, number: int) -> list[tuple[str, str]]:
        return [("x-ds-trace-id", f"{number:032x}")]

    def completion_id(self, request: UpstreamRequest) -> str:
        return f"{request.number:08x}-7f-ds"

    def thinks(self, request: UpstreamRequest) -> bool:
        return request.thinking is not False

    def chunk(self, request: UpstreamRequest, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self.envelope(request) | {"choices": [choice]}

    def opening(self, request: UpstreamRequest, answer: Answer) -> Mapping[str, Any]:
        if answer.reasoning:
            return {"role": "assistant", "content": None, "reasoning_content": ""}
        return {"role": "assistant", "content": ""}

    def delta(self, kind: str, piece: str, *, thinking: bool) -> dict[str, Any]:
        if kind == "reasoning_content":
            return {"content": None, "reasoning_content": piece}
        return {kind: piece, "reasoning_content": None} if thinking else {kind: piece}

    def finish_delta(self, content: str, *, thinking: bool) -> dict[str, Any]:
        return {"content": content, "reasoning_content": None} if thinking else {"content": content}

    def usage(self, tokens: Tokens) -> dict[str, Any]:
        plain = super().usage(tokens)
        cache = {
            "prompt_cache_hit_tokens": tokens.cached,
            "prompt_cache_miss_tokens": tokens.prompt - tokens.cached,
        }
        return dict(list(plain.items())[:3]) | cache | dict(list(plain.items())[3:])


class Zai(Vendor):
    """Z.AI's habits."""

    name = "zai"
    label = "Z.AI"
    path = "/zai/api/paas/v4"
    default_model = "glm-4-32b-0414-128k"
    model_ids = ("glm-4-32b-0414-128k", "glm-4.7", "glm-4.7-flash", "glm-5.2")
    usage_placement = "finish"
    stream_type = "text/event-stream"

    def id_headers(self, number: int) -> list[tuple[str, str]]:
        return [("x-log-id", f"20261122{number:08d}")]

    def completion_id(self, request: UpstreamRequest) -> str:
        return f"20261122{request.number:06d}"

    def thinks(self, request: UpstreamRequest) -> bool:
        return request.thinking is not False and not request.model.startswith("glm-4-")

    def envelope(self, request: UpstreamRequest) -> dict[str, Any]:
        return {
            "id": self.completion_id(request),
            "created": CREATED + request.number,
            "object": "chat.completion.chunk",
            "model": request.model or self.default_model,
        }

    def chunk(self, request: UpstreamRequest, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0} | ({"finish_reason": finish} if finish else {}) | {"delta": delta}
        return self.envelope(request) | {"choices": [choice]}

    def opening(self, request: UpstreamRequest, answer: Answer) -> None:
        return None

    def delta(self, kind: str, piece: str, *, thinking: bool) -> dict[str, Any]:
        return {"role": "assistant", kind: piece}

    def tool_deltas(self, calls: tuple[ToolCall, ...]) -> Iterator[dict[str, Any]]:
        for index, call in enumerate(calls):
            function = {"name": call.name, "arguments": call.arguments}
            yield {"tool_calls": [{"id": call.id, "index": index, "type": "function", "function": function}]}

    def finish_delta(self, content: str, *, thinking: bool) -> dict[str, Any]:
        return {"role": "assistant", "content": content}


class OpenAI(Vendor):
    """OpenAI's habits."""

    name = "openai"
    label = "OpenAI"
    path = "/openai/v1"
    default_model = "gpt-6-luna"
    model_ids = ("gpt-6-luna", "gpt-6.2-sol", "gpt-5.4-mini", "gpt-4o-mini")
    usage_placement = "extra"

    def id_headers(self, number: int) -> list[tuple[str, str]]:
        return [
            ("x-request-id", f"req_{number:032x}"),
            ("openai-processing-ms", "120"),
            ("openai-version", "2020-10-01"),
            ("x-ratelimit-remaining-requests", "9999"),
            ("x-ratelimit-reset-requests", "120ms"),
        ]

    def opening(self, request: UpstreamRequest, answer: Answer) -> Mapping[str, Any]:
        return {"role": "assistant", "content": None if answer.tool_calls else "", "refusal": None}

    def padding(self, request: UpstreamRequest) -> dict[str, Any]:
        options = request.body.get("stream_options")
        asked = not isinstance(options, dict) or options.get("include_obfuscation") is not False
        return {"obfuscation": "a8Kz"} if asked else {}


VENDORS: Mapping[str, Vendor] = {vendor.name: vendor for vendor in (DeepSeek(), Zai(), OpenAI())}

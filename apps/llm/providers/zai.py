"""Z.AI, called BigModel in China: https://docs.z.ai."""

from __future__ import annotations

from typing import Any

from apps.llm.errors import Failure
from apps.llm.providers.base import Call, ModelFacts, Target
from apps.llm.providers.dialect import Dialect
from apps.llm.wire.openai import CompletionRequest, Message

__all__ = ["Zai"]

# `temperature` and `top_p` lie strictly between 0 and 1; the vendor's own SDK moves what does not to these.
_LOWEST, _HIGHEST = 0.01, 0.99
_TENANT_CHARS_AT_LEAST = 6
_THINKS_ALWAYS = frozenset({"glm-5.3-flash"})


def _glm(model: str, context_tokens: int, output_tokens: int = 128_000, *, reasoning: bool = True) -> ModelFacts:
    return ModelFacts(
        id=model,
        context_window_tokens=context_tokens,
        max_output_tokens=output_tokens,
        created=0,
        reasoning=reasoning,
    )


class Zai(Dialect):
    """Z.AI's facts.

    `logprobs`, the penalties, `logit_bias` and `n` are unknown to it. `tool_choice` is said to know `auto` alone:
    `none` is served by leaving the tools out; one that forces a call is passed on, where nobody else can serve it.
    """

    name = "zai"
    base_url = "https://api.z.ai/api/paas/v4"
    default_model = "glm-4-32b-0414-128k"
    catalogue = (
        _glm("glm-4-32b-0414-128k", 128_000, 16_000, reasoning=False),
        _glm("glm-4.5", 128_000, 96_000),
        _glm("glm-4.5-air", 128_000, 96_000),
        _glm("glm-4.5-flash", 128_000, 96_000),
        _glm("glm-4.6", 200_000),
        _glm("glm-4.7", 200_000),
        _glm("glm-4.7-flash", 200_000),
        _glm("glm-4.7-flashx", 200_000),
        _glm("glm-5", 200_000),
        _glm("glm-5-turbo", 200_000),
        _glm("glm-5.1", 200_000),
        _glm("glm-5.2", 1_000_000),
        _glm("glm-5.3", 1_000_000),
        _glm("glm-5.3-flash", 1_000_000),
        _glm("glm-5.3-flashx", 1_000_000),
    )
    prefixes = ("glm-",)
    parameters = frozenset({"temperature", "top_p", "do_sample", "seed", "tool_stream"})
    tenant_field = "user_id"
    stop_limit = 1
    strict_tools = False
    answers_by_tool = True
    # https://docs.z.ai/api-reference/api-code
    error_codes = {
        "500": Failure.SERVER_ERROR,
        **dict.fromkeys(("1000", "1001", "1002", "1003", "1004"), Failure.KEY_REFUSED),
        # The account is inactive, absent, locked, banned or lacks the permission.
        **dict.fromkeys(("1110", "1111", "1112", "1121", "1220"), Failure.KEY_REFUSED),
        "1113": Failure.OUT_OF_FUNDS,
        "1120": Failure.SERVER_ERROR,
        **dict.fromkeys(("1210", "1213", "1214", "1215"), Failure.REQUEST_REJECTED),
        # The model, its method or its API is gone, or the plan does not hold it.
        **dict.fromkeys(("1211", "1212", "1221", "1222", "1311"), Failure.MODEL_NOT_FOUND),
        **dict.fromkeys(("1230", "1231", "1234"), Failure.SERVER_ERROR),
        "1261": Failure.CONTEXT_LENGTH_EXCEEDED,
        **dict.fromkeys(("1300", "1301"), Failure.CONTENT_FILTERED),
        **dict.fromkeys(("1302", "1303", "1305", "1312"), Failure.RATE_LIMITED),
        # A day's cap, a plan's quota or its term is used up: hours away, so the breaker is to open as for no money.
        **dict.fromkeys(("1304", "1308", "1309", "1310", "1313"), Failure.OUT_OF_FUNDS),
    }

    def doubts(self, request: CompletionRequest, target: Target) -> bool:
        """Whether a call is to be forced, the client's or that which is the answer."""
        forced = request.tools and request.tool_choice not in (None, "auto", "none")
        return bool(forced) or self.answer_tool(request, target) is not None

    def thinks_regardless(self, target: Target) -> bool:
        """Whether the model refuses to be told not to think."""
        return target.model in _THINKS_ALWAYS

    def body(self, call: Call) -> dict[str, Any]:
        """Build the body; a tenant id that is too short for the vendor is left out."""
        body = super().body(call)
        if len(call.user_hash) < _TENANT_CHARS_AT_LEAST:
            body.pop(self.tenant_field, None)
        return body

    def shape(self, body: dict[str, Any], request: CompletionRequest, target: Target) -> None:
        """Keep sampling inside its open interval and pass thinking to the models that have it."""
        for name in ("temperature", "top_p"):
            if name in body:
                body[name] = min(max(body[name], _LOWEST), _HIGHEST)
        if request.tool_choice == "none" and self.answer_tool(request, target) is None:
            body.pop("tools", None)
        if body.get("tool_choice") in ("auto", "none"):
            del body["tool_choice"]
        thinking = self.thinking(request, target)
        if thinking is None or (target.facts is not None and not target.facts.reasoning):
            return
        if thinking or not self.thinks_regardless(target):
            body["thinking"] = {"type": "enabled" if thinking else "disabled"}
        if thinking and target.model.startswith("glm-5") and request.reasoning_effort not in (None, "none"):
            body["reasoning_effort"] = request.reasoning_effort

    def message(self, message: Message, target: Target) -> dict[str, Any]:
        """Return a message; reasoning goes back to the models that can have written it."""
        wire = super().message(message, target)
        reasoning = message.wire.get("reasoning_content")
        if reasoning and (target.facts is None or target.facts.reasoning):
            wire["reasoning_content"] = reasoning
        return wire

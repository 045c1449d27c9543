"""DeepSeek: https://api-docs.deepseek.com."""

from __future__ import annotations

from typing import Any

from apps.llm.errors import Failure
from apps.llm.providers.base import ModelFacts, Target
from apps.llm.providers.dialect import Alias, Dialect
from apps.llm.wire.openai import CompletionRequest

__all__ = ["DeepSeek"]

_CONTEXT_TOKENS = 1_000_000
_OUTPUT_TOKENS = 384_000
_UNHEEDED_BY_THOUGHT = frozenset({"temperature", "presence_penalty", "frequency_penalty"})


class DeepSeek(Dialect):
    """DeepSeek's facts.

    Its models think unless told not to, at the price of the reasoning tokens; here they think when asked to. While
    thinking, the vendor ignores `temperature` and the penalties, and refuses a forced `tool_choice`.
    """

    name = "deepseek"
    base_url = "https://api.deepseek.com"
    default_model = "deepseek-flash"
    catalogue = (
        ModelFacts(
            id="deepseek-flash",
            context_window_tokens=_CONTEXT_TOKENS,
            max_output_tokens=_OUTPUT_TOKENS,
            created=0,
            images=True,
            reasoning=True,
        ),
        ModelFacts(
            id="deepseek-v4-pro",
            context_window_tokens=_CONTEXT_TOKENS,
            max_output_tokens=_OUTPUT_TOKENS,
            created=0,
            reasoning=True,
        ),
    )
    prefixes = ("deepseek-",)
    # The first two were retired on 2026-07-24; the vendor still takes the others and serves them with flash.
    aliases = {
        "deepseek-chat": Alias(model="deepseek-flash", thinking=False),
        "deepseek-reasoner": Alias(model="deepseek-flash", thinking=True),
        "deepseek-v4-flash": Alias(model="deepseek-flash"),
        "deepseek-v4-flash-vision-exp": Alias(model="deepseek-flash"),
    }
    # `seed`, `n`, `user` and `logit_bias` are not in the vendor's reference.
    parameters = frozenset(
        {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"}
    )
    answers_by_tool = True
    # Turns with tool calls that were thought about are refused without their reasoning_content.
    message_fields = Dialect.message_fields | {"reasoning_content"}
    tenant_field = "user_id"
    # Its `code` is "invalid_request_error" whatever happened.
    error_phrases = {
        "model not exist": Failure.MODEL_NOT_FOUND,
        "content exists risk": Failure.CONTENT_FILTERED,
        "insufficient balance": Failure.OUT_OF_FUNDS,
        # A turn that called a tool came back without what the model thought before it.
        "reasoning_content": Failure.REASONING_MISSING,
    }

    def lacks(self, request: CompletionRequest, target: Target) -> str | None:
        """Name what cannot be served; a forced tool call and thinking exclude each other."""
        forced = request.tools and request.tool_choice not in (None, "auto", "none")
        if forced and self.thinking(request, target):
            return "tool_choice"
        return super().lacks(request, target)

    def taken(self, request: CompletionRequest, target: Target) -> frozenset[str]:
        """Return the parameters: while it thinks it takes some of them and does not heed them."""
        return self.parameters - _UNHEEDED_BY_THOUGHT if self.thinking(request, target) else self.parameters

    def may_force(self, request: CompletionRequest, target: Target) -> bool:
        """Whether it can be made to call a tool: not while it thinks."""
        return not self.thinking(request, target)

    def shape(self, body: dict[str, Any], request: CompletionRequest, target: Target) -> None:
        """Switch thinking on or off; the vendor folds every effort into its own three steps."""
        thinking = bool(self.thinking(request, target))
        body["thinking"] = {"type": "enabled" if thinking else "disabled"}
        if thinking and request.reasoning_effort not in (None, "none"):
            body["reasoning_effort"] = request.reasoning_effort
        if thinking:
            for message in body["messages"]:
                # Generic clients drop what they do not know; absent it is refused, empty it is taken.
                if message.get("tool_calls"):
                    message.setdefault("reasoning_content", "")

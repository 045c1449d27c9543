"""OpenAI: https://developers.openai.com/api/docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.llm.errors import Failure
from apps.llm.providers.base import ModelFacts, Target
from apps.llm.providers.dialect import Dialect
from apps.llm.wire.openai import CompletionRequest

__all__ = ["OpenAI"]

# Fields that models which can reason refuse, or take at their default only, whatever the effort.
_SAMPLING = frozenset(
    {
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "prediction",
    }
)
_REASONS_ONLY = frozenset({"verbosity"})
# An id outside the catalogue that begins so is taken for a model that can reason.
_REASONING_PREFIXES = ("gpt-5", "gpt-6", "o1", "o3", "o4")
# The least effort of each model that can reason; "low" for those not named.
_LEAST_EFFORT: Mapping[str, str] = {
    **dict.fromkeys(("gpt-5", "gpt-5-mini", "gpt-5-nano"), "minimal"),
    **dict.fromkeys(("gpt-5.1", "gpt-5.2", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano", "gpt-5.5"), "none"),
    **dict.fromkeys(("gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-6-luna"), "none"),
}
# Chat Completions takes tools for these with effort "none" only.
_TOOLS_WITHOUT_EFFORT = frozenset(
    {
        "gpt-5.4",
        "gpt-5.4-mini",
        "gpt-5.4-nano",
        "gpt-5.5",
        "gpt-5.6-sol",
        "gpt-5.6-terra",
        "gpt-5.6-luna",
        "gpt-6-luna",
    }
)
_LARGE, _MEDIUM = 1_050_000, 400_000


def _gpt(
    model: str, context_tokens: int, output_tokens: int = 128_000, *, created: int = 0, tools: bool = True
) -> ModelFacts:
    return ModelFacts(
        id=model,
        context_window_tokens=context_tokens,
        max_output_tokens=output_tokens,
        created=created,
        tools=tools,
        images=True,
        reasoning=model.startswith(_REASONING_PREFIXES),
    )


class OpenAI(Dialect):
    """OpenAI's facts.

    Models that can reason refuse sampling fields (`temperature`, `top_p`, the penalties, `logprobs`, `logit_bias`,
    `prediction`): these are dropped for them, as they only colour an answer. `stop` decides where an answer ends,
    so such a model lacks it. `service_tier`, `store` and `metadata` are dropped always: they would change what the
    operator pays or what the vendor keeps.
    """

    name = "openai"
    base_url = "https://api.openai.com/v1"
    default_model = "gpt-6-luna"
    catalogue = (
        # Released on 2026-09-22.
        _gpt("gpt-6-luna", _LARGE, created=1_790_035_200),
        _gpt("gpt-6.2-sol", _LARGE, tools=False),
        _gpt("gpt-6-astra", _LARGE, tools=False),
        _gpt("gpt-5.6-sol", _LARGE),
        _gpt("gpt-5.6-terra", _LARGE),
        _gpt("gpt-5.6-luna", _LARGE),
        _gpt("gpt-5.5", _LARGE),
        _gpt("gpt-5.4", _LARGE),
        _gpt("gpt-5.4-mini", _MEDIUM),
        _gpt("gpt-5.4-nano", _MEDIUM),
        _gpt("gpt-5.2", _MEDIUM),
        _gpt("gpt-5.1", _MEDIUM),
        # These three end on 2026-12-11, those after them on 2027-01-14.
        _gpt("gpt-5", _MEDIUM),
        _gpt("gpt-5-mini", _MEDIUM),
        _gpt("gpt-5-nano", _MEDIUM),
        _gpt("gpt-4.1", 1_047_576, 32_768),
        _gpt("gpt-4.1-mini", 1_047_576, 32_768),
        _gpt("gpt-4o", 128_000, 16_384),
        _gpt("gpt-4o-mini", 128_000, 16_384),
    )
    prefixes = ("gpt-", "chatgpt-", "o1", "o3", "o4")
    parameters = _SAMPLING | _REASONS_ONLY | {"seed", "parallel_tool_calls", "prompt_cache_key"}
    message_fields = Dialect.message_fields | {"refusal"}
    max_tokens_field = "max_completion_tokens"
    tenant_field = "safety_identifier"
    developer_role = "developer"
    stop_limit = 4
    json_formats = frozenset({"json_object", "json_schema"})
    error_codes = {
        "account_deactivated": Failure.KEY_REFUSED,
        "invalid_prompt": Failure.CONTENT_FILTERED,
        "unsupported_country_region_territory": Failure.KEY_REFUSED,
    }

    def lacks(self, request: CompletionRequest, target: Target) -> str | None:
        """Name what cannot be served; on some models tools and reasoning exclude each other."""
        if request.stop and _reasons(target):
            return "stop"
        if request.tools and target.model in _TOOLS_WITHOUT_EFFORT and self.thinking(request, target):
            return "thinking" if request.thinking else "reasoning_effort"
        return super().lacks(request, target)

    def shape(self, body: dict[str, Any], request: CompletionRequest, target: Target) -> None:
        """Choose the effort and drop the fields that the model would refuse."""
        # Padding against traffic analysis; every chunk would carry it.
        body["stream_options"]["include_obfuscation"] = False
        if not request.tools:
            body.pop("parallel_tool_calls", None)
        for name in self._refused(target):
            body.pop(name, None)
        effort = self.effort(request, target)
        if effort is not None:
            body["reasoning_effort"] = effort

    def effort(self, request: CompletionRequest, target: Target) -> str | None:
        """Return the `reasoning_effort` to send; None leaves it to the vendor.

        `thinking: false` and effort `none` mean the least that the model takes, `thinking: true` means `medium`
        unless an effort is given.
        """
        thinking = self.thinking(request, target)
        if not _reasons(target):
            return request.reasoning_effort if target.facts is None else None
        if thinking is None:
            quiet = target.model == self.default_model or (request.tools and target.model in _TOOLS_WITHOUT_EFFORT)
            return "none" if quiet else None
        if not thinking:
            return _LEAST_EFFORT.get(target.model, "low")
        return "medium" if request.reasoning_effort in (None, "none") else request.reasoning_effort

    def _refused(self, target: Target) -> frozenset[str]:
        if _reasons(target):
            return _SAMPLING
        return frozenset() if target.facts is None else _REASONS_ONLY


def _reasons(target: Target) -> bool:
    if target.facts is not None:
        return target.facts.reasoning
    return target.model.startswith(_REASONING_PREFIXES)

"""OpenAI: https://developers.openai.com/api/docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.llm.errors import Failure
from apps.llm.providers.base import ModelFacts, Target
from apps.llm.providers.dialect import Dialect
from apps.llm.wire.openai import CompletionRequest

__all__ = ["OpenAI"]

# Fields that models which can reason refuse, or take at their default only: they colour an answer and no more.
_SAMPLING = frozenset(
    {
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
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
# The vendor says so: on Chat Completions with effort "none" only.
_NO_TOOLS_WITH_EFFORT = frozenset({"gpt-6-luna"})
# They refuse effort "none", so that tools are likely to be refused as well. Nobody has seen it.
_DOUBTFUL_TOOLS = frozenset({"gpt-6.2-sol", "gpt-6-astra"})
# Asked for tools without an effort, these get "none": with one they may refuse them.
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
# A tier that is not here is sold by contract.
_PERCENT_OF_TIER: Mapping[str, int] = {"auto": 100, "default": 100, "flex": 50, "fast": 200, "priority": 200}
_LARGE, _MEDIUM = 1_050_000, 400_000


def _gpt(model: str, context_tokens: int, output_tokens: int = 128_000, *, created: int = 0) -> ModelFacts:
    return ModelFacts(
        id=model,
        context_window_tokens=context_tokens,
        max_output_tokens=output_tokens,
        created=created,
        images=True,
        reasoning=model.startswith(_REASONING_PREFIXES),
    )


class OpenAI(Dialect):
    """OpenAI's facts.

    Models that can reason refuse sampling fields (`temperature`, `top_p`, the penalties, `logit_bias`, `prediction`):
    these are dropped for them, as they only colour an answer. They are said to refuse `logprobs`, which an answer is
    incomplete without: that is passed on. They refuse `stop` too: their answers are cut here.
    """

    name = "openai"
    base_url = "https://api.openai.com/v1"
    default_model = "gpt-6-luna"
    catalogue = (
        # Released on 2026-09-22.
        _gpt("gpt-6-luna", _LARGE, created=1_790_035_200),
        _gpt("gpt-6.2-sol", _LARGE),
        _gpt("gpt-6-astra", _LARGE),
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
    parameters = (
        _SAMPLING
        | _REASONS_ONLY
        | {
            *("logprobs", "top_logprobs", "seed", "parallel_tool_calls", "web_search_options", "modalities"),
            *("prompt_cache_key", "prompt_cache_retention", "service_tier", "store", "metadata"),
        }
    )
    message_fields = Dialect.message_fields | {"refusal"}
    parts = frozenset({"text", "refusal", "image_url", "input_audio", "file"})
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
        """Name what cannot be served; on one model tools and reasoning exclude each other."""
        if request.tools and target.model in _NO_TOOLS_WITH_EFFORT and self.thinking(request, target):
            return "thinking" if request.thinking else "reasoning_effort"
        return super().lacks(request, target)

    def shape(self, body: dict[str, Any], request: CompletionRequest, target: Target) -> None:
        """Choose the effort, and ask for no padding."""
        # Padding against traffic analysis; every chunk would carry it.
        body["stream_options"]["include_obfuscation"] = False
        if not request.tools:
            body.pop("parallel_tool_calls", None)
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

    def doubts(self, request: CompletionRequest, target: Target) -> bool:
        """Whether tools are asked for of a model that may refuse them."""
        return bool(request.tools) and target.model in _DOUBTFUL_TOOLS

    def taken(self, request: CompletionRequest, target: Target) -> frozenset[str]:
        """Return the parameters that the model takes: what it would refuse stays here."""
        if _reasons(target):
            return self.parameters - _SAMPLING
        return self.parameters if target.facts is None else self.parameters - _REASONS_ONLY

    def price_percent(self, request: CompletionRequest) -> int | None:
        """Return what the service tier makes of the price."""
        return _PERCENT_OF_TIER.get(request.parameters.get("service_tier", "default"))

    def stop_limit_of(self, target: Target) -> int:
        """Return how many stop strings the model takes: none if it can reason."""
        return 0 if _reasons(target) else self.stop_limit

    def can_think(self, target: Target) -> bool:
        """Whether the model can reason, by its name if the catalogue does not know it."""
        return _reasons(target)

    def thinking_ignored(self, request: CompletionRequest, target: Target) -> tuple[str, ...]:
        """Name what is said of thinking to no effect; an unknown model gets the effort as it is."""
        ignored = super().thinking_ignored(request, target)
        return ignored if target.facts is not None else tuple(name for name in ignored if name == "thinking")


def _reasons(target: Target) -> bool:
    if target.facts is not None:
        return target.facts.reasoning
    return target.model.startswith(_REASONING_PREFIXES)

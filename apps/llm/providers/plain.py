"""The dialect of a provider that an operator configures: OpenAI's published format, and nothing besides."""

from __future__ import annotations

import re
from typing import Any

from apps.llm.providers.base import Target
from apps.llm.providers.dialect import Dialect
from apps.llm.wire.openai import CompletionRequest

__all__ = ["Plain"]

# A model's name travels in a header of the answer.
_SENDABLE = re.compile(r"[\x21-\x7e]{1,128}")


class Plain(Dialect):
    """A server that speaks OpenAI's format. It has no catalogue, so nothing is known of its models.

    Raises ValueError, without the value, if the model's name cannot be sent.
    """

    catalogue = ()
    prefixes = ()
    parameters = frozenset(
        {
            "temperature",
            "top_p",
            "presence_penalty",
            "frequency_penalty",
            "logprobs",
            "top_logprobs",
            "logit_bias",
            "prediction",
            "verbosity",
            "seed",
            "parallel_tool_calls",
        }
    )
    message_fields = Dialect.message_fields | {"refusal"}
    parts = frozenset({"text", "refusal", "image_url", "input_audio", "file"})
    tenant_field = "user"
    developer_role = "developer"
    stop_limit = 4
    json_formats = frozenset({"json_object", "json_schema"})
    needs_key = False

    def __init__(self, name: str, base_url: str, model: str) -> None:
        if not _SENDABLE.fullmatch(model):
            raise ValueError("a model is named by 1 to 128 printable ASCII characters without spaces")
        self.name = name
        self.base_url = base_url
        self.default_model = model

    def knows(self, model: str) -> bool:
        """Return False: a model that is not configured is asked for with the provider's name before it."""
        del model
        return False

    def knows_by_name(self, model: str) -> bool:
        """Whether a model's name can be sent: what there is, the server says."""
        return _SENDABLE.fullmatch(model) is not None

    def thinking_ignored(self, request: CompletionRequest, target: Target) -> tuple[str, ...]:
        """Name `thinking`, which OpenAI's format does not have."""
        del target
        return () if request.thinking is None else ("thinking",)

    def shape(self, body: dict[str, Any], request: CompletionRequest, target: Target) -> None:
        """Leave the names that the client wrote, and out what not every server takes."""
        del target
        # Some servers refuse a field that they do not know, and none needs to know who asks.
        body.pop(self.tenant_field, None)
        if request.reasoning_effort is not None:
            body["reasoning_effort"] = request.reasoning_effort
        if request.newer_max_tokens and request.max_tokens is not None:
            body["max_completion_tokens"] = body.pop("max_tokens")

"""What differs between vendors that speak OpenAI's chat format: the base class each vendor's file fills in.

A dialect knows facts and shapes; it opens no connection and keeps no state, so one instance serves everybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from apps.llm.errors import Failure, ProviderError
from apps.llm.providers.base import Call, ModelFacts, Target
from apps.llm.providers.refusal import Refusal, failure_of_status
from apps.llm.wire.openai import CompletionRequest, Message

__all__ = ["Alias", "Dialect"]

# What vendors call the same trouble. A vendor's own table is asked first.
_CODES: Mapping[str, Failure] = {
    "authentication_error": Failure.KEY_REFUSED,
    "billing_hard_limit_reached": Failure.OUT_OF_FUNDS,
    "billing_not_active": Failure.OUT_OF_FUNDS,
    "content_filter": Failure.CONTENT_FILTERED,
    "content_policy_violation": Failure.CONTENT_FILTERED,
    "context_length_exceeded": Failure.CONTEXT_LENGTH_EXCEEDED,
    "credit_balance_exhausted": Failure.OUT_OF_FUNDS,
    "insufficient_quota": Failure.OUT_OF_FUNDS,
    "invalid_api_key": Failure.KEY_REFUSED,
    "model_not_found": Failure.MODEL_NOT_FOUND,
    "overloaded_error": Failure.OVERLOADED,
    "permission_error": Failure.KEY_REFUSED,
    "rate_limit_error": Failure.RATE_LIMITED,
    "rate_limit_exceeded": Failure.RATE_LIMITED,
    "server_error": Failure.SERVER_ERROR,
    "server_is_overloaded": Failure.OVERLOADED,
    "service_unavailable_error": Failure.OVERLOADED,
    "slow_down": Failure.RATE_LIMITED,
}
# An HTTP status says these as well, and more exactly.
_STATUS_SAYS = frozenset({Failure.KEY_REFUSED, Failure.OVERLOADED, Failure.RATE_LIMITED, Failure.SERVER_ERROR})
# Phrases count only where a vendor has no better word: in a plain rejection and in an error event.
_PHRASES: Mapping[str, Failure] = {"maximum context length": Failure.CONTEXT_LENGTH_EXCEEDED}
_PHRASE_STATUSES = frozenset({None, 400, 404, 413, 422})
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A retired id: the model that serves it now, and the thinking that it stood for."""

    model: str
    thinking: bool | None = None


class Dialect:
    """One vendor's facts. Subclasses set the attributes and override a method where a quirk needs code."""

    name: str
    base_url: str
    default_model: str
    needs_key: ClassVar[bool] = True
    catalogue: ClassVar[tuple[ModelFacts, ...]]
    prefixes: ClassVar[tuple[str, ...]]
    """What this vendor's ids begin with: an id outside the catalogue is taken to be its model by it."""
    aliases: ClassVar[Mapping[str, Alias]] = {}

    parameters: ClassVar[frozenset[str]]
    """Fields of `CompletionRequest.parameters` that are passed on as they are; all others are dropped."""
    message_fields: ClassVar[frozenset[str]] = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
    """Fields of a message that are passed on."""
    max_tokens_field: ClassVar[str] = "max_tokens"
    tenant_field: ClassVar[str]
    """Where the hashed user id goes, in the place of the client's own `user`."""
    tenant_chars: ClassVar[int] = 64
    developer_role: ClassVar[str] = "system"
    stop_limit: ClassVar[int] = 16
    json_formats: ClassVar[frozenset[str]] = frozenset({"json_object"})

    error_codes: ClassVar[Mapping[str, Failure]] = {}
    """Failures by the vendor's `error.code`."""
    error_phrases: ClassVar[Mapping[str, Failure]] = {}
    """Failures by a lower-case phrase of `error.message`, for trouble that has no code."""

    # --- models

    def facts(self, model: str) -> ModelFacts | None:
        """Return a catalogue entry."""
        return next((facts for facts in self.catalogue if facts.id == model), None)

    def knows(self, model: str) -> bool:
        """Whether a model id or alias is this vendor's."""
        if model in self.aliases or self.facts(model) is not None:
            return True
        return model.startswith(self.prefixes) and _MODEL_ID.fullmatch(model) is not None

    def knows_by_name(self, model: str) -> bool:
        """Whether a model is this vendor's when the vendor is named too."""
        return self.knows(model)

    def target(self, model: str) -> Target:
        """Return the target for any id or alias, known or not."""
        alias = self.aliases.get(model, Alias(model=model))
        return Target(provider=self.name, model=alias.model, facts=self.facts(alias.model), thinking=alias.thinking)

    # --- the request

    def lacks(self, request: CompletionRequest, target: Target) -> str | None:
        """Name the first field that the target cannot serve, None if it can serve them all."""
        facts = target.facts
        if request.has_images and facts is not None and not facts.images:
            return "messages"
        if request.tools and facts is not None and not facts.tools:
            return "tools"
        if request.json_mode and request.response_format is not None:
            json_mode = facts is None or facts.json_mode
            if not json_mode or request.response_format.get("type") not in self.json_formats:
                return "response_format"
        if len(request.stop) > self.stop_limit:
            return "stop"
        # Nobody here reads speech.
        return "modalities" if "audio" in (request.parameters.get("modalities") or ()) else None

    def body(self, call: Call) -> dict[str, Any]:
        """Build the JSON body that asks the target for a stream."""
        request, target = call.request, call.target
        body: dict[str, Any] = {
            "model": target.model,
            "messages": [self.message(message, target) for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        body.update((name, value) for name, value in request.parameters.items() if name in self.parameters)
        if request.max_tokens is not None:
            # A cap over what the model can write says nothing; vendors refuse it all the same.
            most = target.facts.max_output_tokens if target.facts is not None else 0
            body[self.max_tokens_field] = min(request.max_tokens, most) if most else request.max_tokens
        if request.stop:
            body["stop"] = list(request.stop)
        if request.tools:
            body["tools"] = list(request.tools)
            if request.tool_choice is not None:
                body["tool_choice"] = request.tool_choice
        if request.json_mode:
            body["response_format"] = request.response_format
        if call.user_hash:
            body[self.tenant_field] = call.user_hash[: self.tenant_chars]
        self.shape(body, request, target)
        return body

    def shape(self, body: dict[str, Any], request: CompletionRequest, target: Target) -> None:
        """Change a body in place to what this vendor takes: thinking, ranges, extra options."""

    def message(self, message: Message, target: Target) -> dict[str, Any]:
        """Return a message with the roles, fields and content shape that the target takes."""
        # Clients send back what an SDK dumped: fields that are null, or that only the vendor who sent them knows.
        wire = {
            name: value
            for name, value in message.wire.items()
            if name in self.message_fields and (value is not None or name == "content")
        }
        if wire.get("role") == "developer":
            wire["role"] = self.developer_role
        if target.facts is not None and not target.facts.images:
            wire["content"] = _joined(wire.get("content"))
        return wire

    def thinking(self, request: CompletionRequest, target: Target) -> bool | None:
        """Whether the answer is to be thought about: `thinking`, else `reasoning_effort`, else the alias, else None."""
        if request.thinking is not None:
            return request.thinking
        if request.reasoning_effort is not None:
            return request.reasoning_effort != "none"
        return target.thinking

    # --- refusals

    def classify(self, refusal: Refusal) -> ProviderError:
        """Say what a refusal means: by code, by type, by a known phrase, by status, in this order."""
        failure = (
            self.error_codes.get(refusal.code)
            or _CODES.get(refusal.code)
            or _by_type(refusal)
            or self._by_phrase(refusal)
            or _by_number(refusal)
        )
        if refusal.status is None and failure in (Failure.SERVER_ERROR, Failure.OVERLOADED, Failure.BAD_RESPONSE):
            # Inside a 200 the prompt has been accepted and perhaps billed, as STREAM_ERROR says and these do not.
            failure = Failure.STREAM_ERROR
        detail = "error event" if refusal.status is None else f"HTTP {refusal.status}"
        return ProviderError(
            failure,
            retry_after_s=refusal.retry_after_s,
            param=refusal.param,
            status=refusal.status,
            detail=detail,
        )

    def _by_phrase(self, refusal: Refusal) -> Failure | None:
        if not refusal.message or refusal.status not in _PHRASE_STATUSES:
            return None
        for phrases in (self.error_phrases, _PHRASES):
            for phrase, failure in phrases.items():
                if phrase in refusal.message:
                    return failure
        return None


def _joined(content: Any) -> Any:
    # Models without vision take a string only. Parts other than text are left for the vendor to refuse.
    if isinstance(content, list) and all(part.get("type") == "text" for part in content):
        return "\n".join(part["text"] for part in content)
    return content


def _by_type(refusal: Refusal) -> Failure | None:
    failure = _CODES.get(refusal.type)
    return None if refusal.status is not None and failure in _STATUS_SAYS else failure


def _by_number(refusal: Refusal) -> Failure:
    if refusal.status is not None:
        return failure_of_status(refusal.status)
    # Relays in front of a vendor put the HTTP status that they got into `code`.
    if re.fullmatch(r"[45]\d\d", refusal.code):
        return failure_of_status(int(refusal.code))
    return Failure.STREAM_ERROR

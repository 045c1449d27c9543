"""What differs between vendors that speak OpenAI's chat format: the base class each vendor's file fills in.

A dialect knows facts and shapes; it opens no connection and keeps no state, so one instance serves everybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from apps.llm.errors import Failure, ProviderError
from apps.llm.providers.answer_tool import answer_tool, answer_tool_name
from apps.llm.providers.base import Call, ModelFacts, Target
from apps.llm.providers.classifying import classify
from apps.llm.providers.refusal import Refusal
from apps.llm.wire.openai import CompletionRequest, JsonObject, Message
from apps.llm.wire.shaping import Shaping
from apps.llm.wire.stops import MAX_STOP_CHARS

__all__ = ["Alias", "Dialect"]

# What an answer without them lacks; other parameters only colour it.
_NEEDED = ("web_search_options", "logprobs")
# Values that ask for nothing.
_DEFAULTS: Mapping[str, Any] = {
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
    "logit_bias": {},
    "parallel_tool_calls": True,
    "modalities": ["text"],
    "service_tier": "auto",
    "store": False,
    "metadata": {},
}
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
    """Fields of `CompletionRequest.parameters` that are passed on as they are; all others stay here."""
    message_fields: ClassVar[frozenset[str]] = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
    """Fields of a message that are passed on."""
    parts: ClassVar[frozenset[str]] = frozenset({"text", "image_url"})
    """Types of content parts that are passed on. A refusal goes as text where it has no part of its own."""
    strict_tools: ClassVar[bool] = True
    """Whether a function may say `strict`."""
    answers_by_tool: ClassVar[bool] = False
    """Whether an answer of a JSON Schema is asked for as the arguments of a tool."""
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
        for message in request.messages:
            for kind, path in message.media.items():
                if kind not in self.parts or (kind == "image_url" and facts is not None and not facts.images):
                    return path
        if request.tools and facts is not None and not facts.tools:
            return "tools"
        if request.json_mode and self.answer_tool(request, target) is None and not self._formats(request, target):
            return "response_format"
        if any(len(stop) > MAX_STOP_CHARS for stop in self._stops(request, target)[1]):
            return "stop"
        if request.parameters:
            taken = self.taken(request, target)
            for name in _NEEDED:
                if request.parameters.get(name) not in (None, False) and name not in taken:
                    return name
            # Nobody here reads speech.
            if "audio" in request.parameters.get("modalities", ()):
                return "modalities"
        return None

    def doubts(self, request: CompletionRequest, target: Target) -> bool:
        """Whether the target may refuse what the request needs, though nobody says so for certain."""
        del request, target
        return False

    def taken(self, request: CompletionRequest, target: Target) -> frozenset[str]:
        """Return the parameters that the target takes."""
        del request, target
        return self.parameters

    def ignored(self, request: CompletionRequest, target: Target) -> tuple[str, ...]:
        """Name the fields of the request that have no effect on the target's answer; defaults ask for none."""
        taken = self.taken(request, target)
        names = [
            name
            for name, value in request.parameters.items()
            if name not in taken and not (name in _DEFAULTS and value == _DEFAULTS[name])
        ]
        if not request.tools and "parallel_tool_calls" in names:
            names.remove("parallel_tool_calls")
        if request.thinking is not None or request.reasoning_effort is not None:
            names += self.thinking_ignored(request, target)
        return (*names, *request.unknown)

    def thinking_ignored(self, request: CompletionRequest, target: Target) -> tuple[str, ...]:
        """Name what the request says of thinking to no effect."""
        asked = (
            ("thinking", request.thinking),
            ("reasoning_effort", None if request.reasoning_effort is None else request.reasoning_effort != "none"),
        )
        if not self.can_think(target):
            return tuple(name for name, wanted in asked if wanted)
        if self.thinks_regardless(target):
            return tuple(name for name, wanted in asked if wanted is False)
        return ()

    def can_think(self, target: Target) -> bool:
        """Whether the target can think before it answers, as far as that is known."""
        return target.facts is None or target.facts.reasoning

    def thinks_regardless(self, target: Target) -> bool:
        """Whether the target cannot be told not to think."""
        del target
        return False

    def price_percent(self, request: CompletionRequest) -> int | None:
        """Return how much of the listed price the request costs by what it asks for; None if that is not known."""
        del request
        return 100

    def shaping(self, request: CompletionRequest, target: Target) -> Shaping | None:
        """Say what is to be done with the target's answer to make it what was asked for; None for nothing."""
        if not request.stop and not request.json_mode:
            return None
        tool = self.answer_tool(request, target)
        _, cut = self._stops(request, target)
        return Shaping(stop=cut, answer_tool=tool) if cut or tool is not None else None

    def answer_tool(self, request: CompletionRequest, target: Target) -> str | None:
        """Return the name of the tool whose arguments are to be the answer; None if the answer is no such thing."""
        wanted = request.response_format
        if not self.answers_by_tool or wanted is None or wanted.get("type") != "json_schema":
            return None
        if target.facts is not None and not target.facts.tools:
            return None
        if request.tool_choice not in (None, "auto", "none"):
            # The answer is a call of the client's own tools.
            return None
        return answer_tool_name(request)

    def stop_limit_of(self, target: Target) -> int:
        """Return how many stop strings the target takes."""
        del target
        return self.stop_limit

    def _stops(self, request: CompletionRequest, target: Target) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the stop strings that are passed on, and those that the answer is cut at here."""
        if not request.stop:
            return (), ()
        # Within the arguments of a tool a vendor may or may not look for them.
        limit = 0 if self.answer_tool(request, target) is not None else self.stop_limit_of(target)
        return request.stop[:limit], request.stop[limit:]

    def _formats(self, request: CompletionRequest, target: Target) -> bool:
        """Whether the target takes the response_format as it is."""
        if request.response_format is None or (target.facts is not None and not target.facts.json_mode):
            return False
        if request.response_format["type"] in self.json_formats:
            return True
        # A tool of the client's is to be called: there is no answer that could have a form.
        return self.answers_by_tool and request.tool_choice not in (None, "auto", "none")

    def body(self, call: Call) -> dict[str, Any]:
        """Build the JSON body that asks the target for a stream."""
        request, target = call.request, call.target
        body: dict[str, Any] = {
            "model": target.model,
            "messages": self._messages(request, target),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.parameters:
            taken = self.taken(request, target)
            body.update((name, value) for name, value in request.parameters.items() if name in taken)
        if request.max_tokens is not None:
            # A cap over what the model can write says nothing; vendors refuse it all the same.
            most = target.facts.max_output_tokens if target.facts is not None else 0
            body[self.max_tokens_field] = min(request.max_tokens, most) if most else request.max_tokens
        if request.stop and (stops := self._stops(request, target)[0]):
            body["stop"] = list(stops)
        if request.tools:
            body["tools"] = [self._tool(tool) for tool in request.tools]
            if request.tool_choice is not None:
                body["tool_choice"] = request.tool_choice
        if request.json_mode:
            self._ask_for_json(body, request, target)
        if call.user_hash:
            body[self.tenant_field] = call.user_hash[: self.tenant_chars]
        self.shape(body, request, target)
        return body

    def shape(self, body: dict[str, Any], request: CompletionRequest, target: Target) -> None:
        """Change a body in place to what this vendor takes: thinking, ranges, extra options."""

    def message(self, message: Message, target: Target) -> dict[str, Any]:
        """Return a message with the roles, fields and content shape that the target takes."""
        wire = {name: value for name, value in message.wire.items() if name in self.message_fields}
        if message.role == "developer":
            wire["role"] = self.developer_role
        elif message.role == "assistant":
            if not wire.get("content") and "refusal" not in self.message_fields:
                # It is what the assistant said.
                wire["content"] = message.wire.get("refusal") or wire.get("content")
            if wire.get("content") is None:
                wire["content"] = None if "tool_calls" in wire else ""
        content = wire["content"]
        if isinstance(content, list):
            if "refusal" not in self.parts:
                content = [_as_text(part) for part in content]
            if target.facts is not None and not target.facts.images:
                content = _joined(content)
            wire["content"] = content
        return wire

    def _messages(self, request: CompletionRequest, target: Target) -> list[dict[str, Any]]:
        """Build the messages. Images of tool results follow them in a message of the user's: no vendor has both."""
        built: list[dict[str, Any]] = []
        images: list[Any] = []
        for message in request.messages:
            if images and message.role != "tool":
                built.append({"role": "user", "content": images})
                images = []
            wire = self.message(message, target)
            if message.role == "tool" and message.has_image:
                images += [part for part in wire["content"] if part["type"] == "image_url"]
                wire["content"] = [part for part in wire["content"] if part["type"] != "image_url"] or ""
            built.append(wire)
        if images:
            built.append({"role": "user", "content": images})
        return built

    def _tool(self, tool: JsonObject) -> JsonObject:
        if self.strict_tools or "strict" not in tool["function"]:
            return tool
        function = {name: value for name, value in tool["function"].items() if name != "strict"}
        return {**tool, "function": function}

    def may_force(self, request: CompletionRequest, target: Target) -> bool:
        """Whether the target can be made to call a tool."""
        del request, target
        return True

    def _ask_for_json(self, body: dict[str, Any], request: CompletionRequest, target: Target) -> None:
        name = self.answer_tool(request, target)
        if name is None:
            if request.response_format is not None and request.response_format["type"] in self.json_formats:
                body["response_format"] = request.response_format
            return
        tool = answer_tool(request, name)
        others = [] if request.tool_choice == "none" else body.get("tools", [])
        body["tools"] = [*others, self._tool(tool)]
        body.pop("tool_choice", None)
        if self.may_force(request, target):
            body["tool_choice"] = "required" if others else {"type": "function", "function": {"name": name}}

    def thinking(self, request: CompletionRequest, target: Target) -> bool | None:
        """Whether the answer is to be thought about: `thinking`, else `reasoning_effort`, else the alias, else None."""
        if request.thinking is not None:
            return request.thinking
        if request.reasoning_effort is not None:
            return request.reasoning_effort != "none"
        return target.thinking

    # --- refusals

    def classify(self, refusal: Refusal) -> ProviderError:
        """Say what a refusal means."""
        return classify(refusal, self.error_codes, self.error_phrases)


def _as_text(part: Any) -> Any:
    return {"type": "text", "text": part["refusal"]} if part["type"] == "refusal" else part


def _joined(content: Any) -> Any:
    # Models without vision take a string only. Parts other than text are left for the vendor to refuse.
    if isinstance(content, list) and all(part.get("type") == "text" for part in content):
        return "\n".join(part["text"] for part in content)
    return content

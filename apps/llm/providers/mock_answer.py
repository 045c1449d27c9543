"""What the mock says: an answer made from the request alone, so the same request gets the same answer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.llm.wire.json import dumps
from apps.llm.wire.types import CompletionRequest

__all__ = ["MockAnswer", "compose"]

_QUOTE_CHARS = 160
_LONG_TOKENS = 2000
# A word with the blanks before it; longer ones come in pieces, as from a tokeniser.
_TOKEN = re.compile(r"\s*\S{1,12}|\s+")
_INTRODUCTION = (
    "This is PromptCraft’s mock provider: no model was asked and nothing was spent. "
    "Set DEEPSEEK_API_KEY, or the key of another provider, to get real answers."
)
_REASONING = "The mock does not think. These words only show where a model’s reasoning would be — before its answer."
_SENTENCES = (
    "Tokens arrive one after the other, a word at a time.",
    "Some of them are not ASCII: naïve, déjà vu, 東京, Ελλάδα, 🦉.",
    "Close the connection and the stream stops; press stop and it stops as well.",
)
# Deeper schemas get null: a recursive one would never end.
_SCHEMA_DEPTH = 16
_INSTANCE_CHARS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class MockAnswer:
    """The answer as tokens. `arguments` are those of the one tool call, if there is one."""

    reasoning: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    tool: str | None = None
    arguments: tuple[str, ...] = ()
    finish_reason: str = "stop"

    @property
    def tokens(self) -> int:
        """All tokens, the reasoning included."""
        return len(self.reasoning) + len(self.content) + len(self.arguments)


def compose(request: CompletionRequest, scenario: str) -> MockAnswer:
    """Compose the answer: its form by the scenario and the request, cut by `stop` and then by `max_tokens`."""
    thinks = scenario == "reasoning" or bool(request.thinking) or request.reasoning_effort not in (None, "none")
    reasoning = _tokens(_REASONING) if thinks else ()
    tool = _called_tool(request, scenario)
    if tool is not None:
        name, parameters = tool
        arguments = dumps(_Instance(parameters).of(parameters)).decode()
        return _capped(
            MockAnswer(reasoning=reasoning, tool=name, arguments=_tokens(arguments), finish_reason="tool_calls"),
            request.max_tokens,
        )
    text = _json_text(request) if request.json_mode else _text(request)
    content = _tokens(_before_stop(text, request.stop))
    if scenario == "long":
        content = tuple(itertools.islice(itertools.cycle((*_tokens(text), "\n\n")), _LONG_TOKENS))
    return _capped(MockAnswer(reasoning=reasoning, content=content), request.max_tokens)


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(text))


def _text(request: CompletionRequest) -> str:
    quote = _quote(request)
    return "\n\n".join(
        (_INTRODUCTION, f"You wrote: “{quote}”" if quote else "You wrote nothing.", " ".join(_SENTENCES))
    )


def _quote(request: CompletionRequest) -> str:
    """Return the beginning of the last user message's text, on one line."""
    for message in reversed(request.messages):
        if message.role == "user":
            content = message.wire.get("content")
            if isinstance(content, list):
                content = " ".join(part["text"] for part in content if isinstance(part.get("text"), str))
            # Bounded before it is split: a message may be a megabyte.
            words = " ".join(str(content or "")[: 8 * _QUOTE_CHARS].split())
            return words if len(words) <= _QUOTE_CHARS else words[:_QUOTE_CHARS] + "…"
    return ""


def _before_stop(text: str, stop: tuple[str, ...]) -> str:
    ends = [text.find(sequence) for sequence in stop if sequence in text]
    return text[: min(ends)] if ends else text


def _capped(answer: MockAnswer, max_tokens: int | None) -> MockAnswer:
    if max_tokens is None or answer.tokens <= max_tokens:
        return answer
    reasoning = answer.reasoning[:max_tokens]
    left = max_tokens - len(reasoning)
    return MockAnswer(
        reasoning=reasoning,
        content=answer.content[:left],
        tool=answer.tool if left else None,
        arguments=answer.arguments[:left],
        finish_reason="length",
    )


# --- tools and JSON


def _called_tool(request: CompletionRequest, scenario: str) -> tuple[str, Mapping[str, Any]] | None:
    """Return the name and parameters of the tool to call: where one is demanded, by the request or the scenario."""
    tools = {
        str(tool["function"].get("name")): tool["function"].get("parameters") or {}
        for tool in request.tools
        if isinstance(tool.get("function"), Mapping)
    }
    choice = request.tool_choice
    if isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        name = str(choice["function"].get("name"))
        return name, tools.get(name, {})
    if choice == "required" or scenario == "tool_call":
        return next(iter(tools.items()), ("mock_tool", {"properties": {"text": {"type": "string"}}}))
    return None


def _json_text(request: CompletionRequest) -> str:
    form = request.response_format or {}
    schema = form.get("json_schema", {}).get("schema") if isinstance(form.get("json_schema"), Mapping) else None
    if isinstance(schema, Mapping):
        return dumps(_Instance(schema).of(schema)).decode()
    return dumps({"provider": "mock", "message": _INTRODUCTION, "you_wrote": _quote(request)}).decode()


class _Instance:
    """A small value that a simple JSON schema accepts: constants, enums, types, unions and local references.

    Schemas come from strangers: one that is no schema is accepted by null, and after `_INSTANCE_CHARS` of values all
    that is left is null, since a few references of a schema to itself would make more of them than there are atoms.
    """

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left_chars = _INSTANCE_CHARS

    def of(self, schema: Any, depth: int = 0) -> Any:
        """Return the value for a part of the schema."""
        self._left_chars -= 1
        if not isinstance(schema, Mapping) or depth > _SCHEMA_DEPTH or self._left_chars < 0:
            return None
        if "const" in schema:
            return self._afforded(schema["const"])
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._afforded(schema["enum"][0])
        if isinstance(schema.get("$ref"), str):
            return self.of(self._referred(schema["$ref"]), depth + 1)
        for union in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(union), list) and schema[union]:
                return self.of(schema[union][0], depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = kind[0] if kind else None
        match kind:
            case "string":
                return "mock".ljust(_count(schema.get("minLength")), "k")[: _count(schema.get("maxLength"), 64)]
            case "integer" | "number":
                return self._afforded(schema.get("minimum", 0))
            case "boolean":
                return False
            case "null":
                return None
            case "array":
                items = min(_count(schema.get("minItems"), 1), 8)
                return [self.of(schema.get("items"), depth + 1) for _ in range(items)]
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            return {}
        return {name: self.of(property_, depth + 1) for name, property_ in properties.items() if self._left_chars > 0}

    def _afforded(self, value: Any) -> Any:
        self._left_chars -= len(dumps(value))
        return value if self._left_chars >= 0 else None

    def _referred(self, reference: str) -> Any:
        found: Any = self._root
        self._left_chars -= len(reference)
        for step in reference[:_INSTANCE_CHARS].removeprefix("#").split("/")[1:]:
            found = found.get(step) if isinstance(found, Mapping) else None
        return found


def _count(value: Any, default: int = 0) -> int:
    return value if isinstance(value, int) and 0 <= value <= 64 else default

"""The body of `POST completions/`: what `apps.llm.wire.request` takes, field by field.

What no schema says well is in the descriptions: that a tool which is named is among `tools`, how deep a body nests.
"""

from __future__ import annotations

from apps.llm.wire.messages import MAX_MESSAGES
from apps.llm.wire.request import MAX_DEPTH
from promptcraft.schema.notation import (
    Schema,
    array,
    constant,
    flag,
    number,
    one_of,
    optional,
    record,
    ref,
    text,
    whole,
    words,
)

__all__ = ["FIELDS", "SCHEMAS"]

_NAME = {"pattern": "^[A-Za-z0-9_-]{1,64}$"}
_TOKENS = {"minimum": 1, "maximum": 2**31 - 1}


def _named(schema: str, description: str) -> Schema:
    """Describe what a function and a JSON schema have in common: a name and an object that says what is meant."""
    return record(
        {
            "name": text(**_NAME),
            "description": optional(text()),
            schema: optional(record({}, description)),
            "strict": optional(flag("Hold the model to it to the letter.")),
        },
        absent=("description", schema, "strict"),
    )


def _content(*parts: str) -> Schema:
    kinds = [ref(part) for part in parts]
    return one_of(text(), array(one_of(*kinds) if len(kinds) > 1 else kinds[0], minItems=1))


def _message(role: Schema, content: Schema, absent: tuple[str, ...] = (), **more: Schema) -> Schema:
    properties = {"role": role, "content": content, "name": optional(text("Who speaks, for the model."))}
    return record({**properties, **more}, absent=("name", *absent))


def _one_of_these(*names: str) -> list[Schema]:
    """Ask for one of these members at least, and that it is not null."""
    return [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names]


_SAID_BY_ASSISTANT = ("content", "refusal", "reasoning_content", "tool_calls")

_MESSAGES: dict[str, Schema] = {
    "SystemMessage": _message(words(("system", "developer")), _content("TextPart")),
    "UserMessage": _message(constant("user"), _content("TextPart", "ImagePart")),
    "AssistantMessage": _message(
        constant("assistant"),
        optional(_content("TextPart", "RefusalPart")),
        _SAID_BY_ASSISTANT,
        refusal=optional(text()),
        reasoning_content=optional(text("What it thought, where a model wants that back with its tool calls.")),
        tool_calls=optional(array(ref("ToolCall"), minItems=1)),
    )
    | {"anyOf": _one_of_these(*_SAID_BY_ASSISTANT)},
    "ToolMessage": _message(
        constant("tool"), _content("TextPart"), tool_call_id=text("The `id` of the call it answers.", minLength=1)
    ),
    "TextPart": record({"type": constant("text"), "text": text()}),
    "RefusalPart": record({"type": constant("refusal"), "refusal": text()}),
    "ImagePart": record(
        {
            "type": constant("image_url"),
            "image_url": record(
                {
                    "url": text(
                        "An address, or the image itself as a data URL.",
                        pattern=r"^(https?://|data:image/[A-Za-z0-9.+-]+;base64,)[^\s]",
                    ),
                    "detail": optional(text("How closely to look; the vendor's word, such as `low` or `high`.")),
                },
                absent=("detail",),
            ),
        }
    ),
    "ToolCall": record(
        {
            "id": text(minLength=1),
            "type": constant("function"),
            "function": record({"name": text(minLength=1), "arguments": text("JSON, as the model wrote it.")}),
        }
    ),
}
_SENDERS = {
    "system": "SystemMessage",
    "developer": "SystemMessage",
    "user": "UserMessage",
    "assistant": "AssistantMessage",
    "tool": "ToolMessage",
}
_MESSAGE: Schema = {
    **one_of(*(ref(name) for name in dict.fromkeys(_SENDERS.values()))),
    "discriminator": {
        "propertyName": "role",
        "mapping": {role: f"#/components/schemas/{name}" for role, name in _SENDERS.items()},
    },
}

_TOOL_CHOICE = one_of(
    words(("none", "auto", "required")),
    record({"type": constant("function"), "function": record({"name": text()})}),
    description="Which tool must be called. `required` needs `tools`; a function that is named must be among them.",
)
_RESPONSE_FORMAT = one_of(
    record({"type": words(("text", "json_object"))}),
    record(
        {
            "type": constant("json_schema"),
            "json_schema": _named("schema", "JSON Schema of the answer."),
        }
    ),
    description="`json_object` and `json_schema` are served by models that can do it, and by no other.",
)

FIELDS: dict[str, Schema] = {
    "messages": array(ref("Message"), "The conversation so far.", minItems=1, maxItems=MAX_MESSAGES),
    "model": text(
        "A model of `GET /api/v2/models/`, or the retired name of one. Absent, empty or `auto`: the first usable "
        "provider's default.",
        maxLength=128,
        pattern=r"^[^\u0000-\u001f\u007f]*$",
    ),
    "stream": flag("Answer as an event stream. Absent: as the `Accept` header says."),
    "stream_options": record(
        {"include_usage": optional(flag("End the stream with an event of usage."))}, absent=("include_usage",)
    ),
    "temperature": number(minimum=0, maximum=2),
    "top_p": number(minimum=0, maximum=1),
    "max_completion_tokens": whole("The longest answer; wins over `max_tokens`.", **_TOKENS),
    "max_tokens": whole("The older name. Each provider gets the one that it takes.", **_TOKENS),
    "stop": one_of(
        text(minLength=1),
        array(text(minLength=1), maxItems=16),
        description="Texts that end the answer.",
    ),
    "tools": array(
        record(
            {"type": constant("function"), "function": _named("parameters", "JSON Schema of the arguments.")},
        ),
        "Functions that the model may call.",
        maxItems=128,
    ),
    "tool_choice": _TOOL_CHOICE,
    "parallel_tool_calls": flag(),
    "response_format": _RESPONSE_FORMAT,
    "reasoning_effort": words(
        ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"),
        "Each model gets the nearest that it has.",
    ),
    "thinking": record({"type": words(("enabled", "disabled"))}, "Whether the model thinks before it answers."),
    "presence_penalty": number(minimum=-2, maximum=2),
    "frequency_penalty": number(minimum=-2, maximum=2),
    "logit_bias": record({}, "Token ids and what is added to their odds."),
    "logprobs": flag(),
    "top_logprobs": whole(minimum=0, maximum=20),
    "seed": whole(minimum=-(2**63), maximum=2**63 - 1),
    "n": {"type": "integer", "description": "One answer for each request.", "enum": [1]},
    "user": text("Not passed on: providers get a salted hash of the account in its place.", maxLength=512),
    "fallback": flag("Whether other providers may answer when the one that is asked cannot.", default=True),
    "on_interrupt": words(
        ("continue", "restart", "error"),
        "What is to happen when a provider breaks off after the first content. Where going on is not possible, which "
        "at present is everywhere, each of them ends as `error` does: with the error event.",
    )
    | {"default": "continue"},
    "on_disconnect": words(
        ("cancel", "continue"),
        "What is to happen when every reader is gone: `cancel` stops the provider within a second; `continue` runs on "
        "for `DISCONNECT_GRACE` (30 s) and lets you come back through the events. Absent: `cancel`, or `continue` if "
        "an `Idempotency-Key` was sent.",
    ),
}
_REPLACED: dict[str, Schema] = {
    name: {"type": "null", "deprecated": True, "description": f"Refused: send `{successor}` instead."}
    for name, successor in (("functions", "tools"), ("function_call", "tool_choice"))
}

SCHEMAS: dict[str, Schema] = {
    "ChatCompletionRequest": record(
        {name: field if name == "messages" else optional(field) for name, field in FIELDS.items()} | _REPLACED,
        f"OpenAI's body and a few fields of our own. A null field is an absent one. A field that is not listed goes to "
        f"a provider that knows it and is ignored by others. At most 1 MiB, 20 MiB with images, {MAX_DEPTH} levels "
        f"deep. Whole numbers are written without a fraction.",
        absent=(*FIELDS.keys() - {"messages"}, *_REPLACED),
    ),
    "Message": _MESSAGE,
    **_MESSAGES,
}

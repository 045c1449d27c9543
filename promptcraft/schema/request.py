"""The body of `POST completions/`: what `apps.llm.wire.request` takes, field by field.

What no schema says well is in the descriptions: that a tool which is named is among `tools`, how deep a body nests.
"""

from __future__ import annotations

from apps.llm.wire.messages import MAX_MESSAGES
from apps.llm.wire.request import MAX_DEPTH
from promptcraft.schema.notation import (
    Schema,
    any_of,
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


def _content(*parts: str, least: int = 1) -> Schema:
    kinds = [ref(part) for part in parts]
    return one_of(text(), array(one_of(*kinds) if len(kinds) > 1 else kinds[0], minItems=least))


def _message(role: Schema, content: Schema, absent: tuple[str, ...] = (), **more: Schema) -> Schema:
    properties = {"role": role, "content": content, "name": optional(text("Who speaks, for the model."))}
    return record({**properties, **more}, absent=("name", *absent))


_SAID_BY_ASSISTANT = ("content", "refusal", "reasoning_content", "tool_calls", "function_call")
_CALLED = record(
    {"name": text(minLength=1), "arguments": optional(text("JSON, as the model wrote it. Absent: none."))},
    absent=("arguments",),
)

_MESSAGES: dict[str, Schema] = {
    "SystemMessage": _message(words(("system", "developer")), _content("TextPart")),
    "UserMessage": _message(constant("user"), _content("TextPart", "ImagePart", "AudioPart", "FilePart")),
    "AssistantMessage": _message(
        constant("assistant"),
        optional(_content("TextPart", "RefusalPart", least=0)),
        _SAID_BY_ASSISTANT,
        refusal=optional(text()),
        reasoning_content=optional(text("What it thought, where a model wants that back with its tool calls.")),
        tool_calls=optional(array(ref("FormerToolCall"))),
        function_call=optional(_CALLED) | {"deprecated": True},
    ),
    "ToolMessage": record(
        {
            "role": constant("tool"),
            "content": _content("TextPart", "ImagePart"),
            "tool_call_id": text("The `id` of the call it answers.", minLength=1),
        },
        "What a tool returned. Images go to the model in a message of the user's behind the results.",
    ),
    "FunctionMessage": record(
        {
            "role": constant("function"),
            "content": optional(_content("TextPart")),
            "name": text("The function that a `function_call` before it calls."),
        },
        "The form before tools. It is sent on as a tool's result.",
        absent=("content",),
        deprecated=True,
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
    "AudioPart": record(
        {
            "type": constant("input_audio"),
            "input_audio": record(
                {"data": text("The sound in base64.", minLength=1), "format": text("Such as `wav`.", minLength=1)}
            ),
        }
    ),
    "FilePart": record(
        {
            "type": constant("file"),
            "file": record(
                {
                    "file_data": optional(text("The file as a data URL.", minLength=1)),
                    "file_id": optional(text("A file that the vendor has stored.", minLength=1)),
                    "filename": optional(text(minLength=1)),
                },
                "One of `file_data` and `file_id`.",
                absent=("file_data", "file_id", "filename"),
                anyOf=[
                    {"required": [name], "properties": {name: {"type": "string"}}} for name in ("file_data", "file_id")
                ],
            ),
        }
    ),
    "FormerToolCall": record(
        {"id": text(minLength=1), "type": constant("function"), "function": _CALLED}, "A call of an earlier answer."
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
    "function": "FunctionMessage",
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
    description="`json_object` is served by models that have it. `json_schema` is served by models that have it, and "
    "by models with tools, which write the answer as the arguments of a call: its text arrives as content all the "
    "same.",
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
        description="Texts that end the answer. It is cut here for models that do not stop by themselves, which is "
        "possible for texts of at most 1,024 characters.",
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
    "safety_identifier": text("Not passed on, as `user`."),
    "prompt_cache_key": text("Requests that begin alike."),
    "prompt_cache_retention": text(),
    "verbosity": text("How much to say; the vendor's word, such as `low`."),
    "service_tier": text("The vendor's word, such as `flex`."),
    "store": flag("Whether the vendor keeps the answer."),
    "metadata": any_of(
        record({}),
        *({"type": kind} for kind in ("array", "string", "number", "boolean")),
        description="What the vendor keeps with the answer: pairs of texts.",
    ),
    "modalities": array(text(), "`text`. Answers in speech are not served."),
    "audio": record({}, "How an answer in speech is to sound."),
    "prediction": record({}, "Text that much of the answer will repeat: `type` and `content`."),
    "web_search_options": record({}, "Have the model search the web: `search_context_size` and `user_location`."),
    "do_sample": flag("Z.AI's: whether to sample."),
    "tool_stream": flag("Z.AI's: whether the arguments of calls come in pieces."),
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
        f"OpenAI's body and a few fields of our own. A null member is an absent one. A member that nobody knows stays "
        f"here; what has no effect on the model that answers is named in `X-PromptCraft-Ignored`. At most 1 MiB, 20 "
        f"MiB with images, {MAX_DEPTH} levels deep. Whole numbers are written without a fraction.",
        absent=(*FIELDS.keys() - {"messages"}, *_REPLACED),
    ),
    "Message": _MESSAGE,
    **_MESSAGES,
}

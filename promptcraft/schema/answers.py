"""What completions and models look like: `apps.chat.presentation`, `apps.chat.engine.stamp`, `apps.chat.catalogue`."""

from __future__ import annotations

from apps.chat.engine.generation import Status
from apps.chat.engine.record import End, UsageSource
from apps.llm.errors import Failure
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

__all__ = ["SCHEMAS"]

_ROLE = constant("assistant")
_FIRST = {"type": "integer", "const": 0}
_CREATED = whole("Unix seconds.")
_USD = optional(number("US dollars; null if the price is not known, and never an estimate of it."))
_COUNT = whole(minimum=0)
# `function_call` is the predecessor of `tool_calls`, still in the vocabulary of some models.
_FINISHES = ("stop", "length", "tool_calls", "content_filter", "function_call")
_DEGRADED = record(
    {"degraded": flag("The mock provider answered: no model was asked.")},
    "Only where there is something to say.",
)

_USAGE: Schema = record(
    {
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "total_tokens": _COUNT,
        "prompt_tokens_details": record({"cached_tokens": _COUNT}),
        "completion_tokens_details": record({"reasoning_tokens": _COUNT}),
        "cost": _USD,
    },
    "Tokens and money, as they were recorded. `prompt_tokens` includes the cached ones, `completion_tokens` those of "
    "reasoning.",
)

_ATTEMPT: Schema = record(
    {
        "provider": text(),
        "model": text(),
        "started_at": number("Unix seconds."),
        "ttft_ms": optional(number("Milliseconds to the first content; null if none came.")),
        "ended_at": optional(number("Unix seconds; null while it runs.")),
        "end": optional(words(End, "How it ended; null while it runs.")),
        "end_reason": optional(
            one_of(
                ref("FailureReason"), words(End), description="Why it failed; the same as `end` for one that did not."
            )
        ),
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "total_tokens": _COUNT,
        "usage_source": ref("UsageSource"),
        "cost": _USD,
        "ignored": array(text(), "Members of the request that had no effect on it, if there are any.", minItems=1),
    },
    "One provider that was asked.",
    absent=("ignored",),
)

_COMPLETION: Schema = record(
    {
        "id": text(),
        "object": constant("chat.completion"),
        "created": _CREATED,
        "model": text("The model that answered, or was asked last."),
        "choices": array(
            record(
                {
                    "index": _FIRST,
                    "message": record(
                        {
                            "role": _ROLE,
                            "content": optional(text()),
                            "refusal": optional(text()),
                            "reasoning_content": text("What the model thought before."),
                            "tool_calls": array(ref("ToolCall"), minItems=1),
                        },
                        absent=("reasoning_content", "tool_calls"),
                    ),
                    "logprobs": optional(record({})),
                    "finish_reason": optional(
                        words((*_FINISHES, "cancelled", "error"), "Null while it runs, or if it was cut off.")
                    ),
                }
            ),
            minItems=1,
            maxItems=1,
        ),
        "usage": optional(ref("Usage")),
        "usage_source": ref("UsageSource"),
        "provider": text("The provider that answered, or was asked last."),
        "status": words(Status),
        "error_code": optional(ref("ErrorCode")),
        "attempts": array(ref("Attempt")),
        "promptcraft": _DEGRADED,
    },
    "OpenAI's `chat.completion`, with where it stands and who was asked.",
    absent=("promptcraft",),
)

_CHUNK: Schema = record(
    {
        "id": text("The completion's; the same in every chunk."),
        "object": constant("chat.completion.chunk"),
        "created": _CREATED,
        "model": text("The model that answers."),
        "system_fingerprint": text(),
        "promptcraft": _DEGRADED,
        "choices": array(
            record(
                {
                    "index": _FIRST,
                    "delta": record(
                        {
                            "role": constant("assistant", "In the first delta only."),
                            "content": text(),
                            "reasoning_content": text(),
                            "refusal": text(),
                            "tool_calls": array(ref("ToolCallFragment"), minItems=1),
                        },
                        absent=("role", "content", "reasoning_content", "refusal", "tool_calls"),
                    ),
                    "logprobs": optional(record({})),
                    "finish_reason": optional(words((*_FINISHES, "cancelled"), "In exactly one chunk of a stream.")),
                },
                absent=("logprobs",),
            ),
            "Empty in the chunk of usage.",
            maxItems=1,
        ),
        "usage": ref("Usage"),
    },
    "A piece of the answer. The pieces of each text, joined, are to the byte what the provider sent.",
    absent=("system_fingerprint", "promptcraft", "usage"),
)

_FRAGMENT: Schema = record(
    {
        "index": whole("Which call it belongs to.", minimum=0),
        "id": optional(text()),
        "type": optional(constant("function")),
        "function": optional(
            record(
                {"name": optional(text()), "arguments": optional(text("To be joined."))},
                absent=("name", "arguments"),
            )
        ),
    },
    "A piece of a tool call: its id and name come once, its arguments in pieces.",
    absent=("id", "type", "function"),
)

_MODEL: Schema = record(
    {
        "id": text(),
        "object": constant("model"),
        "created": whole("Unix seconds of its release; 0 if not known."),
        "owned_by": text("The same as `provider`."),
        "provider": text(),
        "context_window": whole("Tokens; 0 if not known.", minimum=0),
        "max_output_tokens": whole("0 if not known.", minimum=0),
        "pricing": optional(
            record(
                {"input": number(), "cached_input": number(), "output": number()},
                "US dollars for a million tokens, at this hour; null if not known.",
            )
        ),
        "available": flag("Whether its provider would be asked now."),
    }
)


def _page(item: str, **more: Schema) -> Schema:
    return record({"object": constant("list"), "data": array(ref(item)), **more})


SCHEMAS: dict[str, Schema] = {
    "ChatCompletion": _COMPLETION,
    "ChatCompletionList": _page(
        "ChatCompletion",
        first_id=optional(text()),
        last_id=optional(text()),
        has_more=flag(),
        next=optional(text("The `after` of the next page; null on the last.")),
    ),
    "CancelledCompletion": record({"id": text(), "status": constant("cancelled"), "usage": optional(ref("Usage"))}),
    "ChatCompletionChunk": _CHUNK,
    "ToolCallFragment": _FRAGMENT,
    "Usage": _USAGE,
    "UsageSource": words(UsageSource, "Who counted the tokens: the provider, we by estimate, or nobody."),
    "Attempt": _ATTEMPT,
    "FailureReason": words(Failure, "Why a provider did not answer."),
    "Model": _MODEL,
    "ModelList": _page("Model"),
}

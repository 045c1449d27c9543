"""The event streams: their grammar in words, each event as a schema, and examples to the byte.

OpenAPI 3.1 has no word for a sequence of events. The schema of `text/event-stream` here is that of one event as a
parser of server-sent events gives it, which is how tools that check streams read it.
"""

from __future__ import annotations

from typing import Any

from promptcraft.schema.notation import Schema, any_of, array, constant, json_text, one_of, record, ref, text

__all__ = ["EXAMPLES", "SCHEMAS", "event_stream", "last_events", "named_event", "numbered_events"]

_GRAMMAR = """\
Server-sent events in UTF-8; lines end with LF.

    stream = *( event / ping ) [ done ]
    event  = "id: " number LF "data: " json LF LF
    ping   = ": ping" LF
    done   = "data: [DONE]" LF LF

- Each event is of this schema, its fields as a parser gives them.
- Ids start at 1 and rise. Sent back as `Last-Event-ID`, one of them resumes the stream after its event.
- `json` is one line: a `ChatCompletionChunk`, or a `StreamError` as the last event. U+0085, U+2028 and U+2029 are
  escaped in it.
- The first chunk has the role, exactly one has a `finish_reason`; with `include_usage` the last one has no choices and
  the usage.
- A ping is one line, without a blank line after it, once nothing was sent for `KEEPALIVE_INTERVAL` (15 s).
- `[DONE]` says that the answer is complete, or was cancelled by its owner, and that its usage is recorded. A stream
  that ends without it was cut: resume it.
- Until the first content a failure has its true status. After `HEADER_HOLD` (8 s) without content the 200 goes out, and
  a failure is the last event."""


def event_stream(*examples: str) -> dict[str, Any]:
    """Return `text/event-stream` as an answer's media type."""
    return {
        "text/event-stream": {"schema": ref("StreamEvent"), "examples": {name: EXAMPLES[name] for name in examples}}
    }


_UNNAMED = constant("message", "Not sent: what a parser calls an event without a name.")
_DONE = record({"event": _UNNAMED, "data": constant("[DONE]")}, absent=("event",))
_EVENT_ID = text("A number that rises from 1.", pattern="^[1-9][0-9]*$")


def named_event(name: str, data: Schema) -> Schema:
    """Describe an event with a name and one line of JSON."""
    return record({"event": constant(name), "data": json_text(data)})


def numbered_events() -> list[Schema]:
    """Describe a completion's events, each with its id."""
    data = json_text(one_of(ref("ChatCompletionChunk"), ref("StreamError")))
    return [record({"id": _EVENT_ID, "event": _UNNAMED, "data": data}, absent=("event",)), _DONE]


def last_events() -> list[Schema]:
    """Describe the ends of a stream that has no ids."""
    return [record({"event": _UNNAMED, "data": json_text(ref("StreamError"))}, absent=("event",)), _DONE]


SCHEMAS: dict[str, Schema] = {
    "StreamEvent": any_of(*numbered_events(), description=_GRAMMAR),
    "StreamError": record(
        {
            "error": ref("ErrorDetail"),
            "choices": array(
                record(
                    {
                        "index": {"type": "integer", "const": 0},
                        "delta": record({}, maxProperties=0),
                        "finish_reason": constant("error"),
                    }
                ),
                minItems=1,
                maxItems=1,
            ),
        },
        "How a stream ends that has failed after its headers were sent. No `[DONE]` follows.",
    ),
}

_HEAD = '{"id":"chatcmpl-0b2f6e5ad1c94c0e9b7d3c1f8a6e4d20","object":"chat.completion.chunk","created":1795132800,'
_CHUNK = _HEAD + '"model":"deepseek-flash","choices":[{"index":0,"delta":'


def _chunk(delta: str, finish_reason: str = "null") -> str:
    return f'{_CHUNK}{delta},"finish_reason":{finish_reason}}}]}}'


_USAGE = (
    _HEAD + '"model":"deepseek-flash","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,'
    '"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0},'
    '"cost":0.00000255}}'
)
_ERROR = (
    '{"error":{"message":"The answer broke off (stream_cut). What was received is kept; a new request starts, and '
    'bills, a new answer.","type":"provider_error","code":"stream_interrupted","param":null,'
    '"request_id":"req_5d41402abc4b2a76b9719d91","retryable":false,"retry_after":null,'
    '"attempts":[{"provider":"deepseek","model":"deepseek-flash","end_reason":"stream_cut"}]},'
    '"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}'
)


def _written(*events: str, first_id: int = 1, done: bool = True) -> str:
    lines = [f"id: {event_id}\ndata: {data}\n\n" for event_id, data in enumerate(events, first_id)]
    return "".join(lines) + ("data: [DONE]\n\n" if done else "")


_FIRST = _chunk('{"role":"assistant","content":"Hel"}')
_SECOND = _chunk('{"content":"lo!"}')
_FINISH = _chunk("{}", '"stop"')

EXAMPLES: dict[str, Any] = {
    "complete": {"summary": "A whole answer, with usage", "value": _written(_FIRST, _SECOND, _FINISH, _USAGE)},
    "interrupted": {
        "summary": "A provider that broke off",
        "value": _written(_FIRST, _ERROR, done=False),
    },
    "resumed": {
        "summary": "From event 2 on, after a silence",
        "value": ": ping\n" + _written(_SECOND, _FINISH, first_id=2),
    },
}

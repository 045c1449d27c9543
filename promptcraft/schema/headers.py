"""Headers: those that requests may send and those that answers carry."""

from __future__ import annotations

from typing import Any

from apps.llm.providers.scenario import SCENARIOS
from promptcraft.schema.notation import Schema, text, whole, words

__all__ = ["COMPLETION_HEADERS", "HEADERS", "LIMIT_HEADERS", "PARAMETERS", "header_refs", "parameter_refs"]

# On the answers of completions and of the workbench, errors included, to whoever is authenticated.
LIMIT_HEADERS = ("RateLimit-Policy", "RateLimit", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
COMPLETION_HEADERS = (
    "X-PromptCraft-Completion-Id",
    "X-PromptCraft-Provider",
    "X-PromptCraft-Model",
    "X-PromptCraft-Fallback-Count",
    "X-PromptCraft-Ignored",
    "Idempotent-Replay",
)
_ALWAYS = ("X-Request-Id", "traceparent")
_REQUEST_ID: dict[str, Any] = {"minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9._-]+$"}
_TRACEPARENT = {"pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"}


def header_refs(*names: str) -> dict[str, Any]:
    """Return the headers of an answer: these, and those that every answer has."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*_ALWAYS, *names)}


def parameter_refs(*names: str) -> list[dict[str, Any]]:
    """Return parameters of a request."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _header(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "schema": schema}


HEADERS: dict[str, Any] = {
    "X-Request-Id": _header("The id that was sent, if it has this form, else a new one.", text(**_REQUEST_ID)),
    "traceparent": _header("W3C Trace Context: the trace that was sent, or a new one.", text(**_TRACEPARENT)),
    "RateLimit-Policy": _header(
        "On answers of completions and of the workbench: at most `q` requests in any `w` seconds. A request that is "
        "counted in both windows says both.",
        text(examples=['"chat";q=5;w=60', '"workbench";q=60;w=60, "chat";q=5;w=60']),
    ),
    "RateLimit": _header(
        "`r` requests are left; after `t` seconds all are free again.", text(examples=['"chat";r=4;t=60'])
    ),
    "X-RateLimit-Limit": _header("Requests in a window: of two windows in the one with fewer left.", whole(minimum=1)),
    "X-RateLimit-Remaining": _header("How many of them are left.", whole(minimum=0)),
    "X-RateLimit-Reset": _header(
        "Seconds until all are free again; on a refusal, those of `Retry-After`.", whole(minimum=0)
    ),
    "Retry-After": _header("Seconds to wait. Whoever waits them is not refused for the same reason.", whole(minimum=1)),
    "WWW-Authenticate": _header("The scheme to use.", {"type": "string", "const": "Bearer"}),
    "Allow": _header("The methods that this path has.", text(examples=["GET, HEAD, OPTIONS"])),
    "x-should-retry": _header(
        "Sent where another try could be billed twice, or is of no use.", {"type": "string", "const": "false"}
    ),
    "X-PromptCraft-Completion-Id": _header("To come back to it, or to cancel it.", text()),
    "X-PromptCraft-Provider": _header("The provider that answers.", text()),
    "X-PromptCraft-Model": _header("The model that answers.", text()),
    "X-PromptCraft-Fallback-Count": _header(
        "How many providers failed, or were passed over, before.", whole(minimum=0)
    ),
    "X-PromptCraft-Ignored": _header(
        "Sent where members of the request have no effect on the model that answers: their names.",
        text(examples=["temperature, seed"]),
    ),
    "Idempotent-Replay": _header(
        "Sent where the `Idempotency-Key` led to a completion that existed already.",
        {"type": "string", "const": "true"},
    ),
}


def _sent(name: str, place: str, description: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "description": description, "schema": schema}


PARAMETERS: dict[str, Any] = {
    "X-Request-Id": _sent(
        "X-Request-Id",
        "header",
        "Your own id for this request: 1 to 128 letters, digits, `.`, `_` or `-`. Any other is replaced.",
        text(),
    ),
    "traceparent": _sent(
        "traceparent",
        "header",
        "W3C Trace Context; taken part in, or begun anew if it has another form.",
        text(examples=["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
    ),
    "Idempotency-Key": _sent(
        "Idempotency-Key",
        "header",
        "The same key with the same body leads to the completion that exists, from its first event on, running or "
        "finished: neither counted nor billed again. Kept for 24 hours.",
        text(minLength=1, maxLength=255, pattern="^[ -~]+$"),
    ),
    "X-Mock-Scenario": _sent(
        "X-Mock-Scenario",
        "header",
        "For the mock provider alone: the fault or form to rehearse. The `n` of `cut_after_n` and `error_after_n` may "
        "be a number of tokens. Empty is none.",
        {"anyOf": [words(SCENARIOS), text(pattern=r"^((cut|error)_after_[0-9]{1,4})?$")]},
    ),
    "Last-Event-ID": _sent(
        "Last-Event-ID",
        "header",
        "The id of the last event you have. Browsers' EventSource sends it by itself.",
        whole(minimum=0, maximum=2**53),
    ),
    "after_event": _sent(
        "after", "query", "The same as `Last-Event-ID`, and wins over it.", whole(minimum=0, maximum=2**53)
    ),
    "after_completion": _sent("after", "query", "The `next` of the page before.", text(minLength=1)),
    "limit": _sent("limit", "query", "How many at most.", whole(minimum=1, maximum=100, default=20)),
    "format": _sent("format", "query", "Wins over the `Accept` header.", words(("json", "yaml"))),
    "completion_id": _sent("completion_id", "path", "The `id` of a completion.", text()),
    "model": _sent("model", "path", "The `id` of a model; it may hold slashes.", text()),
}

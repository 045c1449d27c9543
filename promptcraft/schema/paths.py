"""The operations that plain async views answer: `apps.chat.urls` and `promptcraft.urls`."""

from __future__ import annotations

from typing import Any

from promptcraft.schema.errors import error_refs
from promptcraft.schema.examples import COMPLETION, REQUESTS
from promptcraft.schema.headers import COMPLETION_HEADERS, LIMIT_HEADERS, header_refs, parameter_refs
from promptcraft.schema.notation import Schema, ref, text
from promptcraft.schema.prompts import PATHS as PROMPTS
from promptcraft.schema.prompts import TAG as PROMPTS_TAG
from promptcraft.schema.stream import event_stream

__all__ = ["PATHS", "TAGS"]

TAGS = [
    {"name": "auth", "description": "Log in, stay in, log out."},
    {"name": "completions", "description": "Ask, follow, come back, cancel."},
    PROMPTS_TAG,
    {"name": "templates", "description": "Prompts with variables: found, filled in, versioned, carried elsewhere."},
    {"name": "models", "description": "What can be asked for, at what price."},
    {"name": "health", "description": "For load balancers, orchestrators and people. No token is spent, none needed."},
    {"name": "documentation", "description": "This document."},
]

_PUBLIC: list[dict[str, list[str]]] = []


def _json(schema: Schema, description: str, *headers: str, example: Any = None) -> dict[str, Any]:
    content = {"schema": schema} if example is None else {"schema": schema, "example": example}
    return {"description": description, "headers": header_refs(*headers), "content": {"application/json": content}}


def _operation(tag: str, name: str, summary: str, description: str = "", **more: Any) -> dict[str, Any]:
    said = {"description": description} if description else {}
    return {"operationId": name, "tags": [tag], "summary": summary, **said, **more}


_CREATE = _operation(
    "completions",
    "completion_create",
    "Ask for a completion",
    "Streams when `stream` is true, or when it is absent and `Accept` names `text/event-stream`; else answers one "
    "object. The providers of the chain are asked in order until one begins to answer.\n\n"
    "Counted against the rate limit: what is accepted, and what is wrong with a 400, 413 or 415. A slot is given back "
    "when we fail before the first content. A client that goes away stops its completion, unless `on_disconnect` is "
    "`continue`.",
    parameters=parameter_refs("Idempotency-Key", "X-Mock-Scenario"),
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": ref("ChatCompletionRequest"), "examples": REQUESTS}},
    },
    responses={
        "200": {
            "description": "The answer, or its stream.",
            "headers": header_refs(*LIMIT_HEADERS, *COMPLETION_HEADERS),
            "content": {
                "application/json": {"schema": ref("ChatCompletion"), "example": COMPLETION},
                **event_stream("complete", "interrupted"),
            },
        },
        **error_refs(402, 404, 409, 429, 502, 504),
    },
)

_EVENTS = _operation(
    "completions",
    "completion_events",
    "Follow a completion, or come back to it",
    "Every event after the one named, none twice, then live to the end. Replayed text comes in fewer, longer pieces; "
    "joined it is the same. Kept for `STREAM_RETENTION` (10 min) after the end. You may have 100 open at once, "
    "repeats of an `Idempotency-Key` among them.",
    parameters=parameter_refs("completion_id", "after_event", "Last-Event-ID"),
    responses={
        "200": {
            "description": "The events.",
            "headers": header_refs(*LIMIT_HEADERS, "X-PromptCraft-Completion-Id"),
            "content": event_stream("resumed"),
        },
        "204": {"description": "It is finished, and nothing is new.", "headers": header_refs(*LIMIT_HEADERS)},
        **error_refs(404, 410, 429),
    },
)

_COMPLETIONS: dict[str, Any] = {
    "/api/v2/chat/completions/": {
        "post": _CREATE,
        "get": _operation(
            "completions",
            "completion_list",
            "List your completions",
            "Newest first, those that run included.",
            parameters=parameter_refs("limit", "after_completion"),
            responses={"200": _json(ref("ChatCompletionList"), "A page.", *LIMIT_HEADERS)},
        ),
    },
    "/api/v2/chat/completions/{completion_id}/": {
        "get": _operation(
            "completions",
            "completion_detail",
            "Read a completion",
            "The answer so far, how it stands, and who was asked.",
            parameters=parameter_refs("completion_id"),
            responses={
                "200": _json(ref("ChatCompletion"), "The completion.", *LIMIT_HEADERS, example=COMPLETION),
                **error_refs(404),
            },
        ),
    },
    "/api/v2/chat/completions/{completion_id}/events/": {
        "get": _EVENTS,
    },
    "/api/v2/chat/completions/{completion_id}/cancel/": {
        "post": _operation(
            "completions",
            "completion_cancel",
            "Cancel a completion",
            "From anywhere. The provider is let go within a second; every reader gets the `finish_reason` `cancelled` "
            "and `[DONE]`. Cancelling again is fine.",
            parameters=parameter_refs("completion_id"),
            responses={
                "200": _json(ref("CancelledCompletion"), "Cancelled, with what it used.", *LIMIT_HEADERS),
                **error_refs(404, 409),
            },
        ),
    },
}

_MODELS: dict[str, Any] = {
    "/api/v2/models/": {
        "get": _operation(
            "models",
            "model_list",
            "List the models",
            responses={"200": _json(ref("ModelList"), "Those of every usable provider.")},
        ),
    },
    "/api/v2/models/{model}/": {
        "get": _operation(
            "models",
            "model_detail",
            "Read a model",
            parameters=parameter_refs("model"),
            responses={"200": _json(ref("Model"), "The model."), **error_refs(404)},
        ),
    },
}

_HEALTH: dict[str, Any] = {
    "/api/v2/chat/health/": {
        "get": _operation(
            "health",
            "health",
            "How the service does",
            "Providers as their traffic shows them, stores from a look.",
            security=_PUBLIC,
            responses={
                "200": _json(ref("Health"), "`ok`, or `degraded`: requests are served."),
                "503": _json(ref("Health"), "`down`: no request could be served."),
            },
        ),
    },
    "/api/v2/chat/health/live/": {
        "get": _operation(
            "health",
            "liveness",
            "Whether the process turns",
            security=_PUBLIC,
            responses={"200": _json(ref("Liveness"), "It does.")},
        ),
    },
    "/api/v2/chat/health/ready/": {
        "get": _operation(
            "health",
            "readiness",
            "Whether to send requests here",
            security=_PUBLIC,
            responses={
                "200": _json(ref("Readiness"), "Yes."),
                "503": _json(ref("Readiness"), "No: the process is draining, or the database is not as it should be."),
            },
        ),
    },
    "/api/v2/chat/health/paths/": {
        "get": _operation(
            "health",
            "path_health",
            "How HTTP and the WebSockets do",
            "What this process has counted since it started, in its phase of the rollout. For staff.",
            responses={"200": _json(ref("PathHealth"), "The counters.")},
        ),
    },
}

# YAML is described as what it parses to.
_DOCUMENT = {"schema": {"type": "object"}}

_DOCUMENTATION: dict[str, Any] = {
    "/api/v2/schema/": {
        "get": _operation(
            "documentation",
            "schema",
            "This document",
            security=_PUBLIC,
            parameters=parameter_refs("format"),
            responses={
                "200": {
                    "description": "OpenAPI 3.1, as JSON or YAML.",
                    "headers": header_refs(),
                    "content": {
                        "application/json": _DOCUMENT,
                        "application/vnd.oai.openapi+json": _DOCUMENT,
                        "application/yaml": _DOCUMENT,
                        "application/vnd.oai.openapi": _DOCUMENT,
                    },
                }
            },
        ),
    },
    "/api/v2/docs/": {
        "get": _operation(
            "documentation",
            "docs",
            "The page to try it",
            security=_PUBLIC,
            responses={
                "200": {
                    "description": "A page that loads nothing from other hosts.",
                    "headers": header_refs(),
                    "content": {"text/html": {"schema": text()}},
                }
            },
        ),
    },
}


def _of_v1(path: str) -> dict[str, Any]:
    """Return the same operations under the prefix for tools that can only be given a host."""
    operations: dict[str, Any] = (_COMPLETIONS | _MODELS)[f"/api/v2{path}"]
    return {method: {**one, "operationId": f"v1_{one['operationId']}"} for method, one in operations.items()}


_V1 = {f"/v1{path}": _of_v1(path) for path in ("/chat/completions/", "/models/", "/models/{model}/")}

PATHS: dict[str, Any] = {**_COMPLETIONS, **PROMPTS, **_MODELS, **_V1, **_HEALTH, **_DOCUMENTATION}

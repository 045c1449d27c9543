"""The document: what drf-spectacular says of the accounts, joined with what is written here of everything else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer

from promptcraft.schema import answers, errors, health, prompts, request, stream
from promptcraft.schema.errors import error_refs
from promptcraft.schema.headers import HEADERS, LIMIT_HEADERS, PARAMETERS, header_refs, parameter_refs
from promptcraft.schema.paths import PATHS, TAGS

__all__ = ["complete", "rendered"]

_DESCRIPTION = """\
A relay for language models. It takes OpenAI's chat format, asks a chain of providers and streams the answer.

**Clients of OpenAI's API** work with `base_url` set to this host's `/api/v2` and `api_key` to an API key or
an access token.

**Authentication.** `POST /api/v2/auth/token/` exchanges a name and a password for a pair of tokens. Send the access
token as `Authorization: Bearer …`; refresh it when it has expired. Servers and tools send an API key in its place, made
with `POST /api/v2/auth/keys/`: it opens what its scopes say. Health, this document, its page and the exchange of tokens
itself need none.

**Errors** have one shape, whatever fails: `{"error": {"message", "type", "code", "param", "request_id", "retryable",
"retry_after"}}`. `code` is from a closed list. Once a stream has begun, a failure is its last event.

**Paths** answer with and without their trailing slash, for every method, and never redirect. `HEAD` is answered where
`GET` is, `OPTIONS` everywhere; any other method gets 405 with `Allow`, any other path 404.

**Every answer** has an `X-Request-Id` and a `traceparent`. Bodies are JSON in UTF-8; fields that nobody knows are
ignored."""

# What can go wrong with an operation of REST framework's besides what can with all; its views describe bodies alone.
_MORE_ERRORS: Mapping[str, tuple[int, ...]] = {
    "/api/v2/auth/token/": (401,),
    "/api/v2/auth/token/refresh/": (401,),
    "/api/v2/auth/token/verify/": (401,),
    "/api/v2/auth/logout/": (401,),
    "/api/v2/auth/register/": (404,),
    "/api/v2/auth/keys/{key_id}/": (404,),
    "/api/v2/auth/users/{user_id}/disable/": (404,),
    "/api/v2/auth/users/{user_id}/enable/": (404,),
    "/api/v2/templates/": (409,),
    "/api/v2/templates/import/": (409,),
    "/api/v2/templates/{slug}/": (404, 409),
    "/api/v2/templates/{slug}/export/": (404,),
    "/api/v2/templates/{slug}/labels/": (404,),
    "/api/v2/templates/{slug}/labels/{name}/": (404,),
    "/api/v2/templates/{slug}/render/": (404,),
    "/api/v2/templates/{slug}/versions/": (404,),
    "/api/v2/templates/{slug}/versions/diff/": (404,),
    "/api/v2/templates/{slug}/versions/{number}/": (404,),
}


@cache
def rendered(form: str) -> bytes:
    """Return the document as `json` or `yaml`, made once for each."""
    document = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    renderer = OpenApiJsonRenderer() if form == "json" else OpenApiYamlRenderer()
    data: bytes = renderer.render(document, renderer_context={})
    return data


def complete(result: dict[str, Any], **generation: Any) -> dict[str, Any]:
    """Finish the document that drf-spectacular has begun; it calls this with the generator among the rest."""
    del generation
    begun = {path: _described(path, item) for path, item in result["paths"].items()}
    result["info"]["description"] = _DESCRIPTION
    result["tags"] = TAGS
    result["security"] = [{"bearer": []}]
    result["paths"] = {
        path: {method: _whole(operation) for method, operation in item.items()}
        for path, item in (begun | PATHS).items()
    }
    result["components"] |= {
        "schemas": {
            **result["components"].get("schemas", {}),
            **request.SCHEMAS,
            **answers.SCHEMAS,
            **stream.SCHEMAS,
            **health.SCHEMAS,
            **prompts.SCHEMAS,
            **errors.SCHEMAS,
        },
        "responses": errors.RESPONSES,
        "headers": HEADERS,
        "parameters": PARAMETERS,
    }
    return result


def _described(path: str, item: dict[str, Any]) -> dict[str, Any]:
    """Give REST framework's operations the words and headers that those written here have."""
    # The workbench has a window of its own, which each of its answers tells.
    limits = LIMIT_HEADERS if path.startswith("/api/v2/templates/") else ()
    for operation in item.values():
        if "summary" not in operation and "description" in operation:
            operation["summary"] = re.sub(r"\.$", "", operation.pop("description"))
        if operation.get("security") == [{}]:
            operation["security"] = []
        if "requestBody" in operation:
            operation["requestBody"]["required"] = True
        for status, response in operation["responses"].items():
            response["description"] = response.get("description") or HTTPStatus(int(status)).phrase
            response["headers"] = {**header_refs(*limits), **response.get("headers", {})}
        operation["responses"] |= error_refs(*_MORE_ERRORS.get(path, ()))
    return item


def _whole(operation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operation with what is the same everywhere: the headers all take, the errors all may end with."""
    statuses = {400, 429, 431, 500, 503}
    if operation.get("security") != []:
        # An API key that lacks the scope is known, and may not.
        statuses |= {401, 403}
    if "requestBody" in operation:
        statuses |= {408, 413, 415, 501}
    responses = error_refs(*statuses) | operation["responses"]
    return {
        **operation,
        "parameters": [*operation.get("parameters", ()), *parameter_refs("X-Request-Id", "traceparent")],
        "responses": {
            **{status: responses[status] for status in sorted(responses)},
            "default": {"$ref": "#/components/responses/AnyError"},
        },
    }

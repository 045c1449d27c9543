"""The OpenAPI document as a judge: is this what it says of that answer?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import httpx
import yaml
from jsonschema import Draft202012Validator, ValidationError, validators  # type: ignore[import-untyped]

from promptcraft.schema.document import rendered

__all__ = [
    "METHODS",
    "all_references",
    "check_answer",
    "check_stream",
    "document",
    "events_of",
    "fits",
    "problems",
    "resolve",
]

METHODS = ("get", "post", "put", "patch", "delete")
_PING = ": ping\n"
_EVENT = re.compile(r"(?:id: (?P<id>[1-9]\d*)\n)?data: (?P<data>[^\r\n]+)\n\n")


@cache
def document() -> dict[str, Any]:
    """Return the document as it is served."""
    parsed: dict[str, Any] = json.loads(rendered("json"))
    return parsed


def resolve(thing: Any) -> Any:
    """Follow a reference, if it is one."""
    while isinstance(thing, Mapping) and "$ref" in thing:
        found: Any = document()
        for part in thing["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        thing = found
    return thing


def all_references(thing: Any) -> Iterator[str]:
    """Yield every reference inside."""
    if isinstance(thing, Mapping):
        if isinstance(thing.get("$ref"), str):
            yield thing["$ref"]
        for value in thing.values():
            yield from all_references(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from all_references(value)


def problems(value: object, schema: Mapping[str, Any]) -> list[str]:
    """Return what a schema of the document has against a value; a member that it does not name is one, too."""
    validator = _validator(json.dumps(schema), closed=True)
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]


def fits(value: object, schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema of the document, as it is, takes a value."""
    taken: bool = _validator(json.dumps(schema), closed=False).is_valid(value)
    return taken


def check_answer(method: str, path: str, answer: httpx.Response) -> None:
    """Check status, media type, body and headers of an answer against the operation of a path of the document."""
    responses = document()["paths"][path][method.lower()]["responses"]
    assert str(answer.status_code) in responses, f"{answer.status_code} is not in the document: {answer.text}"
    described = resolve(responses[str(answer.status_code)])
    _check_headers(answer, described.get("headers", {}))
    if not answer.content:
        assert "content" not in described
        return
    media_type = answer.headers["Content-Type"].partition(";")[0]
    assert media_type in described["content"], f"{media_type} is not in the document"
    schema = described["content"][media_type]["schema"]
    for value in _values(media_type, answer):
        assert problems(value, schema) == []
    if schema == {"$ref": "#/components/schemas/StreamEvent"}:
        check_stream(answer.text)


def _values(media_type: str, answer: httpx.Response) -> Iterator[object]:
    """Yield what an answer's schema describes: what JSON and YAML parse to, each event of a stream, else the text."""
    if media_type.endswith("json"):
        yield answer.json()
    elif media_type in ("application/yaml", "application/vnd.oai.openapi"):
        yield yaml.safe_load(answer.text)
    elif media_type == "text/event-stream":
        yield from events_of(answer.text)
    else:
        yield answer.text


def events_of(text: str) -> Iterator[dict[str, str]]:
    """Yield the events of a stream with their fields, as a parser does."""
    for block in text.replace(_PING, "").removesuffix("\n\n").split("\n\n"):
        yield {"event": "message", **dict(line.split(": ", 1) for line in block.split("\n"))}


def _content(
    validator: Draft202012Validator, schema: Mapping[str, Any], text: object, whole: Mapping[str, Any]
) -> Iterator[ValidationError]:
    """Judge what a string holds, which JSON Schema leaves to whoever reads it."""
    if isinstance(text, str) and whole.get("contentMediaType") == "application/json":
        try:
            content = json.loads(text)
        except ValueError:
            yield ValidationError(f"no JSON: {text[:100]}")
        else:
            yield from validator.descend(content, schema)


def check_stream(text: str) -> list[Any]:
    """Check a stream against the grammar and its events against their schemas; return their data."""
    datas: list[Any] = []
    last_id = 0
    done = False
    while text:
        assert not done, f"after [DONE]: {text[:100]!r}"
        if text.startswith(_PING):
            text = text.removeprefix(_PING)
            continue
        event = _EVENT.match(text)
        assert event, f"not of the grammar: {text[:100]!r}"
        text = text[event.end() :]
        done = event["data"] == "[DONE]"
        assert (event["id"] is None) is done
        if done:
            continue
        assert int(event["id"]) > last_id
        last_id = int(event["id"])
        data = json.loads(event["data"])
        kind = "StreamError" if "error" in data else "ChatCompletionChunk"
        assert problems(data, {"$ref": f"#/components/schemas/{kind}"}) == []
        datas.append(data)
    assert done is ("error" not in datas[-1]), "a stream ends with [DONE] or with an error"
    return datas


def _check_headers(answer: httpx.Response, described: Mapping[str, Any]) -> None:
    ours = re.compile(r"x-(promptcraft|ratelimit|request|should)|ratelimit|retry-after|idempotent|traceparent|www-")
    named = {name.lower() for name in described}
    unnamed = {name for name in answer.headers if ours.match(name)} - named
    assert not unnamed, f"the document does not name {unnamed}"
    for name, header in described.items():
        if name in answer.headers:
            schema = resolve(header)["schema"]
            text = answer.headers[name]
            value = int(text) if schema["type"] == "integer" else text
            assert problems(value, schema) == [], name


@cache
def _validator(schema: str, *, closed: bool) -> Draft202012Validator:
    judged = json.loads(schema)
    judge: Draft202012Validator = validators.extend(Draft202012Validator, {"contentSchema": _content})
    return judge(
        {
            "allOf": [_closed(judged) if closed else judged],
            "components": {"schemas": _components(closed=closed)},
        }
    )


@cache
def _components(*, closed: bool) -> Any:
    schemas = document()["components"]["schemas"]
    return {name: _closed(schema) for name, schema in schemas.items()} if closed else schemas


def _closed(schema: Any) -> Any:
    """Return a schema whose objects may have the properties that they name and no others."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    shut = {name: _closed(value) for name, value in schema.items()}
    if "properties" in shut and "object" in shut.get("type", ()):
        shut["additionalProperties"] = False
    return shut

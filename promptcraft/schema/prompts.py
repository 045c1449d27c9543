"""The workbench's operations on prompts: `apps.templates.prompts.views`."""

from __future__ import annotations

from typing import Any

from apps.templates.answers import CRITERIA, Entities, Source
from apps.templates.categories import CATEGORIES, TEMPLATE_CATEGORIES
from apps.templates.models import Label
from apps.templates.prompts.requests import GENERATE_MEMBERS, MAX_PROMPT_CHARACTERS, MAX_QUERY_CHARACTERS, RUN_MEMBERS
from promptcraft.schema.errors import error_refs
from promptcraft.schema.examples import COMPLETION
from promptcraft.schema.headers import COMPLETION_HEADERS, LIMIT_HEADERS, header_refs, parameter_refs
from promptcraft.schema.notation import Schema, any_of, array, flag, number, optional, record, ref, text, whole, words
from promptcraft.schema.request import SCHEMAS as COMPLETION_BODY
from promptcraft.schema.stream import event_stream, last_events, named_event, numbered_events

__all__ = ["PATHS", "SCHEMAS", "TAG"]

TAG = {"name": "prompts", "description": "Understand a wish, strengthen a prompt, generate from either."}

_SOMETHING: dict[str, Any] = {"pattern": r"\S", "minLength": 1}
_QUERY = text("What somebody wants, in their own words.", maxLength=MAX_QUERY_CHARACTERS, **_SOMETHING)
_PROMPT = text(maxLength=MAX_PROMPT_CHARACTERS, **_SOMETHING)
_SLUG = text(maxLength=100, **_SOMETHING)
_WISH = optional(text(maxLength=200))
_SHARE = number("How often an answer so sure is right.", minimum=0, maximum=1)
_POINTS = whole(minimum=0, maximum=10)
_TOTAL = whole("The weighted criteria.", minimum=0, maximum=100)
_NAMES = array(text())
_CATEGORY = words(TEMPLATE_CATEGORIES)
_SOURCE = words(Source, "Who answered: a model, or rules.")
_COMPLETION: dict[str, Schema] = {
    **{
        name: field
        for name, field in COMPLETION_BODY["ChatCompletionRequest"]["properties"].items()
        if name != "stream"
    },
    "messages": {"type": "null", "description": "Refused: it is written here."},
}
_FOUND = array(ref("FoundTemplate"), "Best first.")
_VARIABLES = optional(record({}, "By name; each of the type that the template says."))

_STREAM = """\
One of the server-sent events, of which there is one for each step: `event:` names it, `data:` is its object on one
line. A ping is the line `: ping`. The end is `data: [DONE]`, or, if it failed on the way, an unnamed event with a
`StreamError` and nothing more."""
_RUN_STREAM = """\
The events `intent`, `templates`, `optimization` and `completion`, without ids, each as it is ready; then the
completion's own events as in `StreamEvent`, ids and all, to `data: [DONE]`. What breaks off is resumed under the
`events` that `completion` names."""

_INTENT: dict[str, Schema] = {
    "category": _CATEGORY,
    "confidence": _SHARE,
    "alternatives": array(record({"category": words(CATEGORIES), "confidence": _SHARE}), "The next most likely."),
    "language": text("ISO 639-1, or `und`.", pattern="^([a-z]{2}|und)$"),
    "entities": record(
        {name: optional(text()) for name in Entities.__dataclass_fields__},
        "What the query says of the text that is wanted, in its own words.",
    ),
}


SCHEMAS: dict[str, Schema] = {
    "IntentRequest": record({"query": _QUERY, "stream": optional(flag())}, absent=["stream"]),
    "OptimizeRequest": record(
        {
            "prompt": _PROMPT,
            "intent_data": optional(record({}, "An answer about intent: category, tone and audience are used.")),
            "tone": _WISH,
            "audience": _WISH,
            "stream": optional(flag()),
            "save": optional(
                record(
                    {"template": _SLUG, "note": optional(text(maxLength=500))},
                    absent=["note"],
                    description="An own template that gets the result as a new version, at which no label stands.",
                )
            ),
        },
        absent=["intent_data", "tone", "audience", "stream", "save"],
    ),
    "GenerateRequest": record(
        {
            "prompt": optional(_PROMPT),
            "template": optional(_SLUG),
            "variables": _VARIABLES,
            "label": optional(words(Label.Name.values)),
            "version": optional(whole(minimum=1, maximum=2**31 - 1)),
            "stream": optional(flag(default=True)),
            **_COMPLETION,
        },
        absent=[*GENERATE_MEMBERS, *_COMPLETION],
        description="A prompt, a template or both: the template filled in, an empty line, the prompt. Without a "
        "template, `variables` fill the prompt's own placeholders. The rest goes to the completion as it is.",
    ),
    "RunRequest": record(
        {
            "query": _QUERY,
            "variables": _VARIABLES,
            "stream": optional(flag(default=True)),
            **_COMPLETION,
        },
        absent=[*RUN_MEMBERS - {"query"}, *_COMPLETION],
    ),
    "Intent": record({**_INTENT, "suggested_templates": _FOUND, "source": _SOURCE}),
    "IntentOfRun": record({**_INTENT, "source": _SOURCE}),
    "MatchingTemplates": record(
        {"found": _FOUND, "used": optional(text("The one that the variables filled: it goes before the query."))}
    ),
    "FoundTemplate": record(
        {
            "slug": text(),
            "title": text(),
            "description": text(),
            "category": _CATEGORY,
            "tags": _NAMES,
            "score": number(),
            "highlights": array(
                record({"field": words(("title", "description")), "start": whole(minimum=0), "end": whole(minimum=1)})
            ),
        }
    ),
    "Optimization": record(
        {
            "original": text(),
            "optimized": text(),
            "unchanged": flag(),
            "diff": array(record({"op": words(("equal", "delete", "insert")), "text": text()})),
            "criteria": array(
                record({"name": words(CRITERIA), "before": _POINTS, "after": _POINTS, "why": text()}),
                minItems=len(CRITERIA),
                maxItems=len(CRITERIA),
            ),
            "score_before": _TOTAL,
            "score_after": _TOTAL,
            "placeholders": record({"kept": _NAMES, "lost": _NAMES, "added": _NAMES}),
            "warnings": _NAMES,
            "source": _SOURCE,
            "usage": optional(ref("Usage", "All calls together; null for rules.")),
            "saved": record({"slug": text(), "version": whole(minimum=1)}, "Only where it was asked for."),
        },
        absent=("saved",),
    ),
    "Run": record(
        {
            "intent": ref("IntentOfRun"),
            "templates": ref("MatchingTemplates"),
            "optimization": ref("Optimization"),
            "completion": ref("ChatCompletion"),
        }
    ),
    "IntentEvent": any_of(named_event("intent", ref("Intent")), *last_events(), description=_STREAM),
    "OptimizationEvent": any_of(named_event("optimization", ref("Optimization")), *last_events(), description=_STREAM),
    "RunEvent": any_of(
        named_event("intent", ref("IntentOfRun")),
        named_event("templates", ref("MatchingTemplates")),
        named_event("optimization", ref("Optimization")),
        named_event("completion", record({"id": text(), "events": text("Where its events are resumed.")})),
        *numbered_events(),
        *last_events(),
        description=_RUN_STREAM,
    ),
}


def _operation(
    name: str,
    summary: str,
    description: str,
    *,
    body: str,
    example: Any,
    content: dict[str, Any],
    headers: tuple[str, ...] = (),
    parameters: tuple[str, ...] = (),
    statuses: tuple[int, ...],
) -> dict[str, Any]:
    return {
        "post": {
            "operationId": name,
            "tags": [TAG["name"]],
            "summary": summary,
            "description": description,
            "parameters": parameter_refs(*parameters),
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": ref(body), "example": example}},
            },
            "responses": {
                "200": {
                    "description": "The answer, or its stream.",
                    "headers": header_refs(*LIMIT_HEADERS, *headers),
                    "content": content,
                },
                **error_refs(*statuses),
            },
        }
    }


def _content(schema: str, event: str) -> dict[str, Any]:
    return {"application/json": {"schema": ref(schema)}, "text/event-stream": {"schema": ref(event)}}


PATHS: dict[str, Any] = {
    "/api/v2/prompts/intent/": _operation(
        "prompt_intent",
        "Say what a query is about",
        "By a model, which takes a slot of the rate limit and at most 8 seconds; by rules where there is none, or it "
        "does not answer as it should.",
        body="IntentRequest",
        example={"query": "a newsletter for home bakers, friendly, about 200 words"},
        content=_content("Intent", "IntentEvent"),
        statuses=(402, 429),
    ),
    "/api/v2/prompts/optimize/": _operation(
        "prompt_optimize",
        "Make a prompt stronger",
        "By a model, which takes one or two slots of the rate limit and at most 30 seconds; by rules where there is "
        "none, or it fails. What it wrote is judged: an answer that is no rewrite, or loses a placeholder, is asked "
        "for once more and then dropped. A prompt that is good already is left alone.",
        body="OptimizeRequest",
        example={"prompt": "write something about {{ product }} for my shop", "tone": "warm"},
        content=_content("Optimization", "OptimizationEvent"),
        statuses=(402, 404, 429),
    ),
    "/api/v2/prompts/generate/": _operation(
        "prompt_generate",
        "Generate from a prompt or a template",
        "The same completion as one whose only message is the text, with everything that completions have. It streams "
        "unless `stream` is false.",
        body="GenerateRequest",
        example={"template": "newsletter-issue", "variables": {"topic": "rye bread"}, "label": "production"},
        content={
            "application/json": {"schema": ref("ChatCompletion"), "example": COMPLETION},
            **event_stream("complete", "interrupted"),
        },
        headers=COMPLETION_HEADERS,
        parameters=("Idempotency-Key", "X-Mock-Scenario"),
        statuses=(402, 404, 409, 429, 502, 504),
    ),
    "/api/v2/prompts/run/": _operation(
        "prompt_run",
        "From a query to its answer",
        "Intent, matching templates, a stronger prompt and the answer to it, each told as it is ready. The last slot "
        "of the rate limit is the answer's: rules do the steps then. It streams unless `stream` is false.",
        body="RunRequest",
        example={"query": "product description of a rain coat for my shop"},
        content=_content("Run", "RunEvent"),
        parameters=("X-Mock-Scenario",),
        statuses=(402, 429, 502, 504),
    ),
}

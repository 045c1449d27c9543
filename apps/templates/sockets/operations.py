"""What each message of the legacy WebSockets asks for: its members to a request, the service's result to an answer.

The same requests, services and results as over HTTP (`apps.templates.prompts.views`, `apps.templates.views`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from apps.chat.engine.generation import Generation
from apps.chat.presentation import completion_json
from apps.chat.services import Opened
from apps.llm.errors import Code, InvalidRequest, ServiceUnavailable
from apps.llm.wire import json
from apps.llm.wire.checks import array, json_object, shown, string
from apps.llm.wire.sse import Decoder, is_done
from apps.templates import langchain_services
from apps.templates.library import queries
from apps.templates.library.presentation import found_json
from apps.templates.prompts.answers_json import intent_json, optimization_json
from apps.templates.prompts.asking import Asker, open_for
from apps.templates.prompts.requests import (
    GENERATE_MEMBERS,
    MAX_PROMPT_CHARACTERS,
    completion_members,
    known_members,
    read_generate,
    read_intent,
    read_optimize,
)
from apps.templates.selectors import template_matches
from apps.templates.workload import run_in_workbench

__all__ = ["OPERATIONS", "UNCOUNTED", "Chunk", "Operation"]

Chunk = Callable[[str], Awaitable[None]]
"""Sends a piece of an answer's text."""
Operation = Callable[[Asker, Mapping[str, object], Chunk], Awaitable[tuple[str, dict[str, Any]]]]
"""Returns the type of the result and its members; raises PromptCraftError, and whatever sending a piece does."""

_COMPLETION_MEMBERS = frozenset(
    {
        "messages",
        "model",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "seed",
        "reasoning_effort",
        "thinking",
        "user",
        "stream_options",
        "fallback",
        "on_interrupt",
        "on_disconnect",
    }
)
"""Members of a completion's body that are read in a message, `messages` to be refused.

A result has no place for what most others ask for.
"""
_MAX_HISTORY = 999
_FILTERS = ("category", "tag", "language", "limit")


async def _process_intent(asker: Asker, members: Mapping[str, object], chunk: Chunk) -> tuple[str, dict[str, Any]]:
    return "intent_result", intent_json(await langchain_services.detect_intent(asker, read_intent(members)))


async def _optimize_prompt(asker: Asker, members: Mapping[str, object], chunk: Chunk) -> tuple[str, dict[str, Any]]:
    return "optimization_result", optimization_json(await langchain_services.optimize(asker, read_optimize(members)))


async def _generate_content(asker: Asker, members: Mapping[str, object], chunk: Chunk) -> tuple[str, dict[str, Any]]:
    opened = await langchain_services.generate(
        asker, read_generate(known_members(members, GENERATE_MEMBERS | _COMPLETION_MEMBERS))
    )
    return "content_result", await _followed(opened, chunk)


async def _chat_message(asker: Asker, members: Mapping[str, object], chunk: Chunk) -> tuple[str, dict[str, Any]]:
    return "chat_result", await _followed(await open_for(asker, _chat_body(members)), chunk)


async def _search(asker: Asker, members: Mapping[str, object], chunk: Chunk) -> tuple[str, dict[str, Any]]:
    asked = _search_query(members)
    found = await run_in_workbench(template_matches, caller=asker.caller, filters=asked.filters, limit=asked.limit)
    return "search_results", found_json(found)


OPERATIONS: Mapping[str, Operation] = {
    "process_intent": _process_intent,
    "optimize_prompt": _optimize_prompt,
    "generate_content": _generate_content,
    "chat_message": _chat_message,
    "search": _search,
}
"""By the type of the message that asks for it."""
UNCOUNTED = frozenset({"chat_message"})
"""Those that are a completion alone. The others count in the window of the workbench, as over HTTP."""


def _chat_body(members: Mapping[str, object]) -> dict[str, Any]:
    """Return the completion's body: the history and, after it, the message."""
    own = known_members(members, {"message", "history"})
    if "message" not in own:
        raise InvalidRequest("`message` is required.", code=Code.MISSING_FIELD, param="message")
    text = string(own["message"], "message", min_chars=1, max_chars=MAX_PROMPT_CHARACTERS)
    before = array(own.get("history", []), "history", max_items=_MAX_HISTORY)
    chosen = completion_members(known_members(members, _COMPLETION_MEMBERS), (), instead="`message` and `history`")
    return {**chosen, "messages": [*before, {"role": "user", "content": text}], "stream": True}


def _search_query(members: Mapping[str, object]) -> queries.ListQuery:
    """Return what is searched for, checked as the parameters of the HTTP search are."""
    members = known_members(members, {"query", "filters"})
    if "query" not in members:
        raise InvalidRequest("`query` is required.", code=Code.MISSING_FIELD, param="query")
    asked = {"q": string(members["query"], "query", max_chars=queries.MAX_QUERY_CHARACTERS)}
    for name, value in known_members(json_object(members.get("filters", {}), "filters"), _FILTERS).items():
        if name == "limit" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise InvalidRequest(f"`filters.{name}` must be a string, not {shown(value)}.", param=f"filters.{name}")
        asked[name] = value
    return queries.search_query(asked)


async def _followed(opened: Opened, chunk: Chunk) -> dict[str, Any]:
    """Send a completion's text as it comes and return the whole of it. Raises what it failed with.

    Its reader is closed in any case: a completion that nobody follows is stopped, as over HTTP.
    """
    generation = opened.generation
    if generation is None:
        raise RuntimeError("a completion without a key is a new one")
    events = Decoder()

    async def send(message: Mapping[str, Any]) -> None:
        said = [json.loads(event) for event in events.feed(message["body"]) if not is_done(event)]
        pieces = [choice["delta"].get("content") for one in said for choice in one.get("choices", ())]
        text = json.join_surrogates("".join(piece for piece in pieces if piece))
        if text:
            await chunk(text)

    try:
        await opened.reader.drive(send)
    except asyncio.CancelledError:
        if not opened.reader.detached:
            raise
        raise ServiceUnavailable(
            f"The answer was not taken in time. Read it with GET /api/v2/chat/completions/{generation.order.id}/.",
            code=Code.OVERLOADED,
            may_have_billed=True,
        ) from None
    if generation.error is not None:
        raise generation.error
    return await _completion_members(generation)


async def _completion_members(generation: Generation) -> dict[str, Any]:
    whole = await completion_json(generation)
    message = whole["choices"][0]["message"]
    labels = {name: whole[name] for name in ("promptcraft",) if name in whole}
    thoughts = {name: message[name] for name in ("refusal", "reasoning_content") if message.get(name) is not None}
    return {
        "content": message["content"] or "",
        **thoughts,
        "completion_id": whole["id"],
        "model": whole["model"],
        "provider": whole["provider"],
        "finish_reason": whole["choices"][0]["finish_reason"],
        "usage": whole["usage"],
        **labels,
    }

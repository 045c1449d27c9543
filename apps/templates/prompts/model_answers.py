"""What a model wrote about a query, read as what a stranger sends: by type, by closed set, within bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from apps.llm.wire import json
from apps.llm.wire.openai import Usage
from apps.templates.answers import Alternative, Entities, Intent, Source
from apps.templates.categories import CATEGORIES, UNKNOWN

__all__ = ["read_intent_answer"]

_MAX_ANSWER_CHARACTERS = 8_192
_MAX_ALTERNATIVES = 3
_MAX_ENTITY_CHARACTERS = 200
_LANGUAGE = re.compile(r"[a-z]{2}")
_ENTITIES = tuple(field.name for field in fields(Entities))
_FENCES = ("```", "```json")


def read_intent_answer(text: str, query: str, *, language: str, usage: Usage | None) -> Intent:
    """Return the intent that a model's answer says.

    A category that is not of the closed set becomes `unknown`; among the alternatives, which are at most three, it is
    dropped. An entity that the query does not hold is dropped. `language` stands in for one that is no code. Raises
    ValueError if the answer is not the JSON object that was asked for, or says no category and confidence.
    """
    if len(text) > _MAX_ANSWER_CHARACTERS:
        raise ValueError("too long")
    answer = json.loads(_unfenced(text), lone_surrogates=False)
    if not isinstance(answer, dict):
        raise ValueError("not an object")
    category, confidence = answer.get("category"), _confidence(answer.get("confidence"))
    if not isinstance(category, str) or confidence is None:
        raise ValueError("no category and confidence")
    known = category if category in CATEGORIES else UNKNOWN
    said = answer.get("language")
    return Intent(
        category=known,
        confidence=confidence,
        alternatives=_alternatives(answer.get("alternatives"), besides=known),
        language=said if isinstance(said, str) and _LANGUAGE.fullmatch(said) else language,
        entities=_entities(answer.get("entities"), query),
        source=Source.MODEL,
        usage=usage,
    )


def _unfenced(text: str) -> str:
    """Return what stands in a fence of its own lines: some models fence what they were told to send bare."""
    opening, _, rest = text.strip().partition("\n")
    inside, _, closing = rest.rpartition("\n")
    return inside if opening.rstrip() in _FENCES and closing.lstrip() == _FENCES[0] else text


def _confidence(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(min(1.0, max(0.0, float(value))), 3)


def _alternatives(value: object, *, besides: str) -> tuple[Alternative, ...]:
    found: dict[str, Alternative] = {}
    for item in value if isinstance(value, list) else ():
        category = item.get("category") if isinstance(item, dict) else None
        confidence = _confidence(item.get("confidence")) if isinstance(item, dict) else None
        if isinstance(category, str) and category in CATEGORIES and category != besides and confidence is not None:
            found.setdefault(category, Alternative(category=category, confidence=confidence))
    best_first = sorted(found.values(), key=lambda one: -one.confidence)
    return tuple(best_first[:_MAX_ALTERNATIVES])


def _entities(value: object, query: str) -> Entities:
    said: Mapping[str, Any] = value if isinstance(value, dict) else {}
    return Entities(**{name: _of_the_query(said.get(name), query) for name in _ENTITIES})


def _of_the_query(value: object, query: str) -> str | None:
    """Return what the query itself says in these words, whatever their case; None if it does not."""
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX_ENTITY_CHARACTERS:
        return None
    said = value.strip()
    place = _in_small_letters(query).find(_in_small_letters(said))
    return query[place : place + len(said)] if place >= 0 else None


def _in_small_letters(text: str) -> str:
    """Return a text without case, character for character: `lower` alone makes two of one, and one letter of two."""
    return text.replace("İ", "i").lower().replace("ς", "σ")

"""The category of a text, where the rules are sure enough of it to act on it."""

from __future__ import annotations

from apps.templates.categories import UNKNOWN
from apps.templates.rendering import PLACEHOLDER
from apps.templates.rules.intent import detect_intent

__all__ = ["sure_category"]

_SURE = 0.6
"""A wrong category does more harm than none."""


def sure_category(text: str) -> str:
    """Return the category of what a text asks for, its placeholders left out; `unknown` unless it is likely."""
    found = detect_intent(PLACEHOLDER.sub(" ", text))
    return found.category if found.confidence >= _SURE else UNKNOWN

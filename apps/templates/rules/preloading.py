"""What the rules read and compile once: words, weights, phrases, patterns. Some 200 ms of work, the first time only."""

from __future__ import annotations

import threading

from apps.templates.rules.entities import find_entities
from apps.templates.rules.intent import detect_intent
from apps.templates.rules.judging import judge_rewrite
from apps.templates.rules.phrases import LANGUAGES, read_phrases
from apps.templates.rules.rewriting import rewrite_prompt

__all__ = ["preload", "preload_in_background"]

_PROMPT = "Write a blog post about rivers for children, 300 words, in a calm tone."
"""Asks for a text and names what entities are, so that every rule has something to read."""

_lock = threading.Lock()
_done = threading.Event()


def preload() -> None:
    """Make the rules ready, or wait until another thread has; at once if they are. Not for the event loop."""
    if _done.is_set():
        return
    with _lock:
        if _done.is_set():
            return
        category = detect_intent(_PROMPT).category
        find_entities(_PROMPT)
        for language in LANGUAGES:
            read_phrases(language)
        rewritten = rewrite_prompt(_PROMPT, language="en", category=category, tone=None, audience=None)
        judge_rewrite(_PROMPT, rewritten, language="en")
        _done.set()


def preload_in_background() -> None:
    """Begin to make the rules ready and return at once. The process may end meanwhile."""
    if not _done.is_set():
        threading.Thread(target=preload, name="preload-rules", daemon=True).start()

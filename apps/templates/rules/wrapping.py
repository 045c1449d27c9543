"""What a model puts around a rewritten prompt, taken off where it can be told from the prompt."""

from __future__ import annotations

import re

from apps.templates.rules.cues import find_cues, words_of

__all__ = ["introduces_itself", "strip_wrapping"]

_MOST_LAYERS = 6
_PREFACE_WORDS = 16
_FENCE_OPENING = re.compile(r"(```+|~~~+)[\w+-]*")
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "'": "'"}
_CLOSING = re.compile(
    r"(?:let me know|feel free|i hope|hope this|would you like|explanation|why this works|what i changed"
    r"|this (?:version|rewrite)|this prompt (?:is|now|adds|gives)|(?:key )?(?:changes|improvements)(?: made)?\b"
    r"|i (?:have )?(?:added|kept|made)|sag(?:en sie)? bescheid|änderungen|ich hoffe|n'hésite|j'espère|modifications"
    r"|espero|cambios|avísame|mudanças|alterações|me avise|spero|modifiche|fammi sapere|laat het|wijzigingen|ik hoop)",
    re.IGNORECASE,
)
_CLOSING_CHARACTERS = 600


def strip_wrapping(text: str) -> str:
    """Return what a model wrote without the introduction, the fence, the quotes and the farewell around it.

    Only what stands apart, on lines of its own at either end, is taken off; stripping twice changes nothing.
    """
    bare = text.strip()
    for _ in range(_MOST_LAYERS):
        stripped = _unquoted(_unfenced(_without_preface(_without_closing(bare)))).strip()
        if stripped == bare:
            break
        bare = stripped
    return bare


def introduces_itself(line: str) -> bool:
    """Return whether a line announces a prompt instead of being part of one."""
    bare = line.strip().strip("#*_ ").strip()
    words = words_of(bare)
    if not words or len(words) > _PREFACE_WORDS:
        return False
    hits = [hit for hit in find_cues(bare, words) if hit.kind == "preface"]
    speaks_of_prompt = any(word.startswith(("prompt", "version", "rewrit", "改进", "优化")) for word in words)
    # A colon, a full stop or nothing: but a first sentence that merely begins with such a word stays.
    return bool(hits) and (speaks_of_prompt or (hits[0].start == 0 and bare.endswith((":", "："))) or len(words) <= 2)


def _without_preface(text: str) -> str:
    first, newline, rest = text.partition("\n")
    label, _, same_line = first.partition(":")
    if same_line.strip(" *_") and "prompt" in label.casefold() and introduces_itself(label + ":"):
        return (same_line.lstrip(" *_") + newline + rest).strip()
    if rest.strip() and introduces_itself(first):
        return rest.lstrip("\n")
    return text


def _without_closing(text: str) -> str:
    head, gap, last = text.rpartition("\n\n")
    bare = last.strip().lstrip("#*_-> ")
    if gap and head.strip() and len(last) <= _CLOSING_CHARACTERS and _CLOSING.match(bare):
        return head.rstrip().removesuffix("---").rstrip()
    return text


def _unfenced(text: str) -> str:
    lines = text.split("\n")
    opening = _FENCE_OPENING.fullmatch(lines[0].strip())
    if opening is None or len(lines) < 3 or lines[-1].strip() != opening[1]:
        return text
    inside = lines[1:-1]
    if any(line.strip().startswith(opening[1]) for line in inside):
        return text  # two blocks, not one around the whole
    return "\n".join(inside)


def _unquoted(text: str) -> str:
    closing = _QUOTES.get(text[:1])
    if closing is None or len(text) < 2 or not text.endswith(closing):
        return text
    inside = text[1:-1]
    # More of the same marks inside: the first and the last need not belong together.
    return text if closing in inside or text[0] in inside else inside

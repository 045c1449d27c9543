"""Unicode's normal forms, in time that grows with the text and no faster.

Python sorts the marks above and below one letter by comparing each with all the others. So a run of them is parted as
Unicode's Stream-Safe Text Format does it (https://unicode.org/reports/tr15/#Stream_Safe_Text_Format).
"""

from __future__ import annotations

import re
from re import Match
from typing import Literal
from unicodedata import combining
from unicodedata import normalize as normalize_all

__all__ = ["MOST_MARKS", "normalize"]

MOST_MARKS = 30
"""No letter of any language has as many."""
_PARTING = "\u034f"
"""COMBINING GRAPHEME JOINER: cannot be seen, and no mark is sorted across it."""
_MAY_HAVE_TOO_MANY = re.compile(rf"[^\x00-\x7f]{{{MOST_MARKS + 1},}}")
_TAKEN_APART_INTO_MARKS = frozenset("\u0f73\u0f75\u0f81\uff9e\uff9f")


def normalize(form: Literal["NFC", "NFKC", "NFD", "NFKD"], text: str) -> str:
    """Return the normal form of a text; a run of more than MOST_MARKS marks is parted."""
    return normalize_all(form, _MAY_HAVE_TOO_MANY.sub(_parted, text))


def _parted(run: Match[str]) -> str:
    marks = 0
    parted: list[str] = []
    for character in run[0]:
        if combining(character) or character in _TAKEN_APART_INTO_MARKS:
            marks += 1
            if marks > MOST_MARKS:
                parted.append(_PARTING)
                marks = 1
        else:
            marks = 0
        parted.append(character)
    return "".join(parted)

"""When do two names look alike? They do when they share a form; a form is compared and stored, never shown.

A form has no case, no accents, no characters that cannot be seen, and one letter for all that look like it, in
whatever script. Latin has pairs of its own: `0` and `o`; `1`, `l` and `i` (a capital `I` is an `l` in many fonts);
`rn` and `m`; `vv` and `w`; `_` and `-`.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

from apps.core.normal_forms import normalize

__all__ = ["LATIN_PAIRS", "folded", "forms", "latin_form"]

LATIN_PAIRS = (("_", "-"), ("0", "o"), ("1", "l"), ("i", "l"), ("rn", "m"), ("vv", "w"))
"""Replaced in this order, so that a database can do the same to lower-case ASCII."""
_TABLE = Path(__file__).with_name("look_alikes.txt")
# Letters and marks that are drawn as nothing, beside those of the category Cf. NFKD maps the other fillers to these.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5") | {
    chr(code) for codes in (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)) for code in codes
}
_OVERLAY = 1
_LEAST_ATTACHED = 200
"""From this combining class on are the marks that Latin, Greek and Cyrillic letters carry. The marks below it are
vowels and tones, which tell words of other scripts apart."""


def forms(name: str) -> frozenset[str]:
    """Return the forms of a name, one or two; the empty one if nothing of the name can be seen. Linear in its length.

    Two, where a letter looks like one Latin letter as written and like another in lower case, as the Greek Ν and ν do.
    """
    bare = _bare(name)
    return frozenset({_squashed(_translated(bare)), folded(name)})


def folded(name: str) -> str:
    """Return the one form that depends on no case: what log-ins are counted under."""
    return _squashed(_bare(name))


def latin_form(text: str) -> str:
    """Return the form of a text in ASCII, such as a slug."""
    text = text.lower()
    for pair, one in LATIN_PAIRS:
        text = text.replace(pair, one)
    return text


def _squashed(bare: str) -> str:
    # Folding may bring accents back: that of `ΐ` is three characters.
    return latin_form(_translated(_bare(bare.casefold())))


def _translated(text: str) -> str:
    return text.translate(_look_alikes())


def _bare(text: str) -> str:
    """Take a text apart and leave out accents and what cannot be seen."""
    return "".join(filter(_is_seen, normalize("NFKD", text)))


def _is_seen(character: str) -> bool:
    mark = unicodedata.combining(character)
    return not (
        mark == _OVERLAY
        or mark >= _LEAST_ATTACHED
        or character in _UNSEEN
        or unicodedata.category(character) in ("Cf", "Me")
    )


@cache
def _look_alikes() -> dict[int, str]:
    table: dict[int, str] = {}
    for line in _TABLE.read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        seen, *codes = line.split()
        target = chr(int(seen[2:], 16)) if seen.startswith("U+") else seen
        table |= dict.fromkeys((int(code, 16) for code in codes), target)
    return table

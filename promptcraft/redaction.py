"""What must not be seen, taken out of text that will be: secrets by their value, keys, tokens and addresses by form.

The second net. The first is that logs and reports are made of what is known to be harmless; a prompt has no form by
which it could be found here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

__all__ = ["REDACTED", "hide", "scrubbed"]

REDACTED = "[redacted]"

_LEAST_CHARACTERS = 8
"""A shorter value would be found in innocent text."""

_KEY = re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}")
_HEADER = re.compile(r"\b(?:bearer|basic) +[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_FORMS = (
    ("sk-", _KEY),
    ("pk-", _KEY),
    ("rk-", _KEY),
    # JSON Web Tokens begin with the encoded `{"`.
    ("eyj", re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}")),
    ("bearer ", _HEADER),
    ("basic ", _HEADER),
    # The user name and the password of an address, with what an e-mail address looks like to the same rule.
    ("@", re.compile(r"(?<=//)[^\s/@\"']{1,256}@")),
    ("@", re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")),
)
"""Each form with a mark, in lower case, that is in every text that the form is in."""
_TWO_PARTS = re.compile(r"\b[0-9a-f]{32}\.[A-Za-z0-9]{16}\b")
"""A key of Z.AI's. Its mark is the second part, which is rarer than the first."""
_SECOND_PART = re.compile(r"\.[A-Za-z0-9]{16}\b")

_hidden: tuple[str, ...] = ()


def hide(values: Iterable[str | None]) -> None:
    """Have these values, such as the process's own keys, taken out wherever they stand; shorter ones than 8 are not.

    Called once, by the settings. Each value is looked for as it is and as JSON writes it.
    """
    global _hidden
    known = {value for value in values if value and len(value) >= _LEAST_CHARACTERS}
    known |= {json.dumps(value)[1:-1] for value in known}
    # The longest first: one may be a part of another.
    _hidden = tuple(sorted(known, key=len, reverse=True))


def scrubbed(text: str) -> str:
    """Return the text without secrets. Linear in its length."""
    for value in _hidden:
        if value in text:
            text = text.replace(value, REDACTED)
    # Most text has none of the marks, and looking for them costs a tenth of what the forms do.
    lower = text.lower()
    for mark, form in _FORMS:
        if mark in lower:
            text = form.sub(REDACTED, text)
    if _SECOND_PART.search(text):
        text = _TWO_PARTS.sub(REDACTED, text)
    return text

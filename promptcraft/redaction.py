"""What must not be seen, taken out of text that will be: secrets by their value, keys, tokens and addresses by form.

The second net. The first is that logs and reports are made of what is known to be harmless; a prompt has no form by
which it could be found here.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterable
from urllib.parse import unquote

__all__ = ["REDACTED", "hide", "holds_secret", "scrubbed", "scrubbed_encoded"]

REDACTED = "[redacted]"

_LEAST_CHARACTERS = 8
"""A shorter value would be found in innocent text."""

_KEY = re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}")
# Ours. The first eight characters of one are shown, to tell it by.
_API_KEY = re.compile(r"\bpc-[A-Za-z0-9_-]{16,}")
_HEADER = re.compile(r"\b(?:bearer|basic) +[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_FORMS = (
    ("sk-", _KEY),
    ("pk-", _KEY),
    ("rk-", _KEY),
    ("pc-", _API_KEY),
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

_HEXADECIMAL = re.compile(r"(?:[a-z]+_)?[0-9a-f-]*")
_WORD = re.compile(r"\S+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{11,}")
_URL_SAFE = str.maketrans("-_", "+/")
_MOST_DECODINGS = 3
"""Percent signs may be encoded once more by every program on the way."""

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


def scrubbed_encoded(text: str) -> str:
    """Return the text without secrets, those in base64 or percent-encoding included. Linear in its length.

    For text that others wrote: it costs some ten times as much. What holds an encoded secret goes as a whole: the word
    around percent signs, the run of base64.
    """
    if "%" in text:
        text = _WORD.sub(_without_percents, text)
    return scrubbed(_BASE64.sub(_without_base64, text))


def holds_secret(text: str) -> bool:
    """Tell whether a text has a secret in it, plain or encoded."""
    if _HEXADECIMAL.fullmatch(text):
        # As most ids are: no form fits, and base64 of no form is written so.
        return any(value in text for value in _hidden)
    return scrubbed_encoded(text) != text


def _without_percents(word: re.Match[str]) -> str:
    decoded = word[0]
    for _ in range(_MOST_DECODINGS):
        before, decoded = decoded, unquote(decoded)
        if decoded == before:
            break
        if scrubbed(_BASE64.sub(_without_base64, decoded)) != decoded:
            return REDACTED
    return word[0]


def _without_base64(run: re.Match[str]) -> str:
    # Other characters of the alphabet may stand before it: it begins at one of four places.
    data = run[0].translate(_URL_SAFE)
    for start in range(4):
        length = (len(data) - start) // 4 * 4
        tail = data[start + length :]
        # What is cut off at the end, or has no padding there, is decoded as far as it goes.
        padded = data[start : start + length] + (tail.ljust(4, "A") if tail else "")
        decoded = binascii.a2b_base64(padded).decode("ascii", "replace")
        if scrubbed(decoded) != decoded:
            return REDACTED
    return run[0]

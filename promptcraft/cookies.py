"""The cookies of a request, read in time that is linear in the header.

The standard library's reader, which is behind Django's, looks through the rest of a quoted value again for each of its
escapes before Python 3.11.10: a header of 150 KB took two minutes (CVE-2024-7592).
"""

from __future__ import annotations

import re

__all__ = ["read_cookies"]

_ESCAPE = re.compile(r"\\([0-3][0-7][0-7]|.)")


def read_cookies(header: str) -> dict[str, str]:
    """Return the values of a Cookie header by their names, as Django reads it; of one name the last counts."""
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        if not equals:
            # A value without a name, as browsers send one.
            name, value = "", pair
        name, value = name.strip(), value.strip()
        if name or value:
            cookies[name] = _unquoted(value)
    return cookies


def _unquoted(value: str) -> str:
    if len(value) < 2 or not value[0] == value[-1] == '"':
        return value
    return _ESCAPE.sub(_character, value[1:-1])


def _character(escape: re.Match[str]) -> str:
    said = escape[1]
    return said if len(said) == 1 else chr(int(said, 8))

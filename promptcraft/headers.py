"""Headers of our own onto responses, past Django's conversion of each.

Django converts and checks every name and value it is given, some µs each, of which an answer has two dozen. Constants
are checked once, at import; what is made of our own ids and numbers has nothing in it that could need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase

__all__ = [
    "BODY_AT_ONCE",
    "LINES",
    "STARTS",
    "Headers",
    "add_headers",
    "checked_headers",
    "encoded_headers",
    "set_headers",
]

Headers = Mapping[str, tuple[str, str]]
"""By lower-case name: the name and the value, as Django stores them."""

BODY_AT_ONCE = "promptcraft.body_at_once"
"""In the message that begins a response: the first of its body follows in the same step, if only an empty one."""

_encoded: dict[tuple[str, str], tuple[bytes, bytes]] = {}
"""The constant ones as they are sent."""
LINES: dict[tuple[bytes, bytes], bytes] = {}
"""The same as lines of an HTTP/1.1 head, their names in lower case."""
STARTS: dict[bytes, bytes] = {}
"""What the lines of all other headers begin with, by the name as it is sent."""
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})
"""Say how a body is sent, and whether another answer follows: whoever writes the head reads them, so they are in none
of the two."""
_names: dict[str, bytes] = {}
"""The names of all, which are constants of the code."""


def checked_headers(headers: Mapping[str, str]) -> Headers:
    """Return constant headers, converted and checked by Django. Raises BadHeaderError."""
    response = HttpResponse(headers=dict(headers))
    checked = {name.lower(): (name, response.headers[name]) for name in headers}
    for name, value in checked.values():
        pair = _encoded[name, value] = _name(name), value.encode("latin-1")
        if pair[0] in STARTS:
            LINES[pair] = b"%b%b\r\n" % (STARTS[pair[0]], pair[1])
    return checked


def add_headers(response: HttpResponseBase, headers: Headers) -> None:
    """Set those headers that the response does not have."""
    store = _store(response)
    for key, item in headers.items():
        store.setdefault(key, item)


def set_headers(response: HttpResponseBase, headers: Mapping[str, str]) -> None:
    """Set headers whose values are printable ASCII by their making: our ids, numbers, constants."""
    store = _store(response)
    for name, value in headers.items():
        store[name.lower()] = (name, value)


def encoded_headers(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    """Return a response's headers as ASGI has them, cookies not included: no answer here sets one."""
    # Constants have been encoded whole, and of the others the name nearly always.
    return [
        _encoded.get(item) or (_names.get(item[0]) or _name(item[0]), item[1].encode("latin-1"))
        for item in _store(response).values()
    ]


def _name(name: str) -> bytes:
    encoded = _names[name] = name.encode("ascii")
    if name.lower() not in _FRAMING:
        STARTS[encoded] = b"%b: " % encoded.lower()
    return encoded


def _store(response: HttpResponseBase) -> dict[str, tuple[str, str]]:
    headers: Any = response.headers
    store: dict[str, tuple[str, str]] = headers._store
    return store

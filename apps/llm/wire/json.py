r"""JSON as it travels on our wires: orjson, and the standard library where orjson refuses what we must relay.

That is lone surrogates. A vendor may cut an escaped pair (`\ud83e` and `\udd89`) over two events; each half is
a legal JSON string, and the halves join when the fragments do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from apps.llm.wire.depth import depth_exceeds

__all__ = ["depth_exceeds", "dumps", "dumps_in_pieces", "dumps_text", "join_surrogates", "loads"]

_PIECE = 65_536
"""Characters that are written at once."""
_FEW = 100
"""Members of a mapping or a list that are looked into: each by itself costs some microseconds."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SURROGATE_OR_ESCAPE = re.compile(r"[\ud800-\udfff]|\\u[dD][89a-fA-F]")
# Naive line splitters take these for line ends; in UTF-8 none of them is part of another character.
_LINE_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))


def loads(data: bytes | bytearray | str, *, lone_surrogates: bool = True) -> Any:
    """Parse one JSON text; with `lone_surrogates` false, halves of a pair are an error too.

    Integers over 64 bits come back as floats. Raises ValueError on anything malformed: wrong UTF-8, NaN,
    Infinity, numbers beyond a float's range, nesting beyond what the parser bears. The error quotes no input.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        # Only the text: the exception itself holds the whole document.
        reason = str(error)
    if lone_surrogates:
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
        if _SURROGATE_OR_ESCAPE.search(text):
            return _loads_surrogates(data)
    raise ValueError(reason)


def _loads_surrogates(data: bytes | bytearray | str) -> Any:
    """Parse as orjson would if it took lone surrogates."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        return _TOLERANT.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}: line {error.lineno} column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("number out of range")
    return number


def _integer(text: str) -> int | float:
    if len(text) <= 20 and -(2**63) <= (number := int(text)) < 2**64:
        return number
    return _finite(text)


_TOLERANT = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, parse_int=_integer)
"""Made once: each call of `json.loads` would make one."""


def dumps(value: object) -> bytes:
    """Write a value as compact JSON: UTF-8 on one line, U+0085, U+2028 and U+2029 and lone surrogates escaped.

    Raises TypeError for what JSON cannot say, ValueError for what nests too deeply or in a circle.
    """
    try:
        data = orjson.dumps(value)
    except TypeError:
        data = _dumps_odd(value)
    if not data.isascii():
        for raw, escaped in _LINE_ENDS:
            data = data.replace(raw, escaped)
    return data


def _dumps_odd(value: object) -> bytes:
    """Write what orjson refuses: lone surrogates, integers over 64 bits, deep nesting."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # UTF-8 refuses nothing but surrogates, and a backslash escape of one is JSON's.
    return text.encode("utf-8", "backslashreplace")


def dumps_text(text: str) -> bytes:
    """Write the inside of a JSON string, without its quotes, each character by itself.

    So the pieces of a text, written one by one and joined, are what the joined text would be.
    """
    return dumps(text)[1:-1]


def dumps_in_pieces(value: object) -> Iterator[bytes]:
    """Write a value as `dumps` does, some 64 KiB at a time where strings and lists are long; joined, it is the same.

    A mapping of many members, and the items of a long list, are written at once however long their strings are.
    """
    if isinstance(value, str) and len(value) > _PIECE:
        yield b'"'
        for start in range(0, len(value), _PIECE):
            yield dumps_text(value[start : start + _PIECE])
        yield b'"'
    elif isinstance(value, dict) and 0 < len(value) <= _FEW:
        for index, (name, inner) in enumerate(value.items()):
            yield (b"," if index else b"{") + dumps(name) + b":"
            yield from dumps_in_pieces(inner)
        yield b"}"
    elif isinstance(value, list | tuple) and len(value) > _FEW:
        for start in range(0, len(value), _FEW):
            yield (b"," if start else b"[") + dumps(value[start : start + _FEW])[1:-1]
        yield b"]"
    elif isinstance(value, list | tuple) and value:
        for index, inner in enumerate(value):
            yield b"," if index else b"["
            yield from dumps_in_pieces(inner)
        yield b"]"
    else:
        yield dumps(value)


def join_surrogates(text: str) -> str:
    """Make whole characters of surrogate pairs whose halves came in separate fragments; lone halves stay."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")

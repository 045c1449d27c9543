"""Whether a JSON object names a key twice, which parsers disagree about.

Ours would take the last and say nothing. A filter in front that looks at the first would then have judged another
request than the one that is served.
"""

from __future__ import annotations

__all__ = ["keys_repeat"]

_CONTAINERS = (dict, list)
_NOT_MARKS = bytes(byte for byte in range(256) if byte not in b':"')
_ESCAPE = b"\\u003"
_ESCAPED = (b"\\u003a", b"\\u003A")
"""A colon, but behind a backslash that is escaped itself: that makes it a text of six letters."""
_AFTER_BACKSLASH = tuple(b"\\" + escaped for escaped in _ESCAPED)


def keys_repeat(data: bytes | bytearray, value: object) -> bool:
    """Tell whether some object of a well-formed text has a key twice; `value` is what the text was parsed to.

    It has if more members are written than were kept: each is written with a colon, and the other colons are those of
    the strings. Linear: some microseconds for a usual body, 10 ms at the worst for one within the bound of
    `apps.llm.wire.values`, and 1 ms more for each MiB.
    """
    kept, colons = _kept(value), data.count(b":")
    if colons == kept:
        # Most prompts have none.
        return False
    # Taking the strings out of the text would copy all of it, several times.
    escaped = sum(map(data.count, _ESCAPED)) if _ESCAPE in data else 0
    if not escaped or not any(after in data for after in _AFTER_BACKSLASH):
        return colons != kept + _colons_inside(value) - escaped
    return _written(data) != kept


def _written(data: bytes | bytearray) -> int:
    """Count the colons outside strings."""
    if b"\\" in data:
        # Pairs first: what is left before a quote then is the one backslash that escapes it.
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = bytes(data.translate(None, _NOT_MARKS))
    return b"".join(marks.split(b'"')[::2]).count(b":")


def _kept(value: object) -> int:
    members = 0
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            members += len(item)
            pending += [inner for inner in item.values() if isinstance(inner, _CONTAINERS)]
        elif isinstance(item, list):
            pending += [inner for inner in item if isinstance(inner, _CONTAINERS)]
    return members


def _colons_inside(value: object) -> int:
    """Count the colons of all strings, keys among them."""
    colons = 0
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            colons += item.count(":")
        elif isinstance(item, dict):
            pending += item
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    return colons

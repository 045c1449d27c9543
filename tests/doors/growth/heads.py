"""What every door has: a head, a query, a body before it is read. Once for each kind of handler."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from tests.doors.growth.application import Application
from tests.doors.growth.growing import Growing, Work
from tests.doors.growth.shapes import SHAPES

__all__ = ["head_doors"]

_SIZE = 1_000
_HANDLERS = {"the stream handler": "/api/v2/models/", "Django's handler": "/api/v2/templates/tags/"}
_READERS = {
    "a completion's body": ("POST", "/api/v2/chat/completions/"),
    "REST framework's body": ("POST", "/api/v2/auth/token/"),
    "an import": ("POST", "/api/v2/templates/import/"),
}
_DECISIVE = ("authorization", "host")
"""A request that is wrong in one of these is looked at no further."""
_HEADERS = (
    *("accept", "accept-charset", "accept-encoding", "accept-language", "access-control-request-headers"),
    *("cache-control", "connection", "content-encoding", "content-length", "content-type", "cookie"),
    *("date", "expect", "forwarded", "from", "if-match", "if-modified-since", "if-none-match", "keep-alive"),
    *("origin", "range", "referer", "te", "traceparent", "tracestate", "transfer-encoding", "upgrade", "user-agent"),
    *("via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"),
)
_FORMS = ("one word", "blanks", "digits", "opening marks", "backslashes", "addresses")
_BODIES: dict[str, Callable[[int], bytes]] = {
    "words": lambda size: SHAPES["words"](size).encode(),
    "white space": lambda size: b" " * size,
    "a member often": lambda size: b'{"a":1' + b',"a":1' * size + b"}",
    "arrays in arrays": lambda size: b"[" * size + b"]" * size,
    "objects in objects": lambda size: b'{"a":' * size + b"1" + b"}" * size,
    "empty arrays": lambda size: b'{"a":[' + b"[]," * size + b"[]]}",
    "digits": lambda size: b'{"a":' + b"9" * size + b"}",
    "digits of a fraction": lambda size: b'{"a":0.' + b"9" * size + b"}",
    "escapes": lambda size: b'{"a":"' + b"\\u00e9" * size + b'"}',
    "halves of pairs": lambda size: b'{"a":"' + b"\\ud800" * size + b'"}',
    "backslashes": lambda size: b'{"a":"' + b"\\\\" * size + b'"}',
    "a string that never ends": lambda size: b'{"a":"' + b"a" * size,
}


def head_doors(application: Application) -> Iterator[Growing]:
    """Yield what can grow of any request."""
    for handler, path in _HANDLERS.items():
        for thing, names in (*((f"header {name}", (name,)) for name in _DECISIVE), ("all other headers", _HEADERS)):
            yield Growing(
                door=handler,
                thing=thing,
                size=_SIZE,
                works={form: partial(_header, application, path, names, form) for form in _FORMS},
            )
        yield Growing(door=handler, thing="headers", size=20, works={"": partial(_headers, application, path)})
        yield Growing(
            door=handler,
            thing="query",
            size=_SIZE,
            works={piece: partial(_query, application, path, piece) for piece in ("a=1&", "&", "=", "%41", "+", "a")},
        )
        yield Growing(
            door=handler,
            thing="path",
            size=_SIZE,
            works={piece: partial(_path, application, path, piece) for piece in ("a", "/", "a/", "é", ".")},
        )
    for reader, (method, path) in _READERS.items():
        yield Growing(
            door=reader,
            thing="body",
            size=_SIZE,
            works={form: partial(_body, application, method, path, form) for form in _BODIES},
        )
        yield Growing(
            door=reader, thing="pieces of a body", size=100, works={"": partial(_pieces, application, method, path)}
        )


def _header(application: Application, path: str, names: Sequence[str], form: str, size: int) -> Work:
    value = SHAPES[form](size).encode()
    return partial(application.ask, "GET", path, headers=[(name.encode(), value) for name in names])


def _headers(application: Application, path: str, size: int) -> Work:
    return partial(application.ask, "GET", path, headers=[(b"x-%d" % number, b"a") for number in range(size)])


def _query(application: Application, path: str, piece: str, size: int) -> Work:
    return partial(application.ask, "GET", path, query=piece.encode() * (size // len(piece)))


def _path(application: Application, path: str, piece: str, size: int) -> Work:
    return partial(application.ask, "GET", path + piece * size)


def _body(application: Application, method: str, path: str, form: str, size: int) -> Work:
    return partial(application.ask, method, path, _BODIES[form](size))


def _pieces(application: Application, method: str, path: str, size: int) -> Work:
    return partial(application.ask, method, path, pieces=[b"a"] * size)

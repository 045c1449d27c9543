"""What a server hands over of a request's head, made safe for Django: nothing a client writes there makes it raise.

Django reads some of it outside every handler of errors, so that a head which it cannot read would be a 500.
"""

from __future__ import annotations

from itertools import chain
from typing import Any
from urllib.parse import quote_from_bytes

from apps.llm.errors import HeadTooLarge, InvalidRequest, PromptCraftError, UnsupportedTransferCoding

__all__ = ["MOST_HEADERS", "MOST_HEAD_BYTES", "UNREAD_CODING", "head_refusal", "made_safe", "safe_path"]

MOST_HEAD_BYTES = 160 * 1024
"""Path, query and headers together. Ours have some hundred bytes; a token of 100 KB is still told that it is none."""
MOST_HEADERS = 128

UNREAD_CODING = "Send the body with a Content-Length, or in chunks and nothing else."

Scope = dict[str, Any]


def safe_path(path: str) -> str:
    """Return a path with a slash at both ends."""
    if not path.startswith("/"):
        # The asterisk of OPTIONS, or a whole address.
        path = f"/{path}"
    return path if path.endswith("/") else f"{path}/"


def made_safe(scope: Scope, path: str) -> Scope:
    """Return a copy of an HTTP scope with that path, its query ASCII, its headers of this moment.

    Of Content-Type only the media type is kept: Django would decode its parameters by whatever they name. Headers are
    copied because some servers add the trailers, which come behind the body, to the same list.
    """
    query: bytes = scope.get("query_string", b"")
    if not query.isascii():
        query = quote_from_bytes(query, safe="".join(map(chr, range(33, 127)))).encode()
    headers = [
        (name, value.partition(b";")[0]) if name == b"content-type" else (name, value)
        for name, value in scope["headers"]
    ]
    if scope.get("http_version") == "1" and (b"host", b"") in headers:
        # granian, which calls HTTP/1.0 so, puts it where a client sent none.
        headers.remove((b"host", b""))
    return {**scope, "path": path, "query_string": query, "headers": headers}


def head_refusal(scope: Scope) -> PromptCraftError | None:
    """Return why a request is refused for its head alone, its body unread; None if it is not.

    Servers that look for some of it themselves never hand over such a one.
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    size_bytes = len(scope["path"]) + len(scope.get("query_string", b""))
    if len(headers) > MOST_HEADERS or size_bytes + sum(map(len, chain.from_iterable(headers))) > MOST_HEAD_BYTES:
        return HeadTooLarge()
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if hosts > 1 or (scope.get("http_version") == "1.1" and (not hosts or (b"host", b"") in headers)):
        return InvalidRequest(
            "Name one host: in one Host header, and the same in a target that is a whole address.", param="Host"
        )
    if b"transfer-encoding" in names:
        codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
        if codings != [b"chunked"]:
            return UnsupportedTransferCoding(UNREAD_CODING)
    return None

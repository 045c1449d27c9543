"""A request as the simulator received it, and the sans-I/O parser that cuts it out of the bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

__all__ = ["BadRequest", "RawRequest", "RequestParser", "UpstreamRequest"]

_MAX_HEAD_BYTES = 65_536
# Above the 20 MiB that a request with images may have.
_MAX_BODY_BYTES = 64 * 1024 * 1024


class BadRequest(Exception):
    """The bytes are not an HTTP/1.1 request."""


@dataclass(frozen=True, kw_only=True)
class RawRequest:
    """One request, unread. Header names are lower case; of repeated headers the last wins in `headers`."""

    method: str
    path: str
    header_list: tuple[tuple[str, str], ...]
    body: bytes

    @cached_property
    def headers(self) -> Mapping[str, str]:
        return dict(self.header_list)

    @property
    def wants_close(self) -> bool:
        return "close" in self.headers.get("connection", "").lower()


@dataclass(frozen=True, kw_only=True)
class UpstreamRequest:
    """A request with its vendor, and what a vendor would read in it."""

    number: int
    vendor: str
    endpoint: str
    """`chat`, `models`, `balance`, or `unknown`."""
    beta: bool = False
    raw: RawRequest
    json: Any = field(default=None)
    """The parsed body, None if it is empty or not JSON."""

    @property
    def body(self) -> Mapping[str, Any]:
        """The body's fields; empty when it is no JSON object."""
        return self.json if isinstance(self.json, dict) else {}

    @property
    def model(self) -> str:
        """The model asked for, without the `@scenario` a person may have put behind it."""
        return str(self.body.get("model") or "").partition("@")[0]

    @property
    def streams(self) -> bool:
        return self.body.get("stream") is True

    @property
    def include_usage(self) -> bool:
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    @property
    def thinking(self) -> bool | None:
        """What the request says of thinking, None if nothing."""
        thinking = self.body.get("thinking")
        if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "disabled"):
            return bool(thinking["type"] == "enabled")
        return None

    @property
    def max_tokens(self) -> int | None:
        value = self.body.get("max_completion_tokens", self.body.get("max_tokens"))
        return value if isinstance(value, int) else None

    @property
    def messages(self) -> list[Mapping[str, Any]]:
        messages = self.body.get("messages")
        return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []

    @property
    def last_user_text(self) -> str:
        """The text of the last user message, its parts joined."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return _text_of(message)
        return ""

    @property
    def prompt_tokens(self) -> int:
        """What the simulator takes the prompt to be: a token for every four characters, at least one."""
        return max(1, sum(len(_text_of(message)) for message in self.messages) // 4)

    @property
    def api_key(self) -> str:
        """The bearer token, empty without one."""
        scheme, _, key = self.raw.headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


class RequestParser:
    """Cut requests out of bytes that arrive in any pieces; `Content-Length` and chunked bodies.

    Holds at most one head (64 KiB) and one body (64 MiB); raises BadRequest beyond either.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """Bytes received that make no whole request yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[RawRequest]:
        """Take bytes and return the requests that they complete."""
        self._buffer += data
        requests = []
        while (request := self._take()) is not None:
            requests.append(request)
        return requests

    def _take(self) -> RawRequest | None:
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                raise BadRequest("head over its bound")
            return None
        lines = bytes(self._buffer[:head_end]).decode("latin-1").split("\r\n")
        try:
            method, path, _version = lines[0].split(" ")
            headers = tuple(
                (name.strip().lower(), value.strip())
                for name, _, value in (line.partition(":") for line in lines[1:] if line)
            )
        except ValueError as error:
            raise BadRequest(f"request line {lines[0]!r}") from error
        by_name = dict(headers)
        start = head_end + 4
        if "chunked" in by_name.get("transfer-encoding", "").lower():
            taken = self._chunked_body(start)
            if taken is None:
                return None
            body, end = taken
        else:
            length_bytes = int(by_name.get("content-length", "0"))
            if length_bytes > _MAX_BODY_BYTES:
                raise BadRequest("body over its bound")
            end = start + length_bytes
            if len(self._buffer) < end:
                return None
            body = bytes(self._buffer[start:end])
        del self._buffer[:end]
        return RawRequest(method=method, path=path, header_list=headers, body=body)

    def _chunked_body(self, start: int) -> tuple[bytes, int] | None:
        body = bytearray()
        position = start
        while True:
            line_end = self._buffer.find(b"\r\n", position)
            if line_end < 0:
                return None
            size_bytes = int(bytes(self._buffer[position:line_end]).split(b";")[0], 16)
            position = line_end + 2
            if len(body) + size_bytes > _MAX_BODY_BYTES:
                raise BadRequest("body over its bound")
            if len(self._buffer) < position + size_bytes + 2:
                return None
            body += self._buffer[position : position + size_bytes]
            position += size_bytes + 2
            if size_bytes == 0:
                return bytes(body), position


def parse_json(body: bytes) -> Any:
    """Return the JSON value of a body, None if it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return None

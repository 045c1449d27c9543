"""One HTTP/1.1 answer, made of bytes that are cut anywhere. Does no I/O.

httptools finds the boundaries; what it leaves to its caller is decided here: bounds, what ends a body without a
length, and whether the connection may carry another exchange.
"""

from __future__ import annotations

from typing import Any

import httptools

__all__ = ["MOST_HEAD_BYTES", "Answer"]

MOST_HEAD_BYTES = 64 * 1024
"""The headers of an answer with its trailers and those of the 1xx before it; one byte more is a fault."""


class Answer:
    """Parses one answer. `feed` it every read, `end` it when the peer closes, `drop` it on every way out.

    1xx answers are passed over; 101 is a fault, for nobody offers an upgrade. Nothing is kept but the headers: what
    `feed` returns is all there is of the body.
    """

    __slots__ = (
        "_bare_bytes",
        "_ends_with_connection",
        "_field_bytes",
        "_parser",
        "_parts",
        "complete",
        "fault",
        "head_complete",
        "headers",
        "reusable",
        "status",
    )

    def __init__(self) -> None:
        self.status = 0
        """0 until the head is complete."""
        self.headers: list[tuple[bytes, bytes]] = []
        self.head_complete = False
        self.complete = False
        self.reusable = False
        """Whether the connection may be used again: complete, not forbidden by the peer, and nothing came behind."""
        self.fault = ""
        """Why no more can be made of the peer's bytes, quoting none of them; what came before the fault is good."""
        self._parser: Any = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._ends_with_connection = True
        self._field_bytes = 0
        self._bare_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """Take the bytes of one read and return the body bytes among them."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # Behind a whole answer it is no fault of the answer's; `on_message_begin` has seen to the connection.
            if not self.complete and not self.fault:
                self.fault = str(error)
        parts = self._parts
        if parts:
            self._bare_bytes = 0
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            return body
        # Not every byte reaches a callback: a field that never ends, and chunk extensions, are seen here alone.
        self._bare_bytes += len(data)
        if self._bare_bytes > MOST_HEAD_BYTES and not self.complete:
            self.fault = "headers over their bound"
        return b""

    @property
    def ends_with_connection(self) -> bool:
        """Whether the body has no length of its own."""
        return self.head_complete and self._ends_with_connection and not self.complete

    def end(self) -> None:
        """Learn that the peer sends no more: the end of a body without a length, a fault anywhere else."""
        if not self.head_complete:
            self.fault = "the connection ended before the headers did"
        elif not self._ends_with_connection and not self.complete:
            self.fault = "the connection ended before the body did"
        else:
            self.complete = True

    def drop(self) -> None:
        """Let go of the parser, which holds this object in turn: without it no garbage collection is needed."""
        self._parser = None

    # httptools' callbacks. What they raise ends the parsing.

    def on_message_begin(self) -> None:
        """Begin an answer: the first, the one behind a 1xx, or one that nobody asked for."""
        if self.complete:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer, which is counted and dropped."""
        self._field_bytes += len(name) + len(value) + 4
        if self._field_bytes > MOST_HEAD_BYTES:
            self._refuse("headers over their bound")
        if self.head_complete:
            return
        value = value.strip(b" \t")
        match name.lower():
            case b"content-length":
                self._ends_with_connection = False
            case b"transfer-encoding":
                if value.lower() != b"chunked":
                    self._refuse("a transfer coding that was not asked for")
                self._ends_with_connection = False
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """End the head, unless it is a 1xx."""
        if self.complete:
            return
        status: int = self._parser.get_status_code()
        if status < 100 or status == 101 or self._parser.get_http_version() not in ("1.0", "1.1"):
            self._refuse("a status or version that cannot be")
        if status < 200:
            self.headers.clear()
            self._ends_with_connection = True
            return
        self.status = status
        self.head_complete = True

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body, not of one that nobody asked for."""
        if not self.complete:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """End the answer, unless it is a 1xx."""
        if self.head_complete and not self.complete:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()

    def _refuse(self, fault: str) -> None:
        self.fault = fault
        raise ValueError(fault)

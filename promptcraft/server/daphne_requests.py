"""daphne's HTTP requests, with what an application cannot do from inside it. Imported under daphne alone.

By itself daphne writes a body of any size to a file before an application hears of the request, makes a WebSocket of
whatever names one, refuses in HTML or without a body, knows no target that is a whole address, and keeps a connection
open whose answer says that it ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from daphne import http_protocol  # type: ignore[import-untyped,unused-ignore]
from twisted.web import http

from apps.chat.body import most_body_bytes
from apps.llm.errors import InternalError, InvalidRequest, PromptCraftError, UnsupportedTransferCoding
from promptcraft.scope import UNREAD_CODING, safe_path
from promptcraft.server.handshakes import is_handshake
from promptcraft.server.refusals import refusal, written_refusal
from promptcraft.server.targets import split_address, unnamed_host

__all__ = ["GuardedRequest", "guard_daphne_requests"]

_LINGER_S = 1.0
_LINGER_BYTES = 32 * 1024 * 1024
"""A connection whose body is not read to its end lives on for so long, so that its peer can read the answer."""


def guard_daphne_requests(socket_paths: Collection[str]) -> None:
    """Have daphne make its requests of `GuardedRequest`, with WebSockets at these paths; call it before it listens."""
    GuardedRequest.socket_paths = socket_paths
    http_protocol.WebRequest = GuardedRequest
    # Twisted has no other place for it.
    http.HTTPChannel._respondToBadRequestAndDisconnect = _refuse_connection  # type: ignore[method-assign]
    http.HTTPChannel._maybeChooseTransferDecoder = _choose_decoder  # type: ignore[method-assign]


class GuardedRequest(http_protocol.WebRequest):  # type: ignore[misc]
    """One request. The application hears at once of one that it will refuse for its head, and nothing of its body."""

    socket_paths: Collection[str] = frozenset()

    _most_bytes = 0
    _body_bytes = 0
    _began_early = False
    _body_ended = False
    _lingering: Any = None

    # --- what comes in

    def gotLength(self, length: int | None) -> None:
        """Look at a head, before its body; a length of None is that of a body in chunks."""
        super().gotLength(length)
        target: bytes = self.channel._path
        host = unnamed_host(target, self.requestHeaders.getRawHeaders(b"Host", []))
        if host is not None:
            self.requestHeaders.addRawHeader(b"Host", host)
        address = split_address(target)
        path = (address[2] if address else target).partition(b"?")[0]
        method = self.channel._command.decode("latin-1")
        self._most_bytes = most_body_bytes(method, safe_path(unquote_to_bytes(path).decode("utf-8", "replace")))
        hosts = self.requestHeaders.getRawHeaders(b"Host", [b""])
        hostless = not hosts[0] and self.channel._version == b"HTTP/1.1"
        if (length is not None and length > self._most_bytes) or len(hosts) > 1 or hostless:
            self._begin_early()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._body_bytes += len(data)
        if self._began_early:
            if self._lingering is not None and self._body_bytes > _LINGER_BYTES:
                self._stop_lingering()
            return
        if self._body_bytes > self._most_bytes:
            # The application refuses what is declared to be over its bound.
            self.requestHeaders.removeHeader(b"Transfer-Encoding")
            self.requestHeaders.setRawHeaders(b"Content-Length", [b"%d" % self._body_bytes])
            self.content.seek(0)
            self.content.truncate()
            self._begin_early()
        else:
            super().handleContentChunk(data)

    def _begin_early(self) -> None:
        self._began_early = True
        self.requestHeaders.removeHeader(b"Expect")
        self.channel.persistent = False
        super().requestReceived(self.channel._command, self.channel._path, self.channel._version)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Begin, now that the body is here."""
        self._body_ended = True
        if not self._began_early:
            super().requestReceived(command, path, version)
        elif self._lingering is not None:
            self._stop_lingering()

    def process(self) -> Any:
        """Make the application's request, or the WebSocket, of what was received."""
        address = split_address(self.uri)  # type: ignore[has-type]
        if address is not None:
            self.uri = address[2]
            self.path = self.uri.partition(b"?")[0]
        version = self.clientproto.partition(b"/")[2]
        headers = [(name.lower(), value) for name, values in self.requestHeaders.getAllRawHeaders() for value in values]
        if not is_handshake(self.method, version, self.path, headers, self.socket_paths):
            self.requestHeaders.removeHeader(b"Upgrade")
        return super().process()

    # --- what goes out

    def handle_reply(self, message: Mapping[str, Any]) -> None:
        """Send a message of ASGI's."""
        if message["type"] == "http.response.start" and self.channel is not None:
            for name, value in message.get("headers", ()):
                if name.lower() == b"connection" and b"close" in value.lower():
                    self.channel.persistent = False
        super().handle_reply(message)

    def finish(self) -> None:
        """End the answer; the connection waits for the rest of a body that was refused, if not for long."""
        if self._began_early and not self._body_ended and self._lingering is None:
            self._lingering = self.channel.callLater(_LINGER_S, self._end)
        else:
            super().finish()

    def handle_exception(self, exception: BaseException) -> None:
        """Cut the connection of an answer that the application broke off: its client would wait for the rest."""
        if self._response_started and not self.finished and self.channel is not None:
            self.channel.forceAbortClient()
        else:
            super().handle_exception(exception)

    def connectionLost(self, reason: Any) -> None:
        """Stop waiting."""
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        super().connectionLost(reason)

    def _stop_lingering(self) -> None:
        if self._lingering.active():
            self._lingering.cancel()
            self._end()

    def _end(self) -> None:
        super().finish()

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Answer by itself, in the envelope."""
        error = _bad_request() if status < 500 else InternalError()
        headers, written = refusal(error)
        self.handle_reply({"type": "http.response.start", "status": status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": written})


def _bad_request() -> PromptCraftError:
    return InvalidRequest("This is no request of HTTP/1.1. Look at its first lines.")


def _refuse_connection(channel: Any, error: PromptCraftError | None = None) -> None:
    channel.transport.write(written_refusal(error or _bad_request()))
    channel.loseConnection()


def _choose_decoder(channel: Any, header: bytes, data: bytes) -> bool:
    """Do what Twisted does with a header that says how the body is sent; refuse with 501 what it refuses with 400."""
    if header == b"Transfer-Encoding" and data.lower() not in (b"chunked", b"identity"):
        _refuse_connection(channel, UnsupportedTransferCoding(UNREAD_CODING))
        channel.length = None
        return False
    chosen: bool = _twisteds_choice(channel, header, data)  # type: ignore[no-untyped-call]
    return chosen


_twisteds_choice = http.HTTPChannel._maybeChooseTransferDecoder

"""The steps of an answer: heads, framed bytes and ends, so that scenarios read as what they do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from tests.upstream.framing import LAST_CHUNK, chunk, head, response
from tests.upstream.request import UpstreamRequest
from tests.upstream.steps import Fin, Pause, Send, Step
from tests.upstream.vendor import Answer, Event, Vendor
from tests.upstream.vendors import VENDORS

__all__ = ["KEEP_ALIVE", "Reply"]

KEEP_ALIVE = b": keep-alive\n\n"
Framing = Literal["chunked", "close"]


class Reply:
    """Builds the steps that answer one request in its vendor's manner.

    `chunked` leaves the connection open after `end()`, `close` has no framing and ends with FIN.
    """

    def __init__(self, request: UpstreamRequest, answer: Answer | None = None, *, framing: Framing = "chunked") -> None:
        self.request = request
        self.vendor: Vendor = VENDORS[request.vendor]
        self.answer = answer or Answer()
        self.framing = framing
        self.events = self.vendor.events(request, self.answer)

    def head(self, *, content_type: str | None = "", extra: Iterable[tuple[str, str]] = ()) -> Send:
        """Send a stream's status and headers; `content_type` "" for the vendor's own, None for no such header."""
        headers = self.vendor.stream_headers(self.request.number)
        if content_type != "":
            headers = [(name, value) for name, value in headers if name != "content-type"]
            if content_type is not None:
                headers.insert(0, ("content-type", content_type))
        framing = ("transfer-encoding", "chunked") if self.framing == "chunked" else ("connection", "close")
        return Send(head(200, [*headers, *extra, framing]))

    def raw(self, data: bytes, *, tokens: int = 0) -> Send:
        """Send bytes of the body, framed."""
        return Send(self.framed(data), tokens)

    def framed(self, data: bytes) -> bytes:
        """Return bytes of the body as they go on the wire."""
        return chunk(data) if self.framing == "chunked" else data

    def event(self, event: Event) -> Send:
        """Send one event, framed."""
        return Send(self.framed(event.wire), event.tokens, event.usage)

    def all_events(self, *, delay_s: float = 0.0) -> Iterator[Step]:
        """Send every event in a write of its own, `[DONE]` included."""
        for event in self.events:
            if delay_s and event.kind == "content":
                yield Pause(delay_s)
            yield self.event(event)

    def content(self, count: int) -> Iterator[Step]:
        """Send the opening and the first `count` events with content."""
        seen = 0
        for event in self.events:
            seen += event.kind == "content"
            if seen > count or event.kind not in ("role", "content"):
                return
            yield self.event(event)

    def before_finish(self) -> Iterator[Step]:
        """Send everything up to the finish chunk."""
        return (self.event(event) for event in self.events if event.kind in ("role", "content"))

    def of_kind(self, *kinds: str) -> Iterator[Step]:
        """Send the events of these kinds, in order."""
        return (self.event(event) for event in self.events if event.kind in kinds)

    def text_after(self, count: int) -> str:
        """Return the text that the first `count` content events carry, for answers without reasoning."""
        pieces = self.vendor.filled(self.request, self.answer).pieces or ()
        return "".join(pieces[:count])

    def end(self) -> Step:
        """End the body as its framing does."""
        return Send(LAST_CHUNK) if self.framing == "chunked" else Fin()

    def whole(self) -> Send:
        """Send the answer as one JSON object, for a request that does not stream."""
        body, spent = self.vendor.whole(self.request, self.answer)
        headers = [("content-type", "application/json"), *self.vendor.id_headers(self.request.number)]
        return Send(response(200, body, headers), spent.completion, spent)

"""Server-sent events without I/O: an encoder, and a decoder that is fed bytes cut anywhere.

The format is WHATWG HTML, section 9.2 (https://html.spec.whatwg.org/multipage/server-sent-events.html). Lines
end at CR, LF and CRLF and nowhere else: U+0085, U+2028 and U+2029 are text.
"""

from __future__ import annotations

from typing import Self

__all__ = ["DONE", "MAX_EVENT_BYTES", "PING", "Decoder", "EventTooLarge", "NamedEvent", "encode_event", "is_done"]

DONE = b"data: [DONE]\n\n"

# No blank line: with `id:` in use, openai-python and httpx-sse make an empty event of a comment and a blank line.
PING = b": ping\n"

MAX_EVENT_BYTES = 1 << 20

# Event names and ids are held over many lines; the standard sets them no bound.
_MAX_NAME_BYTES = 1024

_BOM = b"\xef\xbb\xbf"

# As numbers: looking for one byte that way costs a seventh of looking for a string of length one.
_CR = 0x0D
_LF = 0x0A


def encode_event(event_id: int | None, data: bytes) -> bytes:
    """Write one event; data with line ends in it travels as several `data:` lines, its line ends as LF."""
    if _LF in data or _CR in data:
        data = b"\ndata: ".join(_lines(data))
    if event_id is None:
        return b"data: %b\n\n" % data
    return b"id: %d\ndata: %b\n\n" % (event_id, data)


def is_done(data: bytes) -> bool:
    """Tell whether an event's data is the `[DONE]` marker, as loosely as OpenAI's clients do."""
    return data.lstrip().startswith(b"[DONE]")


class EventTooLarge(ValueError):
    """An event went over its bound. `events` are those that were complete before it in the same read."""

    def __init__(self, limit_bytes: int, events: list[bytes]) -> None:
        super().__init__(f"an event is over {limit_bytes} bytes")
        self.events = events


class NamedEvent(bytes):
    """The data of an event whose `event:` field says something other than `message`; `name` is what it says."""

    name: str

    def __new__(cls, data: bytes, name: str) -> Self:
        """Name the data."""
        event = super().__new__(cls, data)
        event.name = name
        return event


class Decoder:
    """Split a byte stream into the data of its events. Feed it every read, then close it.

    Holds one unfinished event. Its data so far and the line under way, field name included, may take
    `max_event_bytes` together; at one byte more `feed` raises EventTooLarge, everything held is dropped, and
    the decoder stays unusable. Comments, `retry` and unknown fields are passed over, and an event without data,
    or with empty data, is none. Work is linear in the bytes fed, however they are cut.
    """

    __slots__ = (
        "_after_cr",
        "_between_events",
        "_closed",
        "_data",
        "_head",
        "_in_event",
        "_line",
        "_max_event_bytes",
        "_name",
        "_overflowed",
        "last_event_id",
        "unknown_lines",
    )

    last_event_id: str
    """The newest `id:` without a NUL in it, at most 1 KiB long; it outlives its event."""
    unknown_lines: int
    """Lines that are neither a comment nor a field of the standard, such as HTML or a proxy's plain text."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.last_event_id = ""
        self.unknown_lines = 0
        self._max_event_bytes = max_event_bytes
        self._head: bytes | None = b""  # the first bytes, while they may still be a BOM; None once that is settled
        self._line = bytearray()  # the line under way
        self._data: bytes | bytearray | None = None  # of the event under way, a bytearray from its second line on
        self._name = ""
        self._in_event = False  # a line other than a comment came since the last blank one
        self._after_cr = False  # an LF at the start of the next read belongs to the CR before it
        self._between_events = False  # nothing at all is held
        self._closed = False
        self._overflowed = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the data of the events they complete, several data lines joined by LF.

        Raises EventTooLarge, again and again once raised, and ValueError after `close`.
        """
        if self._between_events:
            events = _split_plain(data, self._max_event_bytes)
            if events is not None:
                return events
        if self._overflowed:
            raise EventTooLarge(self._max_event_bytes, [])
        if self._closed:
            raise ValueError("the decoder is closed")
        return self._feed_lines(data)

    def close(self) -> bool:
        """End the stream: drop an unfinished event, and say whether there was one.

        An unfinished line counts, and so does a finished one that no blank line followed, unless it is a
        comment: either is evidence of a cut.
        """
        unfinished = bool(self._head or self._line or self._in_event)
        self._drop()
        self._closed = True
        return unfinished

    def _feed_lines(self, data: bytes) -> list[bytes]:
        if self._head is not None:
            data = self._head + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._head = data
                return []
            self._head = None
            data = data.removeprefix(_BOM)
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if data.endswith(b"\r"):
            self._after_cr = True
        lines = _lines(data)
        tail = lines.pop()
        events: list[bytes] = []
        if lines and self._line:
            self._check(len(self._line) + len(lines[0]), events)
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        for line in lines:
            if line:
                self._check(len(line), events)
                self._take_line(line)
                continue
            if self._data:
                payload = bytes(self._data)
                events.append(NamedEvent(payload, self._name) if self._name else payload)
            self._data = None
            self._name = ""
            self._in_event = False
        if tail:
            self._check(len(self._line) + len(tail), events)
            self._line += tail
        self._between_events = not (self._line or self._in_event or self._after_cr)
        return events

    def _take_line(self, line: bytes) -> None:
        if line.startswith(b":"):
            return
        self._in_event = True
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            if self._data is None:
                self._data = value
                return
            if isinstance(self._data, bytes):
                self._data = bytearray(self._data)
            self._data += b"\n"
            self._data += value
        elif field == b"event":
            known = value != b"message" and len(value) <= _MAX_NAME_BYTES
            self._name = value.decode("utf-8", "replace") if known else ""
        elif field == b"id":
            if b"\0" not in value and len(value) <= _MAX_NAME_BYTES:
                self.last_event_id = value.decode("utf-8", "replace")
        elif field != b"retry":
            self.unknown_lines += 1

    def _check(self, line_bytes: int, events: list[bytes]) -> None:
        if line_bytes + len(self._data or b"") > self._max_event_bytes:
            self._drop()
            self._overflowed = True
            raise EventTooLarge(self._max_event_bytes, events)

    def _drop(self) -> None:
        self._head = None
        self._line = bytearray()
        self._data = None
        self._name = ""
        self._in_event = False
        self._between_events = False


def _lines(data: bytes) -> list[bytes]:
    """Split at CR, LF and CRLF; the last item is what follows the last of them."""
    if _CR in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.split(b"\n")


def _split_plain(data: bytes, max_event_bytes: int) -> list[bytes] | None:
    """Split a read that is whole events of one `data: ` line each, LF only; None if it is anything else."""
    if data[-2:] != b"\n\n" or data[:6] != b"data: " or len(data) > max_event_bytes or _CR in data:
        return None
    events = data[6:-2].split(b"\n\ndata: ")
    # Every LF is one of a separator's or of the last two, so no event holds a second line.
    if data.count(b"\n") != 2 * len(events) or b"" in events:
        return None
    return events

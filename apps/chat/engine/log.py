"""The stream log: one completion's events, numbered from 1, append-only, closed once.

Every reader of a completion reads its log, whether it came first, came back or came late. The log in
memory is `log_memory.py`; one that outlives the process can stand behind the same protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import msgspec

__all__ = ["Frame", "LogFull", "Subscriber", "StreamLog"]


class LogFull(Exception):
    """The answer has outgrown the log's bound."""


class Frame(msgspec.Struct, frozen=True, eq=False):
    """The constant bytes around what an event says: its data is `head + fragment + tail`.

    A fragment is the inside of a JSON string, already escaped, so that fragments of one frame can be joined; of the
    kind `usage` it is an object, and its frame has no second one.
    """

    head: bytes
    tail: bytes
    kind: str
    """What its fragments are: `content`, `reasoning_content`, `refusal`, `finish_reason` or `usage`."""


class Subscriber(Protocol):
    """Who is told of news: a reader."""

    def push(self, events: bytes) -> None:
        """Take encoded SSE events, just appended; called in order, without a gap, as is `hold`."""

    def hold(self, events: bytes) -> None:
        """As `push`, but keep them until `flush`."""

    def flush(self) -> None:
        """Learn that what is held is due, or that the log is closed."""


class StreamLog(Protocol):
    """An append-only log of SSE events. Appending never waits; a subscriber sees an event once it is in the log.

    Events are gathered until `tell` or `close`: one read of a provider's brings many, and costs each reader one push.
    Many subscribers hold what they are told for a moment: sending costs far more than telling.
    """

    last_id: int
    """The id of the newest event, 0 before the first."""
    terminal: bytes | None
    """None while the log is open; then what readers get after the last event: `[DONE]`, or nothing."""

    @property
    def told(self) -> bool:
        """Whether subscribers know of every event."""

    def append_text(self, frame: Frame, fragment: bytes) -> None:
        """Append an event by its frame and fragment; subscribers learn of it at the next `tell`. Raises LogFull."""

    def tell(self) -> None:
        """Tell subscribers of the events appended since the last time."""

    def append(self, payload: bytes) -> None:
        """Append any other event by its data, one line of JSON; as `append_text`."""

    def make_room(self) -> None:
        """Let in what is still to be said of how the answer ended, full or not."""

    def close(self, terminal: bytes) -> None:
        """End the log."""

    def replay(self, after: int, limit_bytes: int) -> tuple[bytes, int]:
        """Return encoded events after an id, text merged, and the id of the last one returned.

        Stops once `limit_bytes` is passed, so call again from the returned id.
        """

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """Yield what all events so far say: (its frame's kind, fragments joined), or ("", data) of one without."""

    def subscribe(self, subscriber: Subscriber) -> None:
        """Tell a subscriber of every event from now on."""

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop telling it; fine if it was never told."""

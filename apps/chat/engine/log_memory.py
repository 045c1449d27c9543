"""The stream log in the process: text and offsets, whole bytes only for events that are not text."""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import Iterator

import msgspec

from apps.chat.engine.log import Frame, LogFull, Subscriber
from apps.llm.wire.sse import encode_event

__all__ = ["MAX_LOG_BYTES", "MAX_LOG_RUNS", "MemoryLog"]

MAX_LOG_BYTES = 16 * 1024 * 1024
"""No model's largest answer comes near; a provider that babbles without end is cut here."""
MAX_LOG_RUNS = 131_072
"""More than there is room for where an event is kept whole: a provider that changes from thoughts to text and back with
every letter is cut here, or what is noted of each change would outgrow the text."""
_MERGED_BYTES = 32 * 1024
"""A replayed event is cut here, so that clients with small buffers can take it."""
_FEW = 4
"""Subscribers that send each event at once."""
_HOLD_S = 0.05
"""How long more than that hold events, so that a hundred readers cost 20 writes a second each."""


class _Run(msgspec.Struct, frozen=True):
    """Neighbouring events of one frame; `frame` is None for an event kept whole, a run of its own."""

    first_id: int
    frame: Frame | None


class MemoryLog:
    """A `StreamLog` held by this process. About 4 bytes an event besides its text.

    Past MAX_LOG_BYTES or MAX_LOG_RUNS it is full.
    """

    __slots__ = (
        "_bytes",
        "_due",
        "_ends",
        "_frame",
        "_has_room",
        "_runs",
        "_subscribers",
        "_untold",
        "last_id",
        "terminal",
    )

    def __init__(self) -> None:
        self.last_id = 0
        self.terminal: bytes | None = None
        self._has_room = False
        self._bytes = bytearray()
        # _ends[i] is where event i ends in _bytes; event 0 does not exist and ends at 0.
        self._ends = array("I", [0])
        self._runs: list[_Run] = []
        self._frame: Frame | None = None
        """Of the newest run."""
        self._subscribers: list[Subscriber] = []
        self._untold: list[bytes] = []
        self._due: asyncio.TimerHandle | None = None
        """When subscribers send what they hold."""

    @property
    def size_bytes(self) -> int:
        """Bytes of text and events kept."""
        return len(self._bytes) + 4 * len(self._ends)

    @property
    def told(self) -> bool:
        """Whether subscribers know of every event."""
        return not self._untold

    def append_text(self, frame: Frame, fragment: bytes) -> None:
        """Append an event by its frame and fragment; subscribers learn of it at the next `tell`. Raises LogFull."""
        # `_keep`, written out: this is the one step that every token takes.
        if self.terminal is not None or len(self._bytes) + len(fragment) > MAX_LOG_BYTES:
            self._check()
        if frame is not self._frame:
            if len(self._runs) >= MAX_LOG_RUNS:
                self._check()
            self._frame = frame
            self._runs.append(_Run(self.last_id + 1, frame))
        self._bytes += fragment
        self._ends.append(len(self._bytes))
        self.last_id += 1
        if self._subscribers:
            # Neither a frame nor a fragment has a line end in it.
            self._untold.append(b"id: %d\ndata: %b%b%b\n\n" % (self.last_id, frame.head, fragment, frame.tail))

    def append(self, payload: bytes) -> None:
        """Append any other event by its data, one line of JSON; as `append_text`."""
        if len(self._runs) >= MAX_LOG_RUNS:
            self._check()
        self._frame = None
        self._runs.append(_Run(self.last_id + 1, None))
        self._keep(payload)
        if self._subscribers:
            self._untold.append(encode_event(self.last_id, payload))

    def tell(self) -> None:
        """Tell subscribers of the events appended since the last time."""
        if self._untold:
            events = self._untold[0] if len(self._untold) == 1 else b"".join(self._untold)
            self._untold.clear()
            if len(self._subscribers) > _FEW:
                self._tell_many(events)
                return
            for subscriber in self._subscribers:
                subscriber.push(events)

    def make_room(self) -> None:
        """Let in what is still to be said of how the answer ended, full or not."""
        self._has_room = True

    def close(self, terminal: bytes) -> None:
        """End the log."""
        if self.terminal is None:
            self.terminal = terminal
            # The last events and the terminal go out together.
            self.tell()
            self._flush()

    def replay(self, after: int, limit_bytes: int) -> tuple[bytes, int]:
        """Return encoded events after an id, text merged, and the id of the last one returned."""
        out: list[bytes] = []
        size_bytes, last = 0, after
        for event_id, payload in self._merged(after):
            event = encode_event(event_id, payload)
            out.append(event)
            size_bytes += len(event)
            last = event_id
            if size_bytes >= limit_bytes:
                break
        return b"".join(out), last

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """Yield what all events so far say: (its frame's kind, fragments joined), or ("", data) of one without.

        A long text comes in several parts.
        """
        return (("" if frame is None else frame.kind, data) for _, frame, data in self._pieces(0))

    def subscribe(self, subscriber: Subscriber) -> None:
        """Tell a subscriber of every event from now on."""
        self.tell()
        self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop telling it; fine if it was never told."""
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)

    def _tell_many(self, events: bytes) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_HOLD_S, self._flush)
        for subscriber in self._subscribers:
            subscriber.hold(events)

    def _flush(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        for subscriber in self._subscribers:
            subscriber.flush()

    def _check(self) -> None:
        """Refuse an event to a log that is closed, or full and without room for more."""
        if self.terminal is not None:
            raise RuntimeError("the log is closed")
        if not self._has_room:
            raise LogFull

    def _keep(self, data: bytes) -> None:
        if self.terminal is not None or len(self._bytes) + len(data) > MAX_LOG_BYTES:
            self._check()
        self._bytes += data
        self._ends.append(len(self._bytes))
        self.last_id += 1

    def _merged(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield (id of the last event merged, data), from the event after `after`."""
        for event_id, frame, data in self._pieces(after):
            yield event_id, data if frame is None else frame.head + data + frame.tail

    def _pieces(self, after: int) -> Iterator[tuple[int, Frame | None, bytes]]:
        """Yield (id of the last event in it, its frame, fragments joined), or the data of an event without a frame."""
        position = bisect_left(self._runs, after + 1, key=lambda run: run.first_id)
        # The run before may reach past `after`.
        position = max(0, position - 1)
        for index in range(position, len(self._runs)):
            run = self._runs[index]
            run_last = self._runs[index + 1].first_id - 1 if index + 1 < len(self._runs) else self.last_id
            event_id = max(after, run.first_id - 1)
            while event_id < run_last:
                start = self._ends[event_id]
                if run.frame is None:
                    upto = event_id + 1
                else:
                    upto = bisect_left(self._ends, start + _MERGED_BYTES, lo=event_id + 1, hi=run_last)
                yield upto, run.frame, bytes(self._bytes[start : self._ends[upto]])
                event_id = upto

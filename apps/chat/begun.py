"""What is awaited nearly always without a wait can be begun at once: most of it costs no task, no timer and no turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

__all__ = ["Listening", "Rest", "begin", "listen"]

_T = TypeVar("_T")


class Rest(Generic[_T]):
    """An awaitable that was begun and waits; await it for its end, once, inside a task, or close it."""

    __slots__ = ("_steps", "waited_for")

    def __init__(self, steps: Generator[Any, Any, _T], waited_for: Any) -> None:
        self._steps = steps
        self.waited_for = waited_for
        """What it gave to the event loop: a future, but for servers that have things of their own."""

    def __await__(self) -> Generator[Any, Any, _T]:
        """Go on where it waits."""
        waited_for = self.waited_for
        while True:
            try:
                try:
                    yield waited_for
                except BaseException as error:
                    if not hasattr(self._steps, "throw"):
                        # A server's own awaitable: whoever ends the wait has told it already.
                        raise
                    waited_for = self._steps.throw(error)
                else:
                    waited_for = next(self._steps)
            except StopIteration as ended:
                value: _T = ended.value
                return value

    def close(self) -> None:
        """End it where it waits."""
        self._steps.close()


def begin(awaitable: Awaitable[_T]) -> _T | Rest[_T]:
    """Run an awaitable up to its first wait, wherever that is; return what it returned, or the rest of it to await.

    Raises what the awaitable raises before its first wait.
    """
    steps = awaitable.__await__()
    try:
        return Rest(steps, next(steps))
    except StopIteration as ended:
        value: _T = ended.value
        return value


class Listening:
    """What listens for an event that seldom comes: a task is made for it when it does. Close it when done with it."""

    __slots__ = ("_rest", "_task")

    def __init__(self, rest: Rest[None]) -> None:
        self._rest: Rest[None] | None = rest
        self._task: asyncio.Task[None] | None = None
        if asyncio.isfuture(rest.waited_for):
            rest.waited_for.add_done_callback(self._go_on)
        else:
            # A task knows how to wait for it.
            self._go_on()

    def close(self) -> None:
        """Stop listening."""
        rest, self._rest = self._rest, None
        if self._task is not None:
            self._task.cancel()
        elif rest is not None:
            rest.waited_for.remove_done_callback(self._go_on)
            rest.close()

    def _go_on(self, _: object = None) -> None:
        # The event may have come, and this be on its way, when it was closed.
        if self._rest is not None:
            self._task = asyncio.get_running_loop().create_task(_finished(self._rest))


def listen(awaitable: Awaitable[None]) -> Listening | None:
    """Begin an awaitable and listen on where it waits; None if it ended without."""
    rest = begin(awaitable)
    return Listening(rest) if isinstance(rest, Rest) else None


async def _finished(rest: Rest[None]) -> None:
    await rest

"""What is awaited nearly always without a wait can be begun at once: most of it costs no task, no timer and no turn."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

__all__ = ["Rest", "begin"]

_T = TypeVar("_T")


class Rest(Generic[_T]):
    """An awaitable that was begun and waits; await it for its end, once, inside a task."""

    __slots__ = ("_steps", "_waited_for")

    def __init__(self, steps: Generator[Any, Any, _T], waited_for: Any) -> None:
        self._steps = steps
        self._waited_for = waited_for

    def __await__(self) -> Generator[Any, Any, _T]:
        """Go on where it waits."""
        waited_for = self._waited_for
        while True:
            try:
                try:
                    yield waited_for
                except BaseException as error:
                    waited_for = self._steps.throw(error)
                else:
                    waited_for = next(self._steps)
            except StopIteration as ended:
                value: _T = ended.value
                return value


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

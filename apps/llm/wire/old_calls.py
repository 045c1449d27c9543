"""Calls in the form that OpenAI had before `tools`, which name no ids: a result belongs to a call of its name."""

from __future__ import annotations

from collections import deque

from apps.llm.wire.checks import invalid, missing

__all__ = ["OldCalls"]


class OldCalls:
    """The old calls of one conversation so far, each given an id that its result is sent under."""

    __slots__ = ("_count", "_open")

    def __init__(self) -> None:
        self._count = 0
        self._open: dict[str, deque[str]] = {}

    def new_id(self, name: str) -> str:
        """Return the id of a call of a function."""
        call_id = f"call_old_{self._count}"
        self._count += 1
        self._open.setdefault(name, deque()).append(call_id)
        return call_id

    def id_of_result(self, name: str | None, path: str) -> str:
        """Return the id of the call that a message of role `function` answers. Raises InvalidRequest."""
        if name is None:
            raise missing(
                f"{path}.name", f"`{path}.name` is missing. Send the name of the function that returned this."
            )
        waiting = self._open.get(name)
        if not waiting:
            raise invalid(
                f"{path}.name",
                f"`{path}.name` names a function that no `function_call` before it calls. "
                "Send the assistant message that called it, or use `tool_calls` and the role `tool`.",
            )
        return waiting.popleft()

"""Which tool call a fragment of an upstream's belongs to, and the form in which it goes on."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from apps.llm.wire.chunk import MAX_TOOL_CALLS, TooManyToolCalls
from apps.llm.wire.json import dumps
from apps.llm.wire.types import JsonObject

__all__ = ["ToolCalls"]

_MOST_INDICES = 2 * MAX_TOOL_CALLS
"""Indices of an upstream's that are remembered: more than its calls, as they may change within a call."""


_KNOWN = frozenset({"index", "id", "type", "function"})


class _Call:
    __slots__ = ("has_own_id", "index", "name")

    def __init__(self, index: int, name: str, *, has_own_id: bool) -> None:
        self.index = index
        self.name = name
        self.has_own_id = has_own_id


class ToolCalls:
    """The tool calls of one answer so far.

    A fragment belongs to the call with its id. Else it begins one if it has a name, or a new id under a new index,
    unless its index is that of a call with the same name, or with none yet. Else it belongs to the call under its
    index, or to the one that came last: some servers make an id for each fragment, some send one index for all calls.
    Calls are numbered from 0 as they begin.
    """

    __slots__ = ("_by_id", "_by_index", "_count", "_last")

    def __init__(self) -> None:
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int | str, _Call] = {}
        self._last: _Call | None = None
        self._count = 0

    def take(self, fragments: Sequence[JsonObject]) -> list[JsonObject]:
        """Return the fragments in our form: all have an index, the first of a call an id, the type and arguments.

        Members that nobody knows stay: some vendors want them back. A fragment that adds nothing to its call is left
        out, so that no watchdog counts it. Raises TooManyToolCalls.
        """
        taken = [self._taken(fragment) for fragment in fragments]
        return [fragment for fragment in taken if fragment is not None]

    def _taken(self, fragment: JsonObject) -> JsonObject | None:
        function = fragment.get("function")
        if not isinstance(function, dict):
            function = {}
        id_, name, index = _text(fragment.get("id")), _text(function.get("name")), _index(fragment.get("index"))
        arguments = _arguments(function.get("arguments"))
        call = self._found(id_, name, index)
        is_head = call is None
        if call is None:
            if self._count == MAX_TOOL_CALLS:
                raise TooManyToolCalls("too many tool calls")
            call = _Call(self._count, name, has_own_id=bool(id_))
            self._count += 1
            if id_:
                self._by_id[id_] = call
        self._last = call
        if index is not None and (is_head or index in self._by_index or id_) and len(self._by_index) < _MOST_INDICES:
            self._by_index[index] = call
        more = {key: value for key, value in fragment.items() if key not in _KNOWN and value is not None}
        if is_head:
            id_ = id_ or f"call_{secrets.token_hex(12)}"
            named = {"name": name} if name else {}
            return {
                "index": call.index,
                "id": id_,
                "type": "function",
                "function": {**named, "arguments": arguments},
                **more,
            }
        added = {"arguments": arguments} if arguments else {}
        if name and not call.name:
            call.name = name
            added = {"name": name, **added}
        return {"index": call.index, "function": added, **more} if added else None

    def _found(self, id_: str, name: str, index: int | str | None) -> _Call | None:
        """Return the call that a fragment goes on with, None if it begins one."""
        if id_ in self._by_id:
            return self._by_id[id_]
        under = self._by_index.get(index) if index is not None else None
        if under is None:
            return None if name or (id_ and index is not None) else self._last
        if id_ and under.has_own_id:
            return None if name else under
        if name and under.name not in ("", name):
            return None
        if id_:
            # It comes late: clients have been given another.
            under.has_own_id = True
            self._by_id[id_] = under
        return under


def _index(value: Any) -> int | str | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return value if isinstance(value, int) else value[:16]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _arguments(value: Any) -> str:
    """Return arguments as text: objects as their JSON, of anything else that is no text nothing."""
    if isinstance(value, dict):
        return dumps(value).decode()
    return _text(value)

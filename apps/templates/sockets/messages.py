"""Messages of the legacy WebSockets: JSON objects with a `type` and, if their sender likes, a `request_id`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.llm.errors import Code, InvalidRequest
from apps.llm.wire import json
from apps.llm.wire.checks import shown
from apps.llm.wire.keys import keys_repeat
from apps.llm.wire.request import MAX_DEPTH

__all__ = ["MAX_MESSAGE_BYTES", "BrokenMessage", "Message", "RequestId", "read_message", "written"]

MAX_MESSAGE_BYTES = 64 * 1024
MAX_REQUEST_ID_CHARACTERS = 128

RequestId = str | int
"""A request's, as its sender wrote it: 1 and "1" are two. A number is whole and has at most 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a client sent. `members` are the others, `type` and `request_id` taken out."""

    type: str
    request_id: RequestId | None
    members: Mapping[str, object]


class BrokenMessage(Exception):
    """A message that cannot be served; `request_id` is the sender's, where it can be made out."""

    def __init__(self, error: InvalidRequest, request_id: RequestId | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.request_id = request_id


def read_message(text: str) -> Message:
    """Read one message. Raises BrokenMessage."""
    data = text.encode("utf-8", "surrogatepass")
    if json.depth_exceeds(data, MAX_DEPTH):
        raise BrokenMessage(
            InvalidRequest(f"The message nests deeper than {MAX_DEPTH} levels.", code=Code.INVALID_JSON)
        )
    try:
        value = json.loads(data, lone_surrogates=False)
    except ValueError:
        raise BrokenMessage(InvalidRequest("The message is not valid JSON.", code=Code.INVALID_JSON)) from None
    if not isinstance(value, dict):
        raise BrokenMessage(InvalidRequest("A message must be a JSON object."))
    request_id = _request_id(value.get("request_id"))
    if keys_repeat(data, value):
        raise BrokenMessage(
            InvalidRequest("The message names a key twice. Name each key once.", code=Code.INVALID_JSON), request_id
        )
    kind = value.get("type")
    if kind is None:
        raise BrokenMessage(InvalidRequest("`type` is required.", code=Code.MISSING_FIELD, param="type"), request_id)
    if not isinstance(kind, str):
        raise BrokenMessage(InvalidRequest(f"`type` must be a string, not {shown(kind)}.", param="type"), request_id)
    members = {name: member for name, member in value.items() if name not in ("type", "request_id")}
    return Message(type=kind, request_id=request_id, members=members)


def written(kind: str, request_id: RequestId | None, members: Mapping[str, Any]) -> str:
    """Write a message to a client, which repeats the id of the request that it answers."""
    repeated = {} if request_id is None else {"request_id": request_id}
    return json.dumps({"type": kind, **repeated, **members}).decode()


def _request_id(value: object) -> RequestId | None:
    if value is None or (isinstance(value, str) and len(value) <= MAX_REQUEST_ID_CHARACTERS):
        return value
    # JSON's reader makes fractions of whole numbers over 64 bits. A flag is a whole number to Python alone.
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise BrokenMessage(
        InvalidRequest(
            f"`request_id` must be a string of at most {MAX_REQUEST_ID_CHARACTERS} characters or a whole number of at "
            "most 64 bits.",
            param="request_id",
        )
    )

"""Completion rows: written in groups, read by owner. The only door to `models.Completion`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from json import JSONEncoder
from typing import Any

from django.db import connection
from django.db.models import TextField, Value
from django.db.models.functions import Cast, Coalesce, Length

from apps.chat.engine.record import CompletionRecord
from apps.chat.models import Completion
from apps.llm.wire.json import dumps
from apps.llm.wire.openai import AssembledMessage, Usage
from promptcraft.instants import utc_microseconds

__all__ = [
    "StoredCompletion",
    "completion_find_by_key",
    "completion_get",
    "completion_list",
    "completions_write",
]

IDEMPOTENCY_KEPT = timedelta(hours=24)

StoredCompletion = Completion

_NO_USAGE = Usage(prompt_tokens=0, completion_tokens=0)

_COLUMNS = {field.name: str(field.column) for field in Completion._meta.concrete_fields}


class _Json(JSONEncoder):
    """What Django hands a JSON value to, on its way into a column: ours is the faster one, and takes any text."""

    def __init__(self, **options: object) -> None:
        """Take no options: there are none to take."""

    def encode(self, o: object) -> str:
        """Write a value."""
        return dumps(o).decode()


def completions_write(records: Sequence[CompletionRecord]) -> None:
    """Insert the records, all or none; one that is there already stays as it is.

    A database that did not answer in time may have taken them all the same.

    One statement, which is a transaction of its own: each further one would hand the interpreter over to the event
    loop and wait for it to come back. And past the ORM, which makes an object of each row to take it apart again.
    """
    rows = [_row(record) for record in records]
    values = [value for row in rows for value in row.values()]
    if connection.vendor != "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(_insert(tuple(rows[0]), len(rows), "%s"), values)
        return
    # Past Django's cursor too: it looks for each %s, and makes a ? of it, every time.
    connection.ensure_connection()
    with connection.wrap_database_errors:
        connection.connection.execute(_insert(tuple(rows[0]), len(rows), "?"), values)


@lru_cache(maxsize=64)
def _insert(names: tuple[str, ...], rows: int, place: str) -> str:
    quote = connection.ops.quote_name
    columns = ", ".join(quote(_COLUMNS[name]) for name in names)
    places = f"({', '.join([place] * len(names))})"
    table, key = quote(Completion._meta.db_table), quote(_COLUMNS["id"])
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([places] * rows)} ON CONFLICT ({key}) DO NOTHING"


_SIZE = sum(
    (
        Coalesce(Length(Cast(name, TextField())), 0)
        for name in ("content", "reasoning_content", "refusal", "tool_calls")
    ),
    Value(0),
)
"""Characters of an answer."""


def completion_get(*, completion_id: str, user_id: int) -> Completion | None:
    """Return a user's completion; None if it is absent or another's."""
    if "\x00" in completion_id:
        # PostgreSQL has no word for it, and no id has one.
        return None
    return Completion.objects.filter(pk=completion_id, user_id=user_id).first()


def completion_find_by_key(*, user_id: int, idempotency_key: str) -> tuple[str, str] | None:
    """Return the id and the body's hash of what a key made in the last 24 hours; what failed has freed its key."""
    return (
        Completion.objects.filter(
            user_id=user_id,
            idempotency_key=idempotency_key,
            created_at__gte=datetime.now(UTC) - IDEMPOTENCY_KEPT,
        )
        .exclude(status=Completion.Status.FAILED)
        .order_by("-created_at")
        .values_list("id", "body_sha256")
        .first()
    )


def completion_list(
    *, user_id: int, limit: int, before: tuple[datetime, str] | None, most_characters: int
) -> tuple[list[Completion], bool]:
    """Return up to `limit` completions of a user, newest first, that were created before another (instant and id).

    Fewer, but one at the least, where the answers of more have over `most_characters` together: true with them then.
    """
    rows = Completion.objects.filter(user_id=user_id)
    if before is not None:
        created_at, completion_id = before
        rows = rows.filter(created_at__lt=created_at) | rows.filter(created_at=created_at, pk__lt=completion_id)
    rows = rows.order_by("-created_at", "-id")
    sized = list(rows.annotate(size=_SIZE).values_list("id", "size")[:limit])
    within = [size <= most_characters for size in accumulate(size for _, size in sized)]
    count = max(1, sum(within))
    found = list(rows.filter(pk__in=[completion_id for completion_id, _ in sized[:count]]))
    # They may have been deleted meanwhile, with their user.
    return found, bool(found) and count < len(sized)


def message_of(row: Completion) -> AssembledMessage:
    """Return the answer that a row keeps."""
    return AssembledMessage(
        content=row.content,
        reasoning_content=row.reasoning_content,
        refusal=row.refusal,
        tool_calls=tuple(row.tool_calls),
        finish_reason=row.finish_reason or None,
        logprobs=None,
    )


def usage_of(row: Completion) -> Usage | None:
    """Return the usage that a row keeps, None if none is known."""
    if row.usage_source == Completion.UsageSource.NONE:
        return None
    return Usage(
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cached_tokens=row.cached_tokens,
        reasoning_tokens=row.reasoning_tokens,
    )


def _row(record: CompletionRecord) -> dict[str, Any]:
    """Return the row by the model's fields, all of them, as the database's driver takes it."""
    ops = connection.ops
    usage = record.usage or _NO_USAGE
    message = record.message
    return {
        "id": record.id,
        "user": record.user_id,
        "request_id": record.request_id,
        "status": record.status,
        "provider": record.provider,
        "model": record.model,
        "finish_reason": message.finish_reason or "",
        "error_code": record.error_code,
        "content": _storable(message.content),
        "reasoning_content": _storable(message.reasoning_content),
        "refusal": _storable(message.refusal),
        "tool_calls": ops.adapt_json_value(_storable_json(list(message.tool_calls)), _Json),
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "usage_source": record.usage_source.value,
        "cost_nano_usd": record.cost_nano_usd,
        "attempts": ops.adapt_json_value(list(record.attempts), _Json),
        "include_usage": record.include_usage,
        "idempotency_key": record.idempotency_key,
        "body_sha256": record.body_sha256,
        "created_at": _instant(record.created_at),
        "finished_at": _instant(record.finished_at),
    }


def _instant(at_s: float) -> str | datetime:
    if connection.vendor == "sqlite":
        return utc_microseconds(at_s)
    return datetime.fromtimestamp(at_s, UTC)


def _storable(text: str | None) -> str | None:
    """Replace what a database text cannot hold: NUL, and halves of surrogate pairs that never met."""
    if text is None or ("\x00" not in text and text.isascii()):
        return text
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\x00", "\ufffd")


def _storable_json(value: Any) -> Any:
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, list):
        return [_storable_json(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable_json(item) for key, item in value.items()}
    return value

"""A caller's completions as a page: those that run and the rows, by when they began."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from apps.accounts.identity import Caller
from apps.chat.engine.generation import Generation
from apps.chat.presentation import completion_json
from apps.chat.runtime import get_supervisor
from apps.chat.store import StoredCompletion, completion_get, completion_list
from apps.llm.errors import InvalidRequest
from promptcraft.database import run_in_database

__all__ = ["MOST_CHARACTERS_OF_PAGE", "list_completions"]

MOST_CHARACTERS_OF_PAGE = 2 * 1024 * 1024


async def list_completions(*, caller: Caller, limit: int, after: str | None) -> dict[str, Any]:
    """Return a page in OpenAI's list shape; `next` is the `after` of the next page, or null.

    It has fewer than `limit` where the stored answers of more are over MOST_CHARACTERS_OF_PAGE together.

    Raises InvalidRequest if `after` is not the id of a completion of the caller's.
    """
    before = None if after is None else await _place(caller, after)
    found: dict[str, Generation | StoredCompletion] = {
        generation.order.id: generation
        for generation in get_supervisor().running_of(caller.user_id)
        if before is None or _place_of(generation) < before
    }
    rows, is_cut = await run_in_database(
        completion_list,
        user_id=caller.user_id,
        limit=limit + 1,
        before=before,
        most_characters=MOST_CHARACTERS_OF_PAGE,
    )
    for row in rows:
        # One that was running a moment ago may have been written meanwhile.
        found.setdefault(row.id, row)
    newest_first = sorted(found.values(), key=_place_of, reverse=True)
    if is_cut:
        # What runs and is older stands on the next page, behind the rows that are left out of this one.
        newest_first = [one for one in newest_first if _place_of(one) >= _place_of(rows[-1])]
    page = [await completion_json(one) for one in newest_first[:limit]]
    more = is_cut or len(newest_first) > limit
    last_id = page[-1]["id"] if page else None
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": last_id,
        "has_more": more,
        "next": last_id if more else None,
    }


async def _place(caller: Caller, completion_id: str) -> tuple[datetime, str]:
    one: Generation | StoredCompletion | None = get_supervisor().find(completion_id, caller.user_id)
    if one is None:
        one = await run_in_database(completion_get, completion_id=completion_id, user_id=caller.user_id)
    if one is None:
        raise InvalidRequest("`after` is not the id of a completion of yours.", param="after")
    return _place_of(one)


def _place_of(one: Generation | StoredCompletion) -> tuple[datetime, str]:
    """Return where a completion stands in the list: as its row says it, whether that is written or not."""
    if isinstance(one, Generation):
        return datetime.fromtimestamp(one.created_at, UTC), one.order.id
    return one.created_at, one.id

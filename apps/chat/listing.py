"""A caller's completions as a page: those that run, then the rows."""

from __future__ import annotations

from typing import Any

from apps.accounts.identity import Caller
from apps.chat.presentation import completion_json
from apps.chat.runtime import get_supervisor
from apps.chat.store import completion_list
from apps.llm.errors import InvalidRequest
from promptcraft.database import run_in_database

__all__ = ["list_completions"]


async def list_completions(*, caller: Caller, limit: int, after: str | None) -> dict[str, Any]:
    """Return a page in OpenAI's list shape; `next` is the `after` of the next page, or null.

    Raises InvalidRequest if `after` is not the id of a completion of the caller's.
    """
    page: list[dict[str, Any]] = []
    running = get_supervisor().running_of(caller.user_id)
    ids = [generation.order.id for generation in running]
    if after is None or after in ids:
        start = 0 if after is None else ids.index(after) + 1
        page = [completion_json(generation) for generation in running[start:]]
        after = None
    if len(page) <= limit:
        rows = await run_in_database(completion_list, user_id=caller.user_id, limit=limit + 1 - len(page), after=after)
        if rows is None:
            raise InvalidRequest("`after` is not the id of a completion of yours.", param="after")
        # A completion may have been written while the page was made.
        page += [completion_json(row) for row in rows if row.id not in ids]
    more = len(page) > limit
    page = page[:limit]
    last_id = page[-1]["id"] if page else None
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": last_id,
        "has_more": more,
        "next": last_id if more else None,
    }

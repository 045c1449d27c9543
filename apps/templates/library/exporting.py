"""An export on its way to the client: at once if it is small, else piece by piece, so that no template is in memory."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from functools import partial

from django.db import DatabaseError

from apps.accounts.identity import Caller
from apps.core.work_queue import user_share
from apps.llm.errors import PromptCraftError
from apps.templates import selectors
from apps.templates.library.portable import WRITERS, Writer, head_json, portable_version_json
from apps.templates.workload import WORKBENCH
from promptcraft.database import with_fresh_connections

__all__ = ["Export", "export_begin"]

logger = logging.getLogger("promptcraft.workbench")

PIECE_BYTES = 256 * 1024
"""After which a piece is sent. It ends with a version, and a version has at most some megabytes."""
_CHUNK_BYTES = 64 * 1024
"""What is sent at once: granian keeps some chunks of a slow reader's, whatever their size."""
_MOST_TRIES = 10
"""Of one piece, while the workbench has no thread for its user; each ends within 2 s."""
_BROKEN_OFF = b"\n\t[incomplete: the template was deleted, or the database failed, during the export\n"
"""No JSON and no YAML, so that nobody takes for the whole what is a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file that has begun."""

    slug: str
    media_type: str
    first: bytes
    """All of it, or its first piece."""
    rest: AsyncGenerator[bytes] | None
    """All of it again, as it is made; None if the first piece is all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    caller: Caller
    template: selectors.FoundTemplate
    writer: Writer
    hidden: int
    """How many of its first versions the caller may not see."""
    newest: int
    """The last version of the file: those that are made meanwhile are left out."""


def export_begin(*, caller: Caller, slug: str, form: str) -> Export:
    """Return the export of a template in one of `portable.WRITERS`. Raises NotFound."""
    template = selectors.template_find(caller=caller, slug=slug)
    described = selectors.template_describe(caller=caller, template=template)
    source = _Source(
        caller=caller,
        template=template,
        writer=WRITERS[form],
        hidden=selectors.first_visible(caller=caller, template=template) - 1,
        newest=described.newest,
    )
    head = head_json(described, hidden=source.hidden, may_publish=caller.is_staff)
    piece, last = _piece(source, source.hidden)
    first = source.writer.begin(head) + piece
    return Export(
        slug=template.slug,
        media_type=source.writer.media_type,
        first=first,
        rest=None if last is None else _stream(source, first, last),
    )


async def _stream(source: _Source, first: bytes, last: int) -> AsyncGenerator[bytes]:
    for chunk in _chunks(first):
        yield chunk
    after: int | None = last
    tries = 0
    while after is not None:
        work = partial(with_fresh_connections, partial(_piece, source, after))
        try:
            piece, after = await WORKBENCH.run(user_share(source.caller.user_id), work)
        except (DatabaseError, PromptCraftError) as error:
            tries += 1
            # What else the caller asks for may hold up the next piece.
            if isinstance(error, PromptCraftError) and error.retryable and tries < _MOST_TRIES:
                continue
            logger.warning("an export was broken off: %s", type(error).__name__)
            piece, after = _BROKEN_OFF, None
        tries = 0
        for chunk in _chunks(piece):
            yield chunk


def _chunks(piece: bytes) -> Iterator[bytes]:
    return (piece[at : at + _CHUNK_BYTES] for at in range(0, len(piece), _CHUNK_BYTES))


def _piece(source: _Source, after: int) -> tuple[bytes, int | None]:
    """Return the versions behind a number, as many as make up a piece, and the last one's number; None: it is all."""
    parts: list[bytes] = []
    size = 0
    while size < PIECE_BYTES:
        version = selectors.version_next(caller=source.caller, template=source.template, after=after)
        if version is None:
            return b"".join([*parts, _BROKEN_OFF]), None
        parts.append(source.writer.version(portable_version_json(version, hidden=source.hidden)))
        size += len(parts[-1])
        after = version.number
        if after >= source.newest:
            return b"".join([*parts, source.writer.end()]), None
    return b"".join(parts), after

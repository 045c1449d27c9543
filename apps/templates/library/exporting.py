"""An export on its way to the client: at once if it is small, else piece by piece, so that no template is in memory."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from functools import partial

from django.db import DatabaseError

from apps.accounts.identity import Caller
from apps.core.memory_shares import SharedMemory
from apps.core.work_queue import user_share
from apps.llm.errors import PromptCraftError
from apps.templates import selectors
from apps.templates.library.portable import WRITERS, Writer, head_json, portable_version_json
from apps.templates.workload import WORKBENCH
from promptcraft.database import with_fresh_connections

__all__ = ["UNREAD", "Export", "export_begin"]

logger = logging.getLogger("promptcraft.workbench")

PIECE_BYTES = 256 * 1024
"""After which a piece is sent. It ends with a version, and a version has at most some megabytes."""
_CHUNK_BYTES = 64 * 1024
"""What is sent at once: granian keeps some chunks of a slow reader's, whatever their size."""
_MOST_TRIES = 10
"""Of one piece, while the workbench has no thread for its user; each ends within 2 s."""
UNREAD = SharedMemory(64 * 1024 * 1024)
"""Of pieces that wait for their readers, shared by users; an export that has to make room is broken off."""
_BROKEN_OFF = (
    b"\n\t[incomplete: the template was deleted, the database failed, or the memory for slow readers was full\n"
)
"""No JSON and no YAML, so that nobody takes for the whole what is a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file that has begun."""

    slug: str
    media_type: str
    content: bytes | AsyncGenerator[bytes]
    """All of it if it is small, else what makes it piece by piece."""


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
        content=first if last is None else _stream(source, _Piece(first), last),
    )


class _Piece:
    """What is written next, until it is read or has to make room."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def let_go(self) -> None:
        self.data = b""

    def chunks(self) -> Iterator[bytes]:
        at = 0
        while chunk := self.data[at : at + _CHUNK_BYTES]:
            yield chunk
            at += _CHUNK_BYTES


async def _stream(source: _Source, piece: _Piece, last: int) -> AsyncGenerator[bytes]:
    # Opened here: of a generator that is never begun nothing is closed.
    held = UNREAD.open(source.caller.user_id, piece.let_go)
    try:
        held.hold(len(piece.data))
        after: int | None = last
        while True:
            for chunk in piece.chunks():
                yield chunk
            if held.given_up:
                logger.warning("an export made room for others")
                yield _BROKEN_OFF
                return
            if after is None:
                return
            piece.data, after = await _next_piece(source, after)
            held.hold(len(piece.data))
    finally:
        held.close()


async def _next_piece(source: _Source, after: int) -> tuple[bytes, int | None]:
    """Have the next piece made, in its turn."""
    tries = 0
    work = partial(with_fresh_connections, partial(_piece, source, after))
    while True:
        try:
            return await WORKBENCH.run(user_share(source.caller.user_id), work)
        except (DatabaseError, PromptCraftError) as error:
            tries += 1
            # What else the caller asks for may hold up the next piece.
            if not (isinstance(error, PromptCraftError) and error.retryable and tries < _MOST_TRIES):
                logger.warning("an export was broken off: %s", type(error).__name__)
                return _BROKEN_OFF, None


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

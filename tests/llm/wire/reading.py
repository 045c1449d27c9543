"""Shorthand of the tests of the wire."""

from __future__ import annotations

from collections.abc import Iterable

from apps.llm.wire.openai import AssembledMessage, assembling
from apps.llm.wire.sse import Decoder


def decode(pieces: list[bytes], **options) -> list[bytes]:
    decoder = Decoder(**options)
    return [event for piece in pieces for event in decoder.feed(piece)]


def assembled(parts: Iterable[tuple[str, bytes]]) -> AssembledMessage:
    steps = assembling(parts)
    while True:
        try:
            next(steps)
        except StopIteration as whole:
            return whole.value  # type: ignore[no-any-return]

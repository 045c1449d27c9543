"""Shorthand of the decoder tests."""

from __future__ import annotations

from apps.llm.wire.sse import Decoder


def decode(pieces: list[bytes], **options) -> list[bytes]:
    decoder = Decoder(**options)
    return [event for piece in pieces for event in decoder.feed(piece)]

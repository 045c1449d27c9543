"""What provider tests ask with: requests parsed by the real parser, and a sink that keeps what it is fed."""

from __future__ import annotations

import asyncio
from typing import Any

from apps.llm.providers import DIALECTS
from apps.llm.providers.base import Call, Target
from apps.llm.wire.json import dumps
from apps.llm.wire.openai import CompletionRequest, parse_request

__all__ = ["USER_HASH", "Kept", "body_of", "call_of", "request_of", "target_of"]

USER_HASH = "0123456789abcdef0123456789abcdef"
_MESSAGES = [{"role": "user", "content": "How tall is a lighthouse?"}]


def request_of(**fields: Any) -> CompletionRequest:
    return parse_request(dumps({"messages": _MESSAGES, **fields}))


def target_of(vendor: str, model: str | None = None) -> Target:
    dialect = DIALECTS[vendor]
    return dialect.target(model or dialect.default_model)


def call_of(target: Target, scenario: str | None = None, completion_id: str = "chatcmpl-1", **fields: Any) -> Call:
    return Call(
        request=request_of(**fields),
        target=target,
        completion_id=completion_id,
        user_hash=USER_HASH,
        scenario=scenario,
    )


def body_of(vendor: str, model: str | None = None, **fields: Any) -> dict[str, Any]:
    return DIALECTS[vendor].body(call_of(target_of(vendor, model), **fields))


class Kept:
    """A sink that keeps everything, and raises `error`, if given, once it has been fed `after` times."""

    def __init__(self, error: Exception | None = None, after: int = 1) -> None:
        self.data = b""
        self.feeds = 0
        self.fed = asyncio.Event()
        self._error = error
        self._after = after

    def feed(self, data: bytes) -> None:
        self.data += data
        self.feeds += 1
        self.fed.set()
        if self._error is not None and self.feeds >= self._after:
            raise self._error

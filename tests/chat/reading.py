"""Bodies as they are read, for tests that look at them and hold none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from apps.chat import body as bodies
from apps.chat.body import Body

__all__ = ["read_body"]


async def read_body(scope: Mapping[str, Any], receive: Any, *, images: bool = True) -> Body | None:
    """Return a body that is let go of."""
    body = await bodies.read_body(scope, receive, images=images)
    if body is None:
        return None
    copied = msgspec.structs.replace(body, data=bytes(body.data), held=None)
    body.let_go()
    return copied

"""What schemathesis does before each of its requests; `schemathesis.toml` names this module."""

from __future__ import annotations

import itertools
from typing import Any

import schemathesis

__all__: list[str] = []


_KEY = "Idempotency-Key"
_numbers = itertools.count()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Take away what makes another header be ignored, whatever it says: a repeated key, an event id in the query."""
    headers = case.headers or {}
    if _KEY in headers and "X-Mock-Scenario" in headers:
        headers[_KEY] = f"{headers[_KEY]}-{next(_numbers)}"[-255:]
    if "Last-Event-ID" in headers:
        (case.query or {}).pop("after", None)

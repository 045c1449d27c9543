"""How many log-ins may fail, and how many registrations may be tried, in a minute.

Counted by django-ratelimit in fixed windows: twice a limit may fit around the edge of two. Names are counted without
case and as digests; addresses as `client_network` gives them. What is counted lives in the default cache, whose own
bound is the bound here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django_ratelimit.core import get_usage

from apps.llm.errors import Code, RateLimited, ServiceUnavailable

__all__ = [
    "FAILURES_OF_ADDRESS",
    "FAILURES_OF_NAME",
    "REGISTRATIONS_OF_ADDRESS",
    "AttemptLimit",
    "attempt_count",
    "attempts_check",
    "name_key",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLimit:
    """One kind of attempt: `rate` of them are let through, for each key."""

    group: str
    rate: str
    message: str


FAILURES_OF_NAME = AttemptLimit(
    group="accounts.failures_of_name",
    rate="5/m",
    message="Too many failed log-ins for this name. Wait before trying again.",
)
FAILURES_OF_ADDRESS = AttemptLimit(
    group="accounts.failures_of_address",
    rate="20/m",
    message="Too many failed log-ins from this address. Wait before trying again.",
)
REGISTRATIONS_OF_ADDRESS = AttemptLimit(
    group="accounts.registrations_of_address",
    rate="20/m",
    message="Too many registrations from this address. Wait before trying again.",
)


def attempts_check(limit: AttemptLimit, request: HttpRequest, key: str) -> None:
    """Raise `RateLimited` if the limit is used up for `key`; count nothing."""
    usage = _usage(limit, request, key, increment=False)
    if usage is not None and usage["count"] >= usage["limit"]:
        raise _rate_limited(limit, usage)


def attempt_count(limit: AttemptLimit, request: HttpRequest, key: str) -> None:
    """Count one attempt for `key`."""
    _usage(limit, request, key, increment=True)


def name_key(username: str) -> str:
    """Return what a name is counted under, whether or not a user has it."""
    return hashlib.sha256(username.casefold().encode()).hexdigest()


def _rate_limited(limit: AttemptLimit, usage: dict[str, Any]) -> RateLimited:
    # The window is still counted in its own last second, so it is over one second after what is left of it.
    return RateLimited(limit.message, retry_after_s=usage["time_left"] + 1)


def _usage(limit: AttemptLimit, request: HttpRequest, key: str, *, increment: bool) -> dict[str, Any] | None:
    usage: dict[str, Any] | None = get_usage(
        request, group=limit.group, key=lambda _group, _request: key, rate=limit.rate, increment=increment
    )
    if usage is not None and usage["limit"] == 0:
        # The cache did not answer; an unlimited guesser would be worse than a refused user.
        raise ServiceUnavailable("Log-ins cannot be checked at the moment. Try again soon.", code=Code.OVERLOADED)
    return usage

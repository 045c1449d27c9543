"""What an upstream says when it refuses, read without trusting a byte of it.

A refusal arrives as an HTTP status with a body that may be anything, or as an error object inside a 200. Its
words are compared with known ones and then dropped: they may hold the end of a key, a host name or another
tenant's id.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from apps.llm.errors import Failure

__all__ = ["Refusal", "failure_of_status", "known_field", "read_refusal", "read_retry_after"]

# Enough for the phrases that are looked for; a provider may echo a whole prompt.
_MESSAGE_CHARS = 4096
_FIELD = re.compile(r"[a-z_]+")
_QUOTED_FIELD = re.compile(r"[\"'`]([a-z_]{1,32})(?![a-z_])")
_REQUEST_FIELDS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "reasoning_effort",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "store",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "verbosity",
        "web_search_options",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error object's parts. Empty strings stand for what it does not say."""

    status: int | None
    """None for an error event inside a 200."""
    code: str = ""
    """Vendors send numbers, or numbers as text; here it is always text."""
    type: str = ""
    param: str | None = None
    """A field of our own request format, or None."""
    message: str = field(default="", repr=False)
    """Lower-cased and bounded. For comparison only: it is never shown, logged or raised."""
    retry_after_s: float | None = None


def read_refusal(document: object, *, status: int | None, retry_after_s: float | None = None) -> Refusal:
    """Read a decoded error body, an `error` object or anything else; what is not there stays empty."""
    if isinstance(document, list) and document:
        document = document[0]
    error = document
    if isinstance(document, Mapping) and document.get("error"):
        error = document["error"]
    if isinstance(error, str):
        return Refusal(status=status, message=_lowered(error), retry_after_s=retry_after_s)
    if not isinstance(error, Mapping):
        return Refusal(status=status, retry_after_s=retry_after_s)
    message = _lowered(error.get("message") or error.get("msg"))
    return Refusal(
        status=status,
        code=_text(error.get("code")),
        type=_text(error.get("type")),
        param=known_field(error.get("param")) or _quoted_field(message),
        message=message,
        retry_after_s=retry_after_s,
    )


def known_field(param: Any) -> str | None:
    """Return the request field that a `param` such as `messages.[2].role` begins with, None if it is not ours."""
    if not isinstance(param, str):
        return None
    match = _FIELD.match(param)
    return match.group() if match and match.group() in _REQUEST_FIELDS else None


def _quoted_field(message: str) -> str | None:
    """Return the first field of ours that a message quotes, as in `Unsupported parameter: 'stop'`."""
    quoted = (match.group(1) for match in _QUOTED_FIELD.finditer(message))
    return next((name for name in quoted if name in _REQUEST_FIELDS), None)


def failure_of_status(status: int) -> Failure:
    """Say what a status other than 200 means when its body does not say more."""
    match status:
        case 400 | 413 | 422:
            return Failure.REQUEST_REJECTED
        case 401 | 403:
            return Failure.KEY_REFUSED
        case 402:
            return Failure.OUT_OF_FUNDS
        case 404:
            return Failure.MODEL_NOT_FOUND
        case 408 | 409 | 425:
            return Failure.SERVER_ERROR
        case 429:
            return Failure.RATE_LIMITED
        case 503 | 529:
            return Failure.OVERLOADED
    # The remaining 4xx and all redirects speak of how we asked or of what stands in between, never of the client.
    return Failure.SERVER_ERROR if status >= 500 else Failure.BAD_RESPONSE


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `retry-after-ms` or `retry-after` (seconds or an HTTP date) asks for.

    None if neither does in a way that can be read, 0.0 for a date that has passed. Over 120 s means that the
    caller should not try again; the number is returned as it is.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value)[:64]


def _lowered(value: Any) -> str:
    return value[:_MESSAGE_CHARS].lower() if isinstance(value, str) else ""

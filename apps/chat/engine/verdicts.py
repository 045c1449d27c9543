"""From how attempts failed to what the client is told."""

from __future__ import annotations

import math
from collections.abc import Sequence

from apps.llm.errors import (
    TIMEOUTS,
    ChainFailed,
    Code,
    FailedAttempt,
    Failure,
    InvalidRequest,
    ProviderError,
)

__all__ = ["clients_fault", "interrupted", "none_answered"]


def clients_fault(error: ProviderError, model: str) -> InvalidRequest:
    """Say that a provider refused the request itself, in our words."""
    match error.failure:
        case Failure.CONTEXT_LENGTH_EXCEEDED:
            return InvalidRequest(
                "The messages are longer than the model's context. Shorten them, or name a model with more.",
                code=Code.CONTEXT_LENGTH_EXCEEDED,
                param="messages",
            )
        case Failure.CONTENT_FILTERED:
            return InvalidRequest(
                "The provider's content filter refused the messages. Rephrase them.",
                code=Code.CONTENT_FILTERED,
                param="messages",
            )
        case Failure.REASONING_MISSING:
            return InvalidRequest(
                "The model wants back what it thought before it called a tool. Send each assistant message with "
                "`tool_calls` together with the `reasoning_content` that came with it, or switch thinking off with "
                '`"thinking": {"type": "disabled"}`.',
                code=Code.REJECTED_BY_PROVIDER,
                param="messages",
            )
        case _:
            told = (
                "the request as invalid. Check its fields against the model's documentation"
                if error.param is None
                else f"`{error.param}`. Change it, leave it out"
            )
            return InvalidRequest(
                f"{model} rejected {told}, or name another model.",
                code=Code.REJECTED_BY_PROVIDER,
                param=error.param,
            )


def interrupted(error: ProviderError, passed_over: Sequence[FailedAttempt]) -> ChainFailed:
    """Say that an answer broke off after its first content."""
    return ChainFailed(
        f"The answer broke off ({error.failure.value}). What was received is kept; "
        "a new request starts, and bills, a new answer.",
        code=Code.STREAM_INTERRUPTED,
        attempts=passed_over,
        may_have_billed=True,
    )


def none_answered(passed_over: Sequence[FailedAttempt], retry_after_s: float | None) -> ChainFailed:
    """Say that every provider failed before any content. `retry_after_s` is the shortest pause that one asked for."""
    billed = any(ProviderError(one.failure).may_have_billed for one in passed_over)
    if passed_over and all(one.failure in TIMEOUTS for one in passed_over):
        return ChainFailed(
            "No provider began to answer in time. Try again later, or ask for less.",
            code=Code.FIRST_TOKEN_TIMEOUT,
            attempts=passed_over,
            may_have_billed=billed,
        )
    return ChainFailed(
        "Every provider failed; `attempts` says how. Try again later.",
        attempts=passed_over,
        may_have_billed=billed,
        retry_after_s=None if retry_after_s is None else max(1, math.ceil(retry_after_s)),
    )

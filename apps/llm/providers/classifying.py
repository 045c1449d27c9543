"""What a vendor's refusal means: one of our failures, by its own words where it has them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from apps.llm.errors import Failure, ProviderError
from apps.llm.providers.refusal import Refusal, failure_of_status

__all__ = ["classify"]

# What vendors call the same trouble. A vendor's own table is asked first.
_CODES: Mapping[str, Failure] = {
    "authentication_error": Failure.KEY_REFUSED,
    "billing_hard_limit_reached": Failure.OUT_OF_FUNDS,
    "billing_not_active": Failure.OUT_OF_FUNDS,
    "content_filter": Failure.CONTENT_FILTERED,
    "content_policy_violation": Failure.CONTENT_FILTERED,
    "context_length_exceeded": Failure.CONTEXT_LENGTH_EXCEEDED,
    "credit_balance_exhausted": Failure.OUT_OF_FUNDS,
    "insufficient_quota": Failure.OUT_OF_FUNDS,
    "invalid_api_key": Failure.KEY_REFUSED,
    "model_not_found": Failure.MODEL_NOT_FOUND,
    "overloaded_error": Failure.OVERLOADED,
    "permission_error": Failure.KEY_REFUSED,
    "rate_limit_error": Failure.RATE_LIMITED,
    "rate_limit_exceeded": Failure.RATE_LIMITED,
    "server_error": Failure.SERVER_ERROR,
    "server_is_overloaded": Failure.OVERLOADED,
    "service_unavailable_error": Failure.OVERLOADED,
    "slow_down": Failure.RATE_LIMITED,
}
# An HTTP status says these as well, and more exactly.
_STATUS_SAYS = frozenset({Failure.KEY_REFUSED, Failure.OVERLOADED, Failure.RATE_LIMITED, Failure.SERVER_ERROR})
# Phrases count only where a vendor has no better word: in a plain rejection and in an error event.
_PHRASES: Mapping[str, Failure] = {"maximum context length": Failure.CONTEXT_LENGTH_EXCEEDED}
_PHRASE_STATUSES = frozenset({None, 400, 404, 413, 422})
_STATUS = re.compile(r"[45]\d\d")


def classify(
    refusal: Refusal, error_codes: Mapping[str, Failure], error_phrases: Mapping[str, Failure]
) -> ProviderError:
    """Say what a refusal means: by code, by type, by a known phrase, by status, in this order.

    The two tables are the vendor's own: by `error.code`, and by a lower-case phrase of `error.message`.
    """
    failure = (
        error_codes.get(refusal.code)
        or _CODES.get(refusal.code)
        or _by_type(refusal)
        or _by_phrase(refusal, error_phrases)
        or _by_number(refusal)
    )
    if refusal.status is None and failure in (Failure.SERVER_ERROR, Failure.OVERLOADED, Failure.BAD_RESPONSE):
        # Inside a 200 the prompt has been accepted and perhaps billed, as STREAM_ERROR says and these do not.
        failure = Failure.STREAM_ERROR
    return ProviderError(
        failure,
        retry_after_s=refusal.retry_after_s,
        param=refusal.param,
        status=refusal.status,
        detail="error event" if refusal.status is None else f"HTTP {refusal.status}",
    )


def _by_phrase(refusal: Refusal, error_phrases: Mapping[str, Failure]) -> Failure | None:
    if not refusal.message or refusal.status not in _PHRASE_STATUSES:
        return None
    for phrases in (error_phrases, _PHRASES):
        for phrase, failure in phrases.items():
            if phrase in refusal.message:
                return failure
    return None


def _by_type(refusal: Refusal) -> Failure | None:
    failure = _CODES.get(refusal.type)
    return None if refusal.status is not None and failure in _STATUS_SAYS else failure


def _by_number(refusal: Refusal) -> Failure:
    if refusal.status is not None:
        return failure_of_status(refusal.status)
    # Relays in front of a vendor put the HTTP status that they got into `code`.
    if _STATUS.fullmatch(refusal.code):
        return failure_of_status(int(refusal.code))
    return Failure.STREAM_ERROR

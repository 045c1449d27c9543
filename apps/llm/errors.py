"""Every error PromptCraft can end a request with, and every way a provider can fail.

    PromptCraftError                    code · type · http_status · retryable
    ├── InvalidRequest                  400  the client's own mistake; `param` names the field
    ├── AuthenticationFailed            401
    ├── BudgetExceeded                  402
    ├── Forbidden                       403
    ├── NotFound                        404
    ├── MethodNotAllowed                405
    ├── RequestTimeout                  408
    ├── Conflict                        409
    ├── Gone                            410
    ├── BodyTooLarge                    413
    ├── UnsupportedMediaType            415
    ├── RateLimited                     429  `retry_after_s` is true
    ├── HeadTooLarge                    431
    ├── InternalError                   500
    ├── ChainFailed                     502, 504  every provider tried is in `attempts`
    └── ServiceUnavailable              503

    ProviderError                       one attempt's end; the chain decides what it means

A `PromptCraftError` is what clients see: its message is ours, never a provider's. A `ProviderError`
never leaves the engine.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "AuthenticationFailed",
    "BodyTooLarge",
    "BreakerVerdict",
    "BudgetExceeded",
    "ChainFailed",
    "Code",
    "Conflict",
    "FailedAttempt",
    "Failure",
    "Forbidden",
    "Gone",
    "HeadTooLarge",
    "InternalError",
    "InvalidRequest",
    "MethodNotAllowed",
    "NotFound",
    "PromptCraftError",
    "ProviderError",
    "RateLimited",
    "RequestTimeout",
    "ServiceUnavailable",
    "UnsupportedMediaType",
    "UnsupportedTransferCoding",
]


class Code(enum.StrEnum):
    """The closed list of `error.code` values. docs/errors.md explains each."""

    INVALID_JSON = "invalid_json"
    MISSING_FIELD = "missing_field"
    INVALID_VALUE = "invalid_value"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    CONTENT_FILTERED = "content_filtered"
    REJECTED_BY_PROVIDER = "rejected_by_provider"
    MISSING_TOKEN = "missing_token"
    INVALID_TOKEN = "invalid_token"
    TOKEN_EXPIRED = "token_expired"
    INVALID_CREDENTIALS = "invalid_credentials"
    BUDGET_EXCEEDED = "budget_exceeded"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    MODEL_NOT_FOUND = "model_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    IDEMPOTENCY_EXPIRED = "idempotency_expired"
    ALREADY_FINISHED = "already_finished"
    ALREADY_EXISTS = "already_exists"
    NO_LONGER_KEPT = "no_longer_kept"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_STREAMS = "too_many_streams"
    HEAD_TOO_LARGE = "head_too_large"
    INTERNAL_ERROR = "internal_error"
    UNSUPPORTED_TRANSFER_CODING = "unsupported_transfer_coding"
    ALL_PROVIDERS_FAILED = "all_providers_failed"
    NO_PROVIDER = "no_provider"
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"
    STREAM_INTERRUPTED = "stream_interrupted"
    OVERLOADED = "overloaded"
    DRAINING = "draining"


class PromptCraftError(Exception):
    """The base of everything a client may be told."""

    http_status: int = 500
    type: str = "api_error"
    default_code: Code = Code.INTERNAL_ERROR
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        code: Code | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> Mapping[str, str]:
        """The response headers this error asks for, besides those of every answer."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


class InvalidRequest(PromptCraftError):
    """The request is wrong in a way only its sender can mend."""

    http_status = 400
    type = "invalid_request_error"
    default_code = Code.INVALID_VALUE


class AuthenticationFailed(PromptCraftError):
    """The request does not say who sends it, or says it wrongly."""

    http_status = 401
    type = "authentication_error"
    default_code = Code.INVALID_TOKEN

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 6750 asks for the scheme on every 401."""
        return {"WWW-Authenticate": "Bearer"}


class BudgetExceeded(PromptCraftError):
    """The user's own budget is spent."""

    http_status = 402
    type = "insufficient_quota"
    default_code = Code.BUDGET_EXCEEDED


class Forbidden(PromptCraftError):
    """The caller is known and may not do this."""

    http_status = 403
    type = "permission_error"
    default_code = Code.FORBIDDEN


class NotFound(PromptCraftError):
    """Nothing is there, or it is another user's: the two look the same."""

    http_status = 404
    type = "not_found_error"
    default_code = Code.NOT_FOUND


class MethodNotAllowed(PromptCraftError):
    """The path exists, the method does not."""

    http_status = 405
    type = "invalid_request_error"
    default_code = Code.METHOD_NOT_ALLOWED

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"This path answers {', '.join(allowed)} only.")
        self.allowed = tuple(allowed)

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 9110 asks for Allow on every 405."""
        return {"Allow": ", ".join(self.allowed)}


class RequestTimeout(PromptCraftError):
    """The request did not arrive whole in time."""

    http_status = 408
    type = "invalid_request_error"
    default_code = Code.REQUEST_TIMEOUT
    retryable = True


class Conflict(PromptCraftError):
    """The request contradicts what has happened already."""

    http_status = 409
    type = "conflict_error"
    default_code = Code.ALREADY_FINISHED

    @property
    def headers(self) -> Mapping[str, str]:
        """OpenAI's clients try a 409 again unless they are told not to."""
        return {"x-should-retry": "false"}


class Gone(PromptCraftError):
    """It existed and is no longer kept."""

    http_status = 410
    type = "not_found_error"
    default_code = Code.NO_LONGER_KEPT


class BodyTooLarge(PromptCraftError):
    """The body is over its bound."""

    http_status = 413
    type = "invalid_request_error"
    default_code = Code.BODY_TOO_LARGE


class UnsupportedMediaType(PromptCraftError):
    """The body is not JSON."""

    http_status = 415
    type = "invalid_request_error"
    default_code = Code.UNSUPPORTED_MEDIA_TYPE


class RateLimited(PromptCraftError):
    """A limit of the caller's is reached; `retry_after_s` (whole seconds, at least 1) says until when."""

    http_status = 429
    type = "rate_limit_error"
    default_code = Code.RATE_LIMITED
    retryable = True

    def __init__(self, message: str, *, retry_after_s: int, code: Code | None = None) -> None:
        super().__init__(message, code=code, retry_after_s=max(1, retry_after_s))


class HeadTooLarge(PromptCraftError):
    """The path, the query and the headers are over their bounds."""

    http_status = 431
    type = "invalid_request_error"
    default_code = Code.HEAD_TOO_LARGE

    def __init__(
        self, message: str = "The path, the query and the headers are too long together. Send less of them."
    ) -> None:
        super().__init__(message)


class InternalError(PromptCraftError):
    """A fault of ours. Details are in the log, under the request id."""

    http_status = 500
    retryable = True

    def __init__(self, message: str = "An internal error occurred. Quote the request id to the operator.") -> None:
        super().__init__(message)


class UnsupportedTransferCoding(PromptCraftError):
    """The body is sent in a way that is not read here."""

    http_status = 501
    type = "invalid_request_error"
    default_code = Code.UNSUPPORTED_TRANSFER_CODING


class ServiceUnavailable(PromptCraftError):
    """The process is full or about to leave, or the database is away; `may_have_billed` forbids a blind retry."""

    http_status = 503
    type = "service_unavailable"
    default_code = Code.OVERLOADED

    def __init__(self, message: str, *, code: Code, retry_after_s: int = 1, may_have_billed: bool = False) -> None:
        super().__init__(message, code=code, retry_after_s=max(1, retry_after_s))
        self.retryable = not may_have_billed

    @property
    def headers(self) -> Mapping[str, str]:
        """OpenAI's clients obey `x-should-retry`."""
        return dict(super().headers) | ({} if self.retryable else {"x-should-retry": "false"})


class BreakerVerdict(enum.Enum):
    """What an attempt's end says about its provider's health."""

    NOTHING = "nothing"
    """The client's fault, or a limit: says nothing."""
    FAILURE = "failure"
    OPEN_NOW = "open_now"
    """Trying again is known to be useless (out of money)."""


class Failure(enum.StrEnum):
    """Why an attempt failed: a closed list that clients, logs and health may show."""

    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"
    GAP_TIMEOUT = "gap_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    RATE_LIMITED = "rate_limited"
    OUT_OF_FUNDS = "out_of_funds"
    KEY_REFUSED = "key_refused"
    MODEL_NOT_FOUND = "model_not_found"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    BAD_RESPONSE = "bad_response"
    """Not an event stream, a broken line, an event over its bound."""
    STREAM_CUT = "stream_cut"
    """The connection ended, or `[DONE]` came, before a finish_reason."""
    STREAM_ERROR = "stream_error"
    """An error event inside a 200."""
    REQUEST_REJECTED = "request_rejected"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    CONTENT_FILTERED = "content_filtered"
    REASONING_MISSING = "reasoning_missing"
    """A turn of the history lacks the reasoning that the model wrote for it."""
    BREAKER_OPEN = "breaker_open"
    """Not tried: its circuit breaker is open."""


_CLIENTS_FAULT = frozenset(
    {
        Failure.REQUEST_REJECTED,
        Failure.CONTEXT_LENGTH_EXCEEDED,
        Failure.CONTENT_FILTERED,
        Failure.REASONING_MISSING,
    }
)
_UNBILLED = frozenset(
    {
        Failure.CONNECT_FAILED,
        Failure.CONNECT_TIMEOUT,
        Failure.RATE_LIMITED,
        Failure.OUT_OF_FUNDS,
        Failure.KEY_REFUSED,
        Failure.MODEL_NOT_FOUND,
        Failure.SERVER_ERROR,
        Failure.OVERLOADED,
        Failure.BREAKER_OPEN,
        *_CLIENTS_FAULT,
    }
)
TIMEOUTS = frozenset({Failure.CONNECT_TIMEOUT, Failure.FIRST_TOKEN_TIMEOUT, Failure.GAP_TIMEOUT, Failure.TOTAL_TIMEOUT})


class ProviderError(Exception):
    """One attempt at one provider failed.

    `retry_after_s` is what the provider asked for, None if it did not say. `param` is the name of a request
    field of ours that it complained of, taken from a closed list, never its own words. `is_too_long` says that nothing
    but the length of the answer was wrong. `detail` is for tests and the debug log: it holds no text from the provider.
    """

    def __init__(
        self,
        failure: Failure,
        *,
        retry_after_s: float | None = None,
        param: str | None = None,
        status: int | None = None,
        is_too_long: bool = False,
        detail: str = "",
    ) -> None:
        super().__init__(failure.value if not detail else f"{failure.value}: {detail}")
        self.failure = failure
        self.is_too_long = is_too_long
        self.retry_after_s = retry_after_s
        self.param = param
        self.status = status

    @property
    def clients_fault(self) -> bool:
        """Whether no other provider would do better: it comes back to the client as a 400."""
        return self.failure in _CLIENTS_FAULT

    @property
    def may_have_billed(self) -> bool:
        """Whether the provider may have charged for this attempt."""
        return self.failure not in _UNBILLED

    @property
    def breaker_verdict(self) -> BreakerVerdict:
        """What the provider's circuit breaker is to make of it."""
        # A client may have invented the model, asked for the length, or written what a filter in front of the provider
        # answers with 403: it must not close the provider to everybody.
        if self.clients_fault or self.is_too_long or self.status == 403:
            return BreakerVerdict.NOTHING
        if self.failure in (Failure.RATE_LIMITED, Failure.MODEL_NOT_FOUND):
            return BreakerVerdict.NOTHING
        if self.failure is Failure.OUT_OF_FUNDS:
            return BreakerVerdict.OPEN_NOW
        return BreakerVerdict.FAILURE


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """A provider that was asked, or passed over, and why it did not answer."""

    provider: str
    model: str
    failure: Failure


class ChainFailed(PromptCraftError):
    """No provider answered. `attempts` lists each and why; `may_have_billed` forbids a blind retry."""

    http_status = 502
    type = "provider_error"
    default_code = Code.ALL_PROVIDERS_FAILED
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        code: Code | None = None,
        attempts: Sequence[FailedAttempt] = (),
        may_have_billed: bool = False,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message, code=code, retry_after_s=retry_after_s)
        self.attempts = tuple(attempts)
        self.may_have_billed = may_have_billed
        self.retryable = not may_have_billed and code is not Code.NO_PROVIDER
        if code is Code.FIRST_TOKEN_TIMEOUT:
            self.http_status, self.type = 504, "provider_timeout"

    @property
    def headers(self) -> Mapping[str, str]:
        """OpenAI's clients obey `x-should-retry`."""
        base = dict(super().headers)
        if not self.retryable:
            base["x-should-retry"] = "false"
        return base

"""Errors: one envelope, and for each status an answer whose examples are made by the code that makes the errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.chat.envelope import envelope
from apps.llm.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    BudgetExceeded,
    ChainFailed,
    Code,
    Conflict,
    FailedAttempt,
    Failure,
    Forbidden,
    Gone,
    HeadTooLarge,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PromptCraftError,
    RateLimited,
    RequestTimeout,
    ServiceUnavailable,
    UnsupportedMediaType,
    UnsupportedTransferCoding,
)
from promptcraft.schema.headers import LIMIT_HEADERS, header_refs
from promptcraft.schema.notation import Schema, array, flag, optional, record, ref, text, whole, words

__all__ = ["RESPONSES", "SCHEMAS", "error_refs"]

REQUEST_ID = "req_5d41402abc4b2a76b9719d91"
_REFUSED = FailedAttempt(provider="deepseek", model="deepseek-flash", failure=Failure.RATE_LIMITED)
_DOWN = FailedAttempt(provider="zai", model="glm-4-32b-0414-128k", failure=Failure.CONNECT_FAILED)
_SLOW = FailedAttempt(provider="deepseek", model="deepseek-flash", failure=Failure.FIRST_TOKEN_TIMEOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What one status means, and an error for each code that comes with it."""

    name: str
    meaning: str
    errors: Sequence[PromptCraftError]


_INVALID = _Answer(
    name="InvalidRequest",
    meaning="The request is wrong in a way only its sender can mend; `param` names the field.",
    errors=(
        InvalidRequest("The body is not valid JSON.", code=Code.INVALID_JSON),
        InvalidRequest(
            "`messages` is missing. Send an array with at least one message.",
            code=Code.MISSING_FIELD,
            param="messages",
        ),
        InvalidRequest("`temperature` must be a number from 0 to 2, not 3.", param="temperature"),
        InvalidRequest(
            "No available model can serve `tools`. Leave it out, or name a model that can.",
            code=Code.UNSUPPORTED_PARAMETER,
            param="tools",
        ),
        InvalidRequest(
            "The messages are longer than the model's context. Shorten them, or name a model with more.",
            code=Code.CONTEXT_LENGTH_EXCEEDED,
            param="messages",
        ),
        InvalidRequest(
            "The provider's content filter refused the messages. Rephrase them.",
            code=Code.CONTENT_FILTERED,
            param="messages",
        ),
        InvalidRequest(
            "The provider rejected the request as invalid. Check the parameters against the model's documentation.",
            code=Code.REJECTED_BY_PROVIDER,
        ),
    ),
)
_UNKNOWN_CALLER = _Answer(
    name="AuthenticationFailed",
    meaning="The request does not say who sends it, or says it wrongly.",
    errors=(
        AuthenticationFailed(
            "No token was sent. Add the header `Authorization: Bearer <access token or API key>`.",
            code=Code.MISSING_TOKEN,
        ),
        AuthenticationFailed("The token is not valid. Log in again."),
        AuthenticationFailed("The token has expired. Get a new one.", code=Code.TOKEN_EXPIRED),
        AuthenticationFailed("The name or the password is wrong.", code=Code.INVALID_CREDENTIALS),
    ),
)
_ABSENT = _Answer(
    name="NotFound",
    meaning="Nothing is there, or it is another user's: the two look the same. Or no provider serves the model.",
    errors=(
        NotFound("There is no such completion."),
        NotFound(
            "No configured provider serves this model. There is `deepseek-flash`; GET /api/v2/models/ lists all.",
            code=Code.MODEL_NOT_FOUND,
            param="model",
        ),
    ),
)
_CONFLICT = _Answer(
    name="Conflict",
    meaning="The request contradicts what has happened already.",
    errors=(
        Conflict(
            "This Idempotency-Key was used with another body. Use a new key for a new request.",
            code=Code.IDEMPOTENCY_CONFLICT,
        ),
        Conflict("The completion of this Idempotency-Key is no longer kept.", code=Code.IDEMPOTENCY_EXPIRED),
        Conflict("This completion has finished already; there is nothing to cancel."),
        Conflict("This slug is taken. Choose another.", code=Code.ALREADY_EXISTS, param="slug"),
    ),
)
_LIMITED = _Answer(
    name="RateLimited",
    meaning="A limit of the caller's is reached, or their share of the work. Nobody was asked and nothing was spent.",
    errors=(
        RateLimited("Over 5 completions in 60 s. Try again in 12 s.", retry_after_s=12),
        RateLimited(
            "5 completions are running already. Wait for one to finish, or cancel it.",
            retry_after_s=1,
            code=Code.TOO_MANY_STREAMS,
        ),
    ),
)
_NONE_ANSWERED = _Answer(
    name="AllProvidersFailed",
    meaning="No provider answered; `attempts` says why.",
    errors=(
        ChainFailed(
            "Every provider failed; `attempts` says how. Try again later.",
            attempts=(_REFUSED, _DOWN),
            retry_after_s=20,
        ),
        ChainFailed(
            "No provider is configured. Set an API key, or name `mock` in PROVIDER_CHAIN.", code=Code.NO_PROVIDER
        ),
        ChainFailed(
            "The answer broke off (stream_cut). What was received is kept; a new request starts, and bills, a new "
            "answer.",
            code=Code.STREAM_INTERRUPTED,
            attempts=(FailedAttempt(provider="openai", model="gpt-5-mini", failure=Failure.STREAM_CUT),),
            may_have_billed=True,
        ),
    ),
)
_TOO_SLOW = _Answer(
    name="ProviderTimeout",
    meaning="No provider began to answer in time; `attempts` lists them.",
    errors=(
        ChainFailed(
            "No provider began to answer in time. Try again later, or ask for less.",
            code=Code.FIRST_TOKEN_TIMEOUT,
            attempts=(_SLOW,),
            may_have_billed=True,
        ),
    ),
)
_UNAVAILABLE = _Answer(
    name="ServiceUnavailable",
    meaning="The process is full or about to leave, or the database does not answer; another try may succeed.",
    errors=(
        ServiceUnavailable("All streams are taken. Try again shortly.", code=Code.OVERLOADED),
        ServiceUnavailable("This server is shutting down. Try again: another one will answer.", code=Code.DRAINING),
    ),
)


def _single(name: str, meaning: str, error: PromptCraftError) -> _Answer:
    return _Answer(name=name, meaning=meaning, errors=(error,))


_ANSWERS: Mapping[int, _Answer] = {
    400: _INVALID,
    401: _UNKNOWN_CALLER,
    402: _single("BudgetExceeded", "Your own budget is spent.", BudgetExceeded("Your budget of this day is spent.")),
    403: _Answer(
        name="Forbidden",
        meaning="You are known and may not do this.",
        errors=(
            Forbidden("Only staff may do this."),
            Forbidden("This API key lacks the scope `chat`. Make a key that has it."),
        ),
    ),
    404: _ABSENT,
    405: _single(
        "MethodNotAllowed", "The path exists, the method does not.", MethodNotAllowed(["GET", "HEAD", "OPTIONS"])
    ),
    408: _single(
        "RequestTimeout",
        "The request did not arrive whole in time.",
        RequestTimeout("The request's body did not arrive in time. Send it again."),
    ),
    409: _CONFLICT,
    410: _single(
        "Gone", "It existed and is no longer kept.", Gone("The events of this completion are no longer kept.")
    ),
    413: _single("BodyTooLarge", "The body is over its bound.", BodyTooLarge("The body is over its bound of 1 MiB.")),
    415: _single(
        "UnsupportedMediaType",
        "The body is not declared to be JSON.",
        UnsupportedMediaType("Send the body as `Content-Type: application/json`."),
    ),
    429: _LIMITED,
    431: _single("HeadTooLarge", "Path, query and headers are over their bounds.", HeadTooLarge()),
    500: _single("InternalError", "A fault of ours. The log has it under the request id.", InternalError()),
    501: _single(
        "UnsupportedTransferCoding",
        "The body is sent in a way that is not read here.",
        UnsupportedTransferCoding("Send the body with a Content-Length, or in chunks and nothing else."),
    ),
    502: _NONE_ANSWERED,
    503: _UNAVAILABLE,
    504: _TOO_SLOW,
}
_TYPES = sorted({error.type for answer in _ANSWERS.values() for error in answer.errors})


def error_refs(*statuses: int) -> dict[str, Any]:
    """Return the answers of these statuses, for an operation."""
    return {str(status): {"$ref": f"#/components/responses/{_ANSWERS[status].name}"} for status in statuses}


def _response(answer: _Answer) -> dict[str, Any]:
    codes = ", ".join(f"`{error.code.value}`" for error in answer.errors)
    examples = {
        error.code.value: {"summary": error.message, "value": envelope(error, REQUEST_ID)} for error in answer.errors
    }
    names = {name for error in answer.errors for name in error.headers}
    return {
        "description": f"{answer.meaning} Codes: {codes}.",
        "headers": header_refs(*sorted(names), *LIMIT_HEADERS),
        "content": {"application/json": {"schema": ref("Error"), "examples": examples}},
    }


RESPONSES: dict[str, Any] = {
    **{answer.name: _response(answer) for answer in _ANSWERS.values()},
    "AnyError": {
        "description": "Any other failure, in the same envelope: a method the path does not have, a fault of ours.",
        "headers": header_refs(*LIMIT_HEADERS),
        "content": {"application/json": {"schema": ref("Error")}},
    },
}

SCHEMAS: dict[str, Schema] = {
    "Error": record({"error": ref("ErrorDetail")}, "The body of every answer that is not a success."),
    "ErrorDetail": record(
        {
            "message": text("For people; says what to do next."),
            "type": words(_TYPES),
            "code": ref("ErrorCode"),
            "param": optional(text("The field at fault, such as `messages[2].role`, or the header.")),
            "request_id": text("The `X-Request-Id` of this answer. Quote it when you report a fault."),
            "retryable": flag("Whether the same request may succeed later without costing twice."),
            "retry_after": optional(whole("Seconds to wait; the same as `Retry-After`.", minimum=1)),
            "attempts": array(
                ref("FailedAttempt"), "Each provider that was asked or passed over; only when the chain failed."
            ),
        },
        absent=("attempts",),
    ),
    "ErrorCode": words(Code, "For programs: a closed list."),
    "FailedAttempt": record({"provider": text(), "model": text(), "end_reason": ref("FailureReason")}),
}

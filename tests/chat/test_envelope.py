"""One envelope for everything that can be raised, and nothing in it that is not ours to say."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import IntegrityError, InterfaceError, OperationalError, ProgrammingError
from django.http import Http404
from rest_framework import exceptions as drf

from apps.chat.envelope import envelope, error_response, stream_error, translate
from apps.llm import errors
from apps.llm.errors import (
    ChainFailed,
    Code,
    FailedAttempt,
    Failure,
    MethodNotAllowed,
    PromptCraftError,
    RateLimited,
    ServiceUnavailable,
)
from tests.each import each

MEMBERS = {"message", "type", "code", "param", "request_id", "retryable", "retry_after"}
SECRET = "sk-secret-8831"


def one_of_each() -> list[PromptCraftError]:
    """Return an instance of every class of the tree."""
    made: list[PromptCraftError] = []
    for name in errors.__all__:
        kind = getattr(errors, name)
        if not (isinstance(kind, type) and issubclass(kind, PromptCraftError)):
            continue
        if kind is RateLimited:
            made.append(RateLimited("Wait.", retry_after_s=7))
        elif kind is ServiceUnavailable:
            made.append(ServiceUnavailable("Full.", code=Code.OVERLOADED))
        elif kind is MethodNotAllowed:
            made.append(MethodNotAllowed(["GET"]))
        else:
            made.append(kind("Do this next."))
    return made


@each("error", one_of_each(), ids=lambda error: type(error).__name__)
def test_every_error_has_the_one_shape(error: PromptCraftError) -> None:
    response = error_response(error, "req_1")
    body: dict[str, Any] = json.loads(response.content)
    assert set(body) == {"error"}
    inner = body["error"]
    assert set(inner) - {"attempts"} == MEMBERS
    assert inner["request_id"] == "req_1"
    assert inner["code"] in {code.value for code in Code}
    assert inner["message"]
    assert isinstance(inner["retryable"], bool)
    assert response.status_code == error.http_status
    assert response["Content-Type"] == "application/json"
    # The number in the body is the header's.
    assert response.headers.get("Retry-After") == (None if inner["retry_after"] is None else str(inner["retry_after"]))
    assert (response.status_code in (429, 503)) <= (inner["retry_after"] is not None)
    assert ("attempts" in inner) == isinstance(error, ChainFailed)


def test_statuses_have_their_types() -> None:
    types = {error.http_status: error.type for error in one_of_each()}
    assert types == {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "insufficient_quota",
        403: "permission_error",
        404: "not_found_error",
        405: "invalid_request_error",
        408: "invalid_request_error",
        409: "conflict_error",
        410: "not_found_error",
        413: "invalid_request_error",
        415: "invalid_request_error",
        429: "rate_limit_error",
        431: "invalid_request_error",
        500: "api_error",
        501: "invalid_request_error",
        502: "provider_error",
        503: "service_unavailable",
    }
    timeout = ChainFailed("Slow.", code=Code.FIRST_TOKEN_TIMEOUT)
    assert (timeout.http_status, timeout.type) == (504, "provider_timeout")


@each(
    ("raised", "status", "code"),
    [
        (drf.ParseError(SECRET), 400, "invalid_json"),
        (drf.NotAuthenticated(SECRET), 401, "missing_token"),
        (drf.AuthenticationFailed(SECRET), 401, "invalid_token"),
        (drf.PermissionDenied(SECRET), 403, "forbidden"),
        (PermissionDenied(SECRET), 403, "forbidden"),
        (drf.NotFound(SECRET), 404, "not_found"),
        (Http404(SECRET), 404, "not_found"),
        (drf.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (drf.UnsupportedMediaType(SECRET), 415, "unsupported_media_type"),
        (drf.NotAcceptable(SECRET), 400, "invalid_value"),
        (RequestDataTooBig(SECRET), 413, "body_too_large"),
        (SuspiciousOperation(SECRET), 400, "invalid_value"),
        (OperationalError(SECRET), 503, "overloaded"),
        (InterfaceError(SECRET), 503, "overloaded"),
        (IntegrityError(SECRET), 500, "internal_error"),
        (ProgrammingError(SECRET), 500, "internal_error"),
        (ValueError(SECRET), 500, "internal_error"),
        (TypeError(SECRET), 500, "internal_error"),
        (RuntimeError(SECRET), 500, "internal_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_everything_raised_becomes_ours_and_says_nothing_of_its_own(raised: Exception, status: int, code: str) -> None:
    response = error_response(translate(raised), "req_1")
    assert response.status_code == status
    assert json.loads(response.content)["error"]["code"] == code
    assert SECRET not in response.content.decode()
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


def test_ours_passes_as_it_is() -> None:
    error = RateLimited("Wait.", retry_after_s=3)
    assert translate(error) is error


@each(
    ("detail", "param", "code"),
    [
        ({"name": ["Too long."]}, "name", "invalid_value"),
        ({"name": [drf.ErrorDetail("Required.", code="required")]}, "name", "missing_field"),
        ({"plan": {"limit": ["Too high."]}}, "plan.limit", "invalid_value"),
        ({"non_field_errors": ["They differ."]}, None, "invalid_value"),
        ({"plan": {"non_field_errors": ["They differ."]}}, "plan", "invalid_value"),
        (["Wrong."], None, "invalid_value"),
        ({}, None, "invalid_value"),
        ([], None, "invalid_value"),
        ([{}, {"name": ["Too long."]}], None, "invalid_value"),
    ],
)
def test_validation_names_the_first_field(detail: Any, param: str | None, code: str) -> None:
    error = translate(drf.ValidationError(detail))
    assert (error.http_status, error.param, error.code.value) == (400, param, code)


def test_what_is_nobodys_fault_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "promptcraft.errors"):
        translate(RateLimited("Wait.", retry_after_s=3))
        translate(Http404("nothing"))
        assert not caplog.records
        translate(KeyError("x"))
    (record,) = caplog.records
    assert record.exc_info is not None


def test_attempts_say_who_and_why() -> None:
    error = ChainFailed(
        "Nobody.",
        attempts=[
            FailedAttempt(provider="deepseek", model="deepseek-flash", failure=Failure.BREAKER_OPEN),
            FailedAttempt(provider="zai", model="glm-4.7", failure=Failure.SERVER_ERROR),
        ],
    )
    assert envelope(error, "req_1")["error"]["attempts"] == [
        {"provider": "deepseek", "model": "deepseek-flash", "end_reason": "breaker_open"},
        {"provider": "zai", "model": "glm-4.7", "end_reason": "server_error"},
    ]
    assert error.retryable
    assert "x-should-retry" not in error.headers


@each(("billed", "should_retry"), [(False, None), (True, "false")])
def test_an_answer_that_was_paid_for_and_not_recorded_is_not_asked_for_again(billed: bool, should_retry: str | None):
    error = ServiceUnavailable("Away.", code=Code.OVERLOADED, may_have_billed=billed)
    assert error.headers.get("x-should-retry") == should_retry
    assert error.headers["Retry-After"] == "1"
    assert error.retryable == (should_retry is None)


@each(
    ("code", "billed", "should_retry"),
    [
        (None, False, None),
        (None, True, "false"),
        (Code.NO_PROVIDER, False, "false"),
        (Code.FIRST_TOKEN_TIMEOUT, True, "false"),
        (Code.STREAM_INTERRUPTED, True, "false"),
    ],
)
def test_a_retry_that_could_bill_twice_is_forbidden(code: Code | None, billed: bool, should_retry: str | None) -> None:
    error = ChainFailed("Nobody.", code=code, may_have_billed=billed)
    assert error.headers.get("x-should-retry") == should_retry
    assert error.retryable == (should_retry is None)


def test_in_a_stream_the_envelope_is_one_event_with_a_finish() -> None:
    data = stream_error(ChainFailed("Nobody.", code=Code.STREAM_INTERRUPTED), "req_1")
    assert b"\n" not in data
    event = json.loads(data)
    assert set(event) == {"error", "choices"}
    assert set(event["error"]) - {"attempts"} == MEMBERS
    assert event["choices"] == [{"index": 0, "delta": {}, "finish_reason": "error"}]

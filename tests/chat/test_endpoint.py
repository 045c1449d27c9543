"""Endpoint declarations: who may, which methods, and every exception an envelope."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.test import AsyncRequestFactory

from apps.accounts.access import Access
from apps.chat.endpoint import public, signed_in
from apps.llm.errors import NotFound
from promptcraft.context import RequestContext, set_context
from tests.each import each

SECRET = "sk-secret-8831"


def made(method: str, **headers: str) -> HttpRequest:
    request = AsyncRequestFactory().generic(method, "/here/", headers=headers)
    context = RequestContext(request_id="req_1", trace_id="0" * 32, span_id="0" * 16, trace_flags="00", started=0.0)
    set_context(request, context)
    return request


async def echo(request: HttpRequest, *given: Any, **route: str) -> HttpResponse:
    return HttpResponse(f"{request.method} {route}")


def raising(error: BaseException) -> Any:
    async def view(request: HttpRequest, *given: Any, **route: str) -> HttpResponse:
        raise error

    return view


def error_of(response: HttpResponseBase) -> dict[str, Any]:
    assert isinstance(response, HttpResponse)
    error: dict[str, Any] = json.loads(response.content)["error"]
    assert error["request_id"] == "req_1"
    return error


def test_every_view_declares_who_may() -> None:
    assert public(GET=echo).access is Access.PUBLIC  # type: ignore[attr-defined]
    assert signed_in(GET=echo).access is Access.AUTHENTICATED  # type: ignore[attr-defined]


@each(("method", "answer"), [("GET", b"GET {'id': 'x'}"), ("HEAD", b"HEAD {'id': 'x'}")])
async def test_get_answers_head_as_well(method: str, answer: bytes) -> None:
    response = await public(GET=echo)(made(method), id="x")
    assert isinstance(response, HttpResponse)
    assert response.content == answer


@each("declare", [public, signed_in])
@each("method", ["PUT", "PATCH", "DELETE", "TRACE", "BREW"])
async def test_other_methods_are_405_and_name_those_that_are_not(declare: Any, method: str) -> None:
    response = await declare(GET=echo, POST=echo)(made(method))
    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert error_of(response)["code"] == "method_not_allowed"


@each("declare", [public, signed_in])
async def test_options_needs_nobody(declare: Any) -> None:
    response = await declare(POST=echo)(made("OPTIONS"))
    assert (response.status_code, response["Allow"]) == (204, "OPTIONS, POST")


@each(
    ("header", "code"),
    [
        (None, "missing_token"),
        ("", "missing_token"),
        ("Basic abc", "missing_token"),
        ("Bearer", "missing_token"),
        ("Bearer nonsense", "invalid_token"),
        ("Bearer a.b.c", "invalid_token"),
    ],
)
async def test_nobody_gets_past_without_a_token(header: str | None, code: str) -> None:
    asked: list[object] = []

    async def view(request: HttpRequest, caller: object) -> HttpResponse:
        asked.append(caller)
        return HttpResponse()

    headers = {} if header is None else {"Authorization": header}
    response = await signed_in(GET=view)(made("GET", **headers))
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert error_of(response)["code"] == code
    assert not asked


async def test_our_errors_keep_their_words() -> None:
    response = await public(GET=raising(NotFound("Look elsewhere.")))(made("GET"))
    assert (response.status_code, error_of(response)["message"]) == (404, "Look elsewhere.")


@each("error", [ValueError(SECRET), TypeError(SECRET), RecursionError(SECRET), TimeoutError(SECRET)])
async def test_other_errors_are_a_500_without_theirs(error: Exception) -> None:
    response = await public(GET=raising(error))(made("GET"))
    assert response.status_code == 500
    assert error_of(response)["code"] == "internal_error"
    assert isinstance(response, HttpResponse)
    assert SECRET.encode() not in response.content


async def test_a_cancelled_view_stays_cancelled() -> None:
    task = asyncio.ensure_future(public(GET=raising(asyncio.CancelledError()))(made("GET")))
    with pytest.raises(asyncio.CancelledError):
        await task

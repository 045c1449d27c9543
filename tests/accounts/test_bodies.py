from __future__ import annotations

import io

import pytest
from django.core.handlers.asgi import ASGIRequest

from apps.accounts.bodies import json_object
from apps.llm.errors import BodyTooLarge
from tests.accounts.conftest import AUTH, PASSWORD, error_of
from tests.each import each

PATHS = ["token/", "token/refresh/", "token/verify/", "logout/", "register/"]


@pytest.fixture(autouse=True)
def _registration(settings, db):
    settings.REGISTRATION_OPEN = True


@each("path", PATHS)
@each(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"username=ada", "invalid_json"),
        (b'{"username": NaN}', "invalid_json"),
        (b'{"username": "ada",}', "invalid_json"),
        (b'{"username": "\\ud800", "refresh": "x", "token": "x"}', "invalid_json"),
        (b'{"username": "\xff"}', "invalid_json"),
        (b"\xff\xfe{\0}\0", "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"a":' * 100_000, "invalid_json"),
        (b'{"username":"a","password":"b","refresh":"c","token":"d","email":"e","username":"f"}', "invalid_json"),
        (b"[]", "invalid_value"),
        (b"null", "invalid_value"),
        (b'"username"', "invalid_value"),
        (b"7", "invalid_value"),
        (b"{}", "missing_field"),
    ],
)
def test_bad_bodies(path, body, code, api):
    response = api.post(AUTH + path, body, content_type="application/json")
    assert (response.status_code, error_of(response)["code"]) == (400, code)


@each("path", PATHS)
@each("kind", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "text/json"])
def test_other_kinds_of_bodies(path, kind, api):
    response = api.post(AUTH + path, b"{}", content_type=kind)
    assert (response.status_code, error_of(response)["code"]) == (415, "unsupported_media_type")


@each(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json; charset=rot13",
        "Application/JSON;charset=utf-16",
    ],
)
def test_json_is_utf_8_whatever_its_charset_says(kind, user, api):
    body = f'{{"username": "ada", "password": "{PASSWORD}"}}'.encode()
    assert api.post(f"{AUTH}token/", body, content_type=kind).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_bodies_are_bounded(path, api, settings):
    body = b'{"username": "' + b"a" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"}'
    response = api.post(AUTH + path, body, content_type="application/json")
    assert (response.status_code, error_of(response)["code"]) == (413, "body_too_large")


def test_bodies_without_a_length_are_bounded_and_read(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100

    def request(body):
        headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": b""}
        return ASGIRequest(scope, io.BytesIO(body))

    assert json_object(request(b'{"username": "ada"}')) == {"username": "ada"}
    with pytest.raises(BodyTooLarge):
        json_object(request(b" " * 101))


@each("field", ["username", "password"])
@each("value", ["nul\0inside", "", None, 7, True, [], {}, "x" * 5_000])
def test_bad_fields_of_a_log_in(field, value, api):
    body = {"username": "ada", "password": "wrong", field: value}
    response = api.post(f"{AUTH}token/", body, format="json")
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_value", field)

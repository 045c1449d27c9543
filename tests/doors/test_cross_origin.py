"""Origins against routes: who may read what from a browser, and why there is nothing to forge."""

from __future__ import annotations

import json
from typing import Any

from tests.contract.limit_fixtures import COMPLETIONS, LIVE, PROMPT, Door, error_of
from tests.doors.conftest import ORIGIN
from tests.each import each
from tests.sse_answer import collect

LOG_IN = "/api/v2/auth/token/"
ME = "/api/v2/auth/me/"
JSON = {"Content-Type": "application/json"}
HELLO = json.dumps({"messages": PROMPT}).encode()

ALLOWED = (ORIGIN, "http://localhost:5173")
REFUSED = (
    "null",
    "",
    "*",
    ORIGIN.replace("https", "http"),
    f"{ORIGIN}:8443",
    f"{ORIGIN}:443",
    f"{ORIGIN}.evil.example",
    ORIGIN.replace("app.", "app.evil-"),
    "https://evil-app.example.org",
    "https://evil.app.example.org",
    "https://app.example.org@evil.example",
    "https://evil.example#app.example.org",
    "https://evil.example?https://app.example.org",
    "https://app.example.orgevil",
    "https://appxexample.org",
    "https://APP.example.org",
    "https://app.example.org%0devil",
    f"{ORIGIN} {ORIGIN}",
    f"{ORIGIN}, https://evil.example",
    "http://localhost",
    "http://localhost:5174",
    "http://127.0.0.1:5173",
    "http://[::1",
    "file://",
)
# Every kind of answer: who asks, how, and the status that comes.
ROUTES: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "health": ("GET", LIVE, {"user": None}, 200),
    "schema": ("GET", "/api/v2/schema/", {"user": None}, 200),
    "docs": ("GET", "/api/v2/docs/", {"user": None}, 200),
    "static file": ("GET", "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css", {"user": None}, 200),
    "models": ("GET", "/api/v2/models/", {}, 200),
    "list": ("GET", COMPLETIONS, {}, 200),
    "object": ("POST", COMPLETIONS, {"body": HELLO, "headers": JSON}, 200),
    "stream": ("POST", COMPLETIONS, {"json": {"messages": PROMPT, "stream": True}}, 200),
    "a bad token": ("GET", ME, {"user": None, "headers": {"Authorization": "Bearer x"}}, 401),
    "no token": ("POST", COMPLETIONS, {"user": None, "body": HELLO, "headers": JSON}, 401),
    "a bad log-in": ("POST", LOG_IN, {"user": None, "json": {}}, 400),
    "a bad body": ("POST", COMPLETIONS, {"json": {}}, 400),
    "nothing": ("GET", "/nowhere/", {"user": None}, 404),
    "a bad method": ("DELETE", COMPLETIONS, {}, 405),
    "a large body": ("POST", COMPLETIONS, {"body": b" " * (1024 * 1024 + 1), "headers": JSON}, 413),
    "a large log-in": ("POST", LOG_IN, {"user": None, "body": b" " * (1024 * 1024 + 1), "headers": JSON}, 413),
    "a form": ("POST", LOG_IN, {"user": None, "body": b"a=b", "headers": {"Content-Type": "text/plain"}}, 415),
    "many headers": ("GET", LIVE, {"user": None, "headers": {f"x-{number}": "y" for number in range(120)}}, 200),
    "a failure": ("POST", COMPLETIONS, {"json": {"messages": PROMPT, "model": "deepseek-flash@status-500"}}, 502),
}
each_route = each("name", ROUTES)


def ask(door: Door, name: str, origin: str | None) -> tuple[int, dict[str, str], bytes]:
    method, path, request, _ = ROUTES[name]
    request = dict(request)
    headers = dict(request.pop("headers", {})) | ({} if origin is None else {"Origin": origin})
    for vendor in ("zai", "openai"):
        door.upstream.script(vendor, "status-500")
    with door.server.open(path, method=method, headers=headers, **request) as answer:
        return answer.status, answer.headers, answer.read()


class TestActualRequests:
    @each_route
    def test_of_an_allowed_origin_may_read_every_answer(self, door: Door, name: str) -> None:
        for origin in ALLOWED:
            status, headers, _ = ask(door, name, origin)
            assert status == ROUTES[name][3]
            assert headers["access-control-allow-origin"] == origin
            assert "access-control-allow-credentials" not in headers
            assert "origin" in headers["vary"].lower()

    @each_route
    def test_of_another_origin_may_read_none(self, door: Door, name: str) -> None:
        """The answer is the same; the browser keeps it from whoever asked."""
        status, headers, _ = ask(door, name, "https://evil.example")
        assert status == ROUTES[name][3]
        assert "access-control-allow-origin" not in headers
        assert "access-control-allow-credentials" not in headers
        assert "origin" in headers["vary"].lower()

    @each("origin", REFUSED)
    def test_no_origin_is_taken_for_another(self, door: Door, origin: str) -> None:
        with door.server.open(LIVE, user=None, headers={"Origin": origin}) as answer:
            assert answer.status in (200, 400)
            assert "access-control-allow-origin" not in answer.headers

    @each_route
    def test_every_header_of_ours_may_be_read(self, door: Door, name: str) -> None:
        _, headers, _ = ask(door, name, ORIGIN)
        exposed = {one.strip().lower() for one in headers["access-control-expose-headers"].split(",")}
        # What a browser shows without being told, and what is the browser's own business.
        safelisted = {"cache-control", "content-language", "content-length", "content-type", "expires", "last-modified"}
        browsers = {"date", "server", "connection", "vary", "transfer-encoding", "allow", "content-disposition"}
        guards = {"x-content-type-options", "x-frame-options", "referrer-policy", "content-security-policy"}
        guards |= {one for one in headers if one.startswith(("cross-origin-", "access-control-"))}
        guards |= {"x-accel-buffering"}
        assert set(headers) - safelisted - browsers - guards <= exposed

    def test_a_stream_may_be_read_to_its_end(self, door: Door) -> None:
        with door.server.open(
            COMPLETIONS, json={"messages": PROMPT, "stream": True}, headers={"Origin": ORIGIN}
        ) as answer:
            assert collect(answer).done
        assert answer.headers["access-control-allow-origin"] == ORIGIN


class TestPreflights:
    PATHS = (LIVE, COMPLETIONS, f"{COMPLETIONS}x/events/", LOG_IN, ME, "/api/v2/models", "/nowhere/", "/static/x")

    def preflight(self, door: Door, path: str, origin: str, **more: str) -> tuple[int, dict[str, str]]:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"} | more
        with door.server.open(path, user=None, method="OPTIONS", headers=headers) as answer:
            assert answer.read() == b""
            return answer.status, answer.headers

    @each("path", PATHS)
    def test_of_an_allowed_origin_is_granted_without_a_token(self, door: Door, path: str) -> None:
        status, headers = self.preflight(door, path, ORIGIN)
        assert status == 200
        assert headers["access-control-allow-origin"] == ORIGIN
        assert {"GET", "POST", "PATCH", "DELETE"} <= set(headers["access-control-allow-methods"].split(", "))
        granted = set(headers["access-control-allow-headers"].split(", "))
        assert {"authorization", "content-type", "idempotency-key", "last-event-id", "x-request-id"} <= granted
        # What OpenAI's client for JavaScript sends from a browser.
        assert {"x-stainless-lang", "x-stainless-retry-count", "x-stainless-timeout", "openai-organization"} <= granted
        assert not granted & {"cookie", "host", "x-forwarded-for", "x-forwarded-host", "*"}
        assert "access-control-allow-credentials" not in headers
        assert "access-control-allow-private-network" not in headers
        assert headers["x-request-id"]

    @each("origin", REFUSED)
    def test_of_any_other_origin_is_not(self, door: Door, origin: str) -> None:
        for path in self.PATHS[:4]:
            _, headers = self.preflight(door, path, origin)
            assert not {one for one in headers if one.startswith("access-control-allow-")}

    def test_a_private_network_is_not_opened(self, door: Door) -> None:
        _, headers = self.preflight(door, LIVE, ORIGIN, **{"Access-Control-Request-Private-Network": "true"})
        assert "access-control-allow-private-network" not in headers


class TestForgery:
    """A browser adds cookies to a forged request, never an Authorization header."""

    COOKIES = "sessionid=abc; csrftoken=def; access={token}; Authorization=Bearer {token}; token={token}"

    @each("path", [ME, COMPLETIONS, "/api/v2/models/"])
    def test_a_cookie_signs_nobody_in(self, door: Door, path: str) -> None:
        cookie = self.COOKIES.format(token=door.server.token())
        status, headers, body = door.call(path, None, headers={"Cookie": cookie, "Origin": ORIGIN})
        assert (status, error_of(body)["code"]) == (401, "missing_token")
        assert "set-cookie" not in headers

    def test_nor_does_a_token_anywhere_else(self, door: Door) -> None:
        token = door.server.token()
        for query in (f"?token={token}", f"?access_token={token}", f"?authorization=Bearer%20{token}"):
            assert door.call(f"{COMPLETIONS}{query}", None)[0] == 401
        for header in ("X-Access-Token", "X-Auth-Token", "Proxy-Authorization", "X-Api-Key", "Api-Key"):
            assert door.call(COMPLETIONS, None, headers={header: f"Bearer {token}"})[0] == 401
        assert door.call(COMPLETIONS, None, json={"access_token": token, "messages": PROMPT})[0] == 401

    @each(
        "content_type",
        [
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain",
            "text/plain;application/json",
        ],
    )
    @each("path", [COMPLETIONS, LOG_IN, "/api/v2/auth/register/", "/api/v2/auth/token/refresh/"])
    def test_what_a_form_can_send_is_refused(self, door: Door, path: str, content_type: str) -> None:
        """Such requests come from other origins without a preflight."""
        body = b'{"messages":[{"role":"user","content":"x"}],"username":"a","password":"b","refresh":"c","x":"="}'
        status, _, answer = door.call(path, body=body, headers={"Content-Type": content_type})
        assert (status, error_of(answer)["code"]) == (415, "unsupported_media_type")

    @each_route
    def test_no_answer_sets_a_cookie(self, door: Door, name: str) -> None:
        assert "set-cookie" not in ask(door, name, ORIGIN)[1]

"""Every route says who may call it, and behaves so: through a server process, with DEBUG off and on."""

from __future__ import annotations

from django.urls import include, path

from apps.accounts.access import Access
from tests.each import each
from tests.promptcraft.surface import API_ROUTES, ROUTES, walk

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE")


each_route = each("route", API_ROUTES, ids=lambda route: route.path)


def allow_of(caller, route):
    """Return what the route tells its caller that it takes."""
    return caller.options(route.sample).headers["Allow"]


def methods_of(caller, route):
    """Return the methods that a route has, OPTIONS aside."""
    return [method for method in allow_of(caller, route).split(", ") if method != "OPTIONS"]


def told(answer):
    """Return an answer without what differs from one request to the next."""
    if not answer.headers.get("Content-Type", "").startswith("application/json") or not answer.content:
        return answer.status_code, None
    body = answer.json()
    return answer.status_code, body.get("error", {}).get("code"), sorted(body)


def test_every_route_says_who_may():
    silent = [route.path for route in ROUTES if route.access is None]
    assert len(API_ROUTES) > 14
    assert not silent, (
        f"Set `access` on these views, as apps/chat/endpoint.py and apps/accounts/json_view.py do: {silent}"
    )


def test_a_route_that_does_not_say_is_seen():
    def view(request):
        raise NotImplementedError

    routes = list(walk([path("open/", include([path("<int:pk>/", view)]))]))
    assert [(route.path, route.access) for route in routes] == [("/open/{pk}/", None)]


def test_who_may_what():
    public = {route.path for route in API_ROUTES if route.access is Access.PUBLIC}
    assert public == {
        "/api/v2/auth/logout/",
        "/api/v2/auth/register/",
        "/api/v2/auth/token/",
        "/api/v2/auth/token/refresh/",
        "/api/v2/auth/token/verify/",
        "/api/v2/chat/health/",
        "/api/v2/chat/health/live/",
        "/api/v2/chat/health/ready/",
        "/api/v2/docs/",
        "/api/v2/schema/",
    }, "Whoever opens a route to everybody says so here as well."


@each_route
def test_only_public_routes_answer_a_visitor(client, caller, route):
    for method in methods_of(caller, route):
        answer = client.request(method, route.sample)
        if route.access is Access.PUBLIC:
            assert answer.status_code in (200, 400), method
            continue
        assert answer.status_code == 401, method
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        if method != "HEAD":
            assert answer.json()["error"]["code"] == "missing_token"
            assert answer.json()["error"]["type"] == "authentication_error"


@each_route
def test_a_bad_token_opens_nothing(client, caller, route):
    methods = methods_of(caller, route)
    for token in ("", "nonsense", "a.b.c"):
        for method in methods:
            answer = client.request(method, route.sample, headers={"Authorization": f"Bearer {token}".strip()})
            if route.access is Access.PUBLIC:
                assert answer.status_code in (200, 400), (token, method)
            else:
                assert answer.status_code == 401, (token, method)
                assert answer.headers["WWW-Authenticate"] == "Bearer"


@each_route
def test_options_tells_everybody_the_same(client, caller, route):
    allow = allow_of(caller, route)
    for headers in ({}, {"Authorization": "Bearer nonsense"}):
        asked = client.options(route.sample, headers=headers)
        assert (asked.status_code, asked.content) == (204, b""), headers
        assert asked.headers["Allow"] == allow, headers


@each_route
def test_slash_or_not_is_the_same(client, caller, route):
    """Of the methods that the route has and of one that it has not: `test_a_method_that_is_not_there` asks all."""
    methods = methods_of(caller, route)
    absent = next(method for method in ("PUT", "PATCH", "PURGE") if method not in methods)
    for sender in (client, caller):
        for method in (*methods, "OPTIONS", absent):
            with_slash, without = (sender.request(method, sent) for sent in (route.sample, route.sample.rstrip("/")))
            assert told(with_slash) == told(without), method
            assert with_slash.headers.get("Allow") == without.headers.get("Allow")
            assert not with_slash.is_redirect
            assert not with_slash.is_server_error


@each_route
def test_a_method_that_is_not_there(caller, route):
    allow = allow_of(caller, route)
    assert sorted(allow.split(", ")) == sorted({*allow.split(", "), "OPTIONS"})
    for method in set(METHODS) - set(allow.split(", ")) - {"HEAD"}:
        answer = caller.request(method, route.sample)
        assert answer.status_code == 405, method
        assert answer.headers["Allow"] == allow
        assert answer.json()["error"]["code"] == "method_not_allowed"


@each_route
def test_head_is_get_without_a_body(caller, route):
    got, asked = caller.get(route.sample), caller.head(route.sample)
    assert asked.status_code == got.status_code
    assert asked.content == b""
    assert asked.headers.get("Content-Type") == got.headers.get("Content-Type")


@each(
    "path",
    [
        "/nothing",
        "/api",
        "/api/v2/",
        "/api/v2/nothing/",
        "/api/v2/auth",
        "/api/v2/chat/",
        "/api/v2/chat/completions/nothing/nothing/",
        "/api/v2/schema/nothing",
        "/admin/nothing/",
        "/favicon.ico",
        "/staticky",
        "/.env",
    ],
)
def test_a_path_that_is_nothing(caller, path):
    for method in METHODS:
        answer = caller.request(method, path, headers={"Accept": "text/html"})
        assert answer.status_code == 404, method
        assert answer.headers["Content-Type"] == "application/json"
        if method != "HEAD":
            assert answer.json()["error"]["code"] == "not_found"


def test_the_way_in_leads_to_the_docs(client):
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/api/v2/docs/")

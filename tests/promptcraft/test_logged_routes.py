"""The log names routes: every route by itself, and nothing of what stands in the place of a parameter."""

from __future__ import annotations

from django.test import RequestFactory
from django.urls import resolve

from promptcraft.routes import completion_id_of, method_of, route_of
from tests.each import each
from tests.promptcraft.surface import ROUTES

ID = "chatcmpl-0b2f6e5ad1c94c0e9b7d3c1f8a6e4d20"
KEY = "pc-" + "aB3_x-Z9" * 5 + "qrs"
FIXED = [route for route in ROUTES if "?P" not in route.path and not route.path.endswith("*")]


def asked(path, method="GET", *, resolved=True):
    request = RequestFactory().generic(method, path)
    request.resolver_match = resolve(request.path_info) if resolved else None
    return request


@each("route", FIXED, ids=lambda route: route.path)
@each("resolved", [True, False])
def test_a_route_is_logged_as_it_is(route, resolved):
    if route.path == "/":
        assert route_of(asked("/", resolved=resolved)) == "/"
        return
    written = route_of(asked(route.sample, resolved=resolved))
    # Of two that take the sample the first one is asked.
    assert written == route.path or "{" in route.path
    assert "nothing" not in written


@each(
    ("path", "route"),
    [
        (f"/api/v2/chat/completions/{KEY}/events/", "/api/v2/chat/completions/{completion_id}/events/"),
        (f"/api/v2/models/{KEY}/more/", "/api/v2/models/{model}/"),
        (f"/api/v2/templates/{KEY}/", "/api/v2/templates/{slug}/"),
        (f"/static/{KEY}/", "/static/{path}/"),
        (f"/admin/prompt_templates/template/{KEY}/change/", "/admin/prompt_templates/template/{object_id}/change/"),
        ("/admin/prompt_templates/", "/admin/{app_label}/"),
        (f"/{KEY}/", "/{unknown}/"),
        (f"/api/{KEY}/", "/{unknown}/"),
        (f"/api/v2/{KEY}/", "/api/v2/{unknown}/"),
        (f"/api/v2/chat/{KEY}/", "/api/v2/{unknown}/"),
        (f"/admin/{KEY}/", "/admin/{unknown}/"),
        ("/nothing/\nforged/", "/{unknown}/"),
    ],
)
def test_what_a_client_wrote_is_not(path, route):
    for resolved in (True, False):
        assert route_of(asked(path, resolved=resolved)) == route


@each(("method", "logged"), [("GET", "GET"), ("PURGE", "OTHER"), (KEY, "OTHER")])
def test_a_made_up_method_is_another(method, logged):
    assert method_of(asked("/", method)) == logged


@each(("given", "logged"), [(ID, ID), (KEY, None), (f"{ID}0", None), (ID.upper(), None)])
def test_an_id_is_logged_if_it_could_be_one(given, logged):
    assert completion_id_of(asked(f"/api/v2/chat/completions/{given}/")) == logged
    assert completion_id_of(asked("/api/v2/chat/completions/")) is None

"""Which API keys may call which route: by walking the routes, with a key of each scope, through a server process."""

from __future__ import annotations

import pytest

from apps.accounts.access import EVERY_SCOPE, NO_SCOPE, Access, Scope
from tests.promptcraft.surface import API_ROUTES, ROUTES

# What stands in no list here is for completions.
_SCOPES = {
    "/api/v2/auth/me/": EVERY_SCOPE,
    "/api/v2/auth/": NO_SCOPE,
    "/api/v2/chat/health/": NO_SCOPE,
    "/api/v2/templates/": {Scope.TEMPLATES},
    "/api/v2/usage/": {Scope.USAGE},
}


def expected(route):
    return next((scopes for start, scopes in _SCOPES.items() if route.path.startswith(start)), {Scope.CHAT})


GUARDED = [route for route in API_ROUTES if route.access is not Access.PUBLIC]


def test_each_route_says_which_keys_may():
    assert len(GUARDED) > 20
    assert {route.path: route.scopes for route in GUARDED} == {route.path: expected(route) for route in GUARDED}


def test_what_is_for_staff_or_the_operator_is_for_no_key():
    above = [route for route in ROUTES if route.access in (Access.STAFF, Access.OPERATOR)]
    assert len(above) >= 4
    assert [route.path for route in above if route.scopes] == []


@pytest.mark.parametrize("scope", Scope)
def test_a_key_opens_what_has_its_scope_and_nothing_else(production, caller, client, scope):
    made = caller.post("/api/v2/auth/keys/", json={"name": scope, "scopes": [scope]}).json()
    production.canaries.secrets.add(made["key"])
    headers = {"Authorization": f"Bearer {made['key']}"}
    wrong = []
    for route in GUARDED:
        allow = client.options(route.sample).headers["Allow"].split(", ")
        for method in set(allow) - {"OPTIONS", "HEAD"}:
            answer = client.request(method, route.sample, headers=headers)
            if (answer.status_code == 403) != (scope not in (route.scopes or ())):
                wrong.append((method, route.path, answer.status_code))
            elif answer.status_code == 403:
                error = answer.json()["error"]
                assert (error["code"], error["type"]) == ("forbidden", "permission_error")
                assert not route.scopes or f"`{min(route.scopes)}`" in error["message"]
            # What it may not call tells it nothing either.
            assert answer.status_code != 500
    assert wrong == []
    assert caller.delete(f"/api/v2/auth/keys/{made['id']}/").status_code == 204


@pytest.fixture
def server(production):
    """One DEBUG is enough for what does not know of it."""
    return production

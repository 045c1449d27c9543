from __future__ import annotations

import pytest
from django.test import RequestFactory

from apps.accounts.access import Access
from apps.accounts.families import family_open
from apps.accounts.json_view import JsonView
from apps.accounts.urls import urlpatterns
from apps.llm.errors import Forbidden
from tests.accounts.conftest import AUTH, error_of
from tests.each import each

VIEWS = {str(pattern.pattern): pattern.callback.cls for pattern in urlpatterns}  # type: ignore[attr-defined]


def test_who_may():
    assert {path: view.access for path, view in VIEWS.items()} == {
        "token/": Access.PUBLIC,
        "token/refresh/": Access.PUBLIC,
        "token/verify/": Access.PUBLIC,
        "logout/": Access.PUBLIC,
        "register/": Access.PUBLIC,
        "me/": Access.AUTHENTICATED,
        "keys/": Access.AUTHENTICATED,
        "keys/<uuid:key_id>/": Access.AUTHENTICATED,
        "password/": Access.AUTHENTICATED,
        "users/": Access.STAFF,
        "users/<int:user_id>/disable/": Access.STAFF,
        "users/<int:user_id>/enable/": Access.STAFF,
    }


def test_a_view_must_say_which_keys_may():
    with pytest.raises(TypeError, match="scopes"):
        type("Forgetful", (JsonView,), {"access": Access.AUTHENTICATED})


def test_a_view_must_say_who_may():
    with pytest.raises(TypeError, match="access"):
        type("Forgetful", (JsonView,), {})
    with pytest.raises(TypeError, match="access"):
        type("Confused", (JsonView,), {"access": Access.OPERATOR})


def test_staff_views(user, rf):
    class StaffView(JsonView):
        access = Access.STAFF

        def get(self, request):
            raise AssertionError("its permissions alone are asked for")

    def request():
        return StaffView().initialize_request(
            RequestFactory().get("/", headers={"authorization": f"Bearer {family_open(user=user).access}"})
        )

    view = StaffView()
    with pytest.raises(Forbidden):
        view.check_permissions(_prepared(view, request()))
    user.is_staff = True
    user.save()
    view.check_permissions(_prepared(view, request()))


def _prepared(view, request):
    view.request = request
    request.authenticators = view.get_authenticators()
    return request


def test_public_views_do_not_look_at_the_header(user, api):
    response = api.post(
        f"{AUTH}token/verify/",
        {"token": family_open(user=user).access},
        format="json",
        headers={"authorization": "Bearer nonsense"},
    )
    assert response.status_code == 200


@each(("path", "allowed"), [("token/", "POST, OPTIONS"), ("logout/", "POST, OPTIONS"), ("me/", "GET, HEAD, OPTIONS")])
def test_other_methods(path, allowed, api, pair):
    headers = {"authorization": f"Bearer {pair.access}"}
    response = api.delete(AUTH + path, headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (405, "method_not_allowed")
    assert response.headers["Allow"] == allowed
    response = api.options(AUTH + path, headers=headers)
    assert (response.status_code, response.headers["Allow"], response.content) == (204, allowed, b"")


@each("accept", ["text/html", "application/xml", "text/event-stream", "nonsense"])
def test_the_answer_is_json_whatever_is_accepted(accept, api, db):
    for response in (
        api.get(f"{AUTH}me/?format=html", headers={"accept": accept}),
        api.post(f"{AUTH}token/", {}, format="json", headers={"accept": accept}),
    ):
        assert response.headers["Content-Type"] == "application/json"
        assert error_of(response)

"""The admin: a door of its own, with cookies, that the rest of the service knows nothing of."""

from __future__ import annotations

import re

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse

from apps.accounts.access import Access
from apps.templates.admin import site
from apps.templates.curation.site import PAGE_POLICY
from apps.templates.library.storing import templates_hide
from apps.templates.models import Label, Template, Version
from tests.each import each
from tests.promptcraft.surface import walk
from tests.templates.api import LETTER, SLUG, user_named
from tests.templates.curation.pages import ADMIN, LIST, PASSWORD, change, error_of, label_at, log_in, send
from tests.templates.visibility import undone


def test_every_view_says_who_may():
    access = {route.path: route.access for route in walk(site.urls[0], ADMIN)}
    assert len(access) > 10
    assert {path for path, who in access.items() if who is not Access.STAFF} == {"/admin/login/"}
    assert access["/admin/login/"] is Access.PUBLIC


@pytest.mark.parametrize("path", ["", "prompt_templates/", "prompt_templates/template/", "autocomplete/", "jsi18n/"])
def test_whoever_is_not_signed_in_is_led_to_the_form(visitor, ada, path):
    answers = [visitor.get(f"{ADMIN}{path}"), ada._client.get(f"{ADMIN}{path}")]
    for answer in answers:
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/admin/login/?next=/admin/{path}")


def test_signing_in_and_out(visitor, staff):
    answer = log_in(visitor)
    assert (answer.status_code, answer.headers["Location"]) == (302, ADMIN)
    page = visitor.get(ADMIN)
    assert page.status_code == 200
    assert "curator" in page.content.decode()
    assert send(visitor, f"{ADMIN}logout/", {}).status_code == 200
    assert visitor.get(ADMIN).status_code == 302


def test_a_disabled_user_is_out_at_once(curator, staff):
    User.objects.filter(pk=staff.pk).update(is_active=False)
    assert curator.get(ADMIN).status_code == 302


def test_users_are_not_staff(visitor, db):
    User.objects.create_user("user", password=PASSWORD)
    answer = log_in(visitor, "user")
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert visitor.get(ADMIN).status_code == 302


def test_guessing_is_limited_here_and_at_the_tokens_together(visitor, staff):
    for _ in range(5):
        assert log_in(visitor, password="wrong").status_code == 200
    refused = log_in(visitor)
    assert (refused.status_code, error_of(refused)) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) >= 1
    body = {"username": "curator", "password": PASSWORD}
    assert visitor.post("/api/v2/auth/token/", body, content_type="application/json").status_code == 429


def test_the_cookies_go_to_the_admin_alone(curator):
    for name in ("sessionid", "csrftoken"):
        cookie = curator.cookies[name]
        assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (ADMIN, True, "Strict")
        # As with DEBUG off, which the tests run with.
        assert cookie["secure"] is True


def test_a_form_from_elsewhere_is_refused(visitor, staff):
    fields = {"username": "curator", "password": PASSWORD}
    for more in ({}, {"headers": {"origin": "https://evil.example"}}):
        answer = visitor.post(f"{ADMIN}login/", fields, content_type="application/x-www-form-urlencoded", **more)
        assert (answer.status_code, error_of(answer)) == (403, "forbidden")


def test_a_form_that_came_through_a_proxy_is_taken(visitor, staff):
    answer = log_in(visitor, headers={"origin": "https://localhost", "host": "localhost"})
    assert answer.status_code == 302


@pytest.mark.parametrize("media_type", ["multipart/form-data", "application/json", "text/plain"])
def test_a_form_of_another_kind(visitor, db, media_type):
    answer = visitor.post(f"{ADMIN}login/", "username=a", content_type=media_type)
    assert (answer.status_code, error_of(answer)) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nothing/", 404),
        ("auth/user/", 404),
        ("prompt_templates/template/?q=%00", 400),
        ("prompt_templates/template/%00/change/", 400),
        ("prompt_templates/template/add/", 403),
        ("autocomplete/", 403),
        ("autocomplete/?term=x&app_label=auth&model_name=user&field_name=groups", 403),
        ("r/1/1/", 404),
    ],
)
def test_what_fails_is_the_envelope(curator, path, status):
    answer = curator.get(f"{ADMIN}{path}")
    assert answer.status_code == status
    assert error_of(answer)


def test_pages_have_the_headers_of_all_answers_and_a_policy_of_their_own(visitor):
    answer = visitor.get(f"{ADMIN}login/")
    assert answer.headers["Content-Security-Policy"] == PAGE_POLICY
    assert "unsafe" not in PAGE_POLICY
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert re.fullmatch(r"req_[0-9a-f]{24}", answer.headers["X-Request-Id"])
    html = answer.content.decode()
    assert not re.findall(r"<script>|<style|style=|onclick", html)
    for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', html):
        assert visitor.get(f"{asset}/").status_code == 200, asset


def test_the_api_sees_no_cookie_and_no_middleware_of_the_admins(curator):
    assert curator.get("/api/v2/templates/").status_code == 401
    assert all("django.contrib" not in name for name in settings.MIDDLEWARE)
    assert "set-cookie" not in {name.lower() for name in curator.get("/api/v2/chat/health/live/").headers}


def test_staff_see_all_templates(curator, ada):
    ada.make()
    ada.make(title="Second", tags=["money"], category="seo")
    html = curator.get(LIST).content.decode()
    assert "Letter to a neighbour" in html
    assert "2 templates" in html
    for query in ("q=second", "tag=money", "category__exact=seo", "q=SECO"):
        html = curator.get(f"{LIST}?{query}").content.decode()
        assert "Second" in html, query
        assert "Letter to a neighbour" not in html, query
    assert "0 templates" in curator.get(f"{LIST}?origin=library").content.decode()
    assert "2 templates" in curator.get(f"{LIST}?origin=users&is_public__exact=0").content.decode()


def test_staff_mend_what_is_said(curator, ada, django_capture_on_commit_callbacks):
    ada.make()
    template = Template.objects.get()
    with django_capture_on_commit_callbacks(execute=True):
        answer = change(curator, template, title="Mended", tags="home")
    assert answer.status_code == 302, answer.content.decode()
    got = ada.get(f"{SLUG}/")
    assert (got["title"], got["tags"], got["version"]) == ("Mended", ["home"], 1)
    assert got["text"] == LETTER["text"]
    assert ada.slugs("search/?q=mended") == [SLUG]


def test_uses_counted_meanwhile_are_kept(curator, ada, monkeypatch):
    ada.make()
    template = Template.objects.get()
    save_model = type(site._registry[Template]).save_model

    def used_just_before(self, request, obj, form, change):
        Template.objects.update(uses=7)
        save_model(self, request, obj, form, change)

    monkeypatch.setattr(type(site._registry[Template]), "save_model", used_just_before)
    assert change(curator, template, title="Mended").status_code == 302
    assert Template.objects.get().uses == 7


@pytest.mark.parametrize("fields", [{"slug": "search"}, {"slug": "a b"}, {"title": ""}, {"category": "letters"}])
def test_what_staff_may_not_say(curator, ada, fields):
    ada.make()
    answer = change(curator, Template.objects.get(), **fields)
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert ada.get(f"{SLUG}/")["title"] == LETTER["title"]


def test_staff_move_labels_to_versions_of_the_same_template(curator, ada):
    ada.make(labels={"production": 1})
    ada.post(f"{SLUG}/versions/", {"text": "x"})
    ada.make(slug="other")
    template = Template.objects.get(slug=SLUG)
    label = Label.objects.get()
    html = curator.get(f"{LIST}{template.pk}/change/").content.decode()
    assert html.count(">version 2<") == html.count(">version 1<") == 2
    fields = label_at(label, template.versions.get(number=2).pk)
    assert change(curator, template, **fields).status_code == 302
    assert ada.get(f"{SLUG}/labels/") == {"labels": {"production": 2}}
    of_other = Template.objects.get(slug="other").versions.get().pk
    assert change(curator, template, **{**fields, "labels-0-version": of_other}).status_code == 200
    assert ada.get(f"{SLUG}/labels/") == {"labels": {"production": 2}}


def test_versions_are_shown_and_cannot_be_sent(curator, ada):
    ada.make()
    template = Template.objects.get()
    version = template.versions.get()
    html = curator.get(f"{LIST}{template.pk}/change/").content.decode()
    assert "Write to {{ name }} in a {{tone}} tone." in html
    sent = {"versions-0-id": version.pk, "versions-0-text": "forged", "versions-0-DELETE": "on"}
    change(curator, template, **{"versions-TOTAL_FORMS": 1, "versions-INITIAL_FORMS": 1, **sent})
    assert ada.get(f"{SLUG}/versions/1/")["text"] == LETTER["text"]


def test_deleting(curator, ada, django_capture_on_commit_callbacks):
    ada.make()
    path = f"{LIST}{Template.objects.get().pk}/delete/"
    assert curator.get(path).status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        assert send(curator, path, {"post": "yes"}).status_code == 302
        # Its rows go after the admin's transaction; it is nobody's from the end of that one on.
        assert ada.slugs() == []
    assert ada.slugs("search/?q=letter") == []
    assert not Template.objects.exists()
    assert not Version.objects.exists()


def test_deleting_many(curator, ada, django_capture_on_commit_callbacks):
    for title in ("One", "Two", "Three"):
        ada.make(title=title)
    chosen = "&_selected_action=".join(str(pk) for pk in Template.objects.values_list("pk", flat=True)[:2])
    with django_capture_on_commit_callbacks(execute=True):
        send(curator, LIST, {"action": "delete_selected", "_selected_action": chosen, "post": "yes"})
    assert list(Template.objects.values_list("title", flat=True)) == ["Three"]
    assert Version.objects.count() == 1


def test_what_is_stored_or_deleted_by_halves_is_not_shown(curator, ada):
    ada.make()
    templates_hide([Template.objects.get().pk])
    assert "0 templates" in curator.get(LIST).content.decode()


def test_tags_are_shown_one_on_each_line(curator, ada):
    ada.make()
    html = curator.get(f"{LIST}{Template.objects.get().pk}/change/").content.decode()
    assert "home\nletters</textarea>" in html


def test_its_addresses_are_those_of_djangos_admin():
    assert reverse("admin:index") == ADMIN
    assert reverse("admin:prompt_templates_template_changelist") == LIST


def test_a_template_of_nobody_is_absent(curator):
    assert user_named("nobody").pk
    answer = curator.get(f"{LIST}999999999999999999999/change/")
    assert (answer.status_code, answer.headers["Location"]) == (302, ADMIN)


@each("slug", ["other", "OTHER", "0ther", "1mport"], around=undone)
def test_a_slug_that_looks_like_another_is_no_fault_of_ours(curator, ada, boss, slug):
    ada.make()
    ada.make(slug="other")
    boss.make(slug="0THER", title="Another", is_public=True)
    template = Template.objects.get(slug=SLUG)
    for is_public in ({}, {"is_public": "on"}):
        answer = change(curator, template, slug=slug, **is_public)
        assert answer.status_code == 200
        assert "errornote" in answer.content.decode()
    answer = change(curator, Template.objects.get(slug="other"), is_public="on")
    assert answer.status_code == 200
    assert "looks like it" in answer.content.decode()

"""Whatever staff, or whoever has a session of theirs, send to the admin: no answer is a 500, and none takes long."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.templates.curation import bounds
from apps.templates.models import Template
from tests.accounts import hashers
from tests.templates.api import Api, user_named
from tests.templates.curation.pages import ADMIN, LIST, PASSWORD, log_in

WORDS = "+".join(f"word{number}" for number in range(1_200))
NINES = "9" * 40
SURROGATE = "%ED%A0%80"
FOUND = f"{ADMIN}autocomplete/?app_label=prompt_templates&model_name=version&field_name=template&term="
ADDRESSES = {
    f"{LIST}?q={WORDS}": 400,
    f"{LIST}?q={'+'.join('abcdefghijklmnopqrstu')}": 400,
    f"{LIST}?q={'+'.join('abcdefghijklmnopqrst')}": 200,
    f"{LIST}?q={'%22a+b%22+' * 19}": 400,
    f"{LIST}?q={'x' * 201}": 400,
    f"{LIST}?q={'%25_' * 60}": 200,
    f"{LIST}?q={SURROGATE}%FF": 200,
    f"{LIST}?q=%00": 400,
    f"{FOUND}{WORDS}": 400,
    f"{FOUND}a&page={NINES}": 404,
    f"{LIST}?o={'.'.join('1234' * 500)}": 400,
    f"{LIST}?o={NINES}.-x..-": 200,
    f"{LIST}?p={NINES}": 200,
    f"{LIST}?p=-1": 200,
    f"{LIST}?p={'9' * 5_000}": 400,
    f"{LIST}?e=1": 200,
    f"{LIST}?category__exact={'x' * 100_000}": 400,
    f"{LIST}?id__in={','.join(map(str, range(5_000)))}": 400,
    f"{LIST}?id={NINES}": 200,
    f"{LIST}?is_public__exact=abc": 302,
    f"{LIST}?title__regex=(a%2B)%2B$": 400,
    f"{LIST}?owner__password__startswith=pbk": 400,
    f"{LIST}?{'&'.join(f'tag={number}' for number in range(33))}": 400,
    f"{LIST}?{'&'.join(f'a{number}=1' for number in range(1_500))}": 400,
    f"{LIST}{NINES}/change/": 302,
    f"{LIST}{SURROGATE}/history/": 302,
    f"{LIST}1/change/?_changelist_filters={'a' * 5_000}": 400,
}
CHANGE = (
    "title=A&slug=abc&category=seo&language=en&labels-INITIAL_FORMS=0&versions-TOTAL_FORMS=0&versions-INITIAL_FORMS=0"
)
FORMS = {
    (LIST, f"action=unpublish&{'&'.join(['_selected_action=1'] * 40_000)}"): 400,
    (LIST, f"action=unpublish&{'&'.join(['_selected_action=1'] * 201)}"): 302,
    (LIST, "action=unpublish&_selected_action=abc"): 400,
    (LIST, f"action=unpublish&_selected_action={NINES}"): 400,
    (LIST, f"action=unpublish&_selected_action={SURROGATE}"): 400,
    (LIST, "action=unpublish&_selected_action=%00"): 400,
    (LIST, f"action=unpublish&index={NINES}&_selected_action=1"): 302,
    (f"{LIST}?q={WORDS}", "action=unpublish&_selected_action=1"): 400,
    (f"{ADMIN}login/", "&".join(["a=1"] * 3_000)): 400,
    (f"{ADMIN}login/", f"username={'x' * 100_000}&password=y"): 413,
    (f"{ADMIN}login/", f"username=a{SURROGATE}&password=y"): 200,
    (f"{ADMIN}login/", "username=a%00&password=y"): 400,
    (f"{ADMIN}password_change/", f"old_password={'x' * 100_000}"): 413,
    ("change/", f"{CHANGE}&labels-TOTAL_FORMS=1000000000"): 200,
    ("change/", f"{CHANGE}&labels-TOTAL_FORMS={NINES}&labels-0-id={NINES}&labels-0-version={NINES}"): 200,
    ("change/", f"{CHANGE}&labels-TOTAL_FORMS=0&tags={'a%0A' * 21}"): 200,
    ("change/", f"{CHANGE}&labels-TOTAL_FORMS=0&tags={'a' * 51}"): 200,
    ("change/", f"{CHANGE}&labels-TOTAL_FORMS=0&tags=a%00"): 400,
    ("change/", f"{CHANGE}&labels-TOTAL_FORMS=0&tags={SURROGATE}"): 302,
    ("change/", f"{CHANGE}&labels-TOTAL_FORMS=0&description=%00"): 400,
    ("change/", f"{CHANGE}&labels-TOTAL_FORMS=0&language={SURROGATE}"): 302,
    ("change/", "title=A"): 200,
}


@pytest.fixture
def curator(database, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    hashers.reset()
    User.objects.create_user("curator", password=PASSWORD, is_staff=True)
    curator = Client(enforce_csrf_checks=True)
    assert log_in(curator).status_code == 302
    Api(user_named("ada")).make(tags=["home"])
    return curator


def sent(curator, path, body):
    token = curator.cookies["csrftoken"].value
    form = f"csrfmiddlewaretoken={token}&{body}"
    return curator.post(path, form, content_type="application/x-www-form-urlencoded")


def test_addresses(curator):
    answers = {path: curator.get(path) for path in ADDRESSES}
    assert {path: answer.status_code for path, answer in answers.items()} == ADDRESSES
    for answer in answers.values():
        assert answer.status_code < 400 or answer.json()["error"]["code"]


def test_forms(curator):
    template = f"{LIST}{Template.objects.get().pk}/"
    for (path, body), status in FORMS.items():
        answer = sent(curator, path.replace("change/", f"{template}change/", 1) if path == "change/" else path, body)
        assert answer.status_code == status, (path, body[:200])
        assert status < 400 or answer.json()["error"]["code"]


def test_a_form_has_as_many_lines_as_there_are_labels(curator, django_assert_max_num_queries):
    path = f"{LIST}{Template.objects.get().pk}/change/"
    with django_assert_max_num_queries(40):
        html = sent(curator, path, f"{CHANGE}&title=&labels-TOTAL_FORMS=1000000000").content.decode()
    assert "labels-1-name" in html
    assert "labels-2-name" not in html


def test_an_action_is_done_to_so_many(curator, monkeypatch):
    monkeypatch.setattr(bounds, "MOST_CHOSEN", 1)
    Api(user_named("bob")).make(slug="other")
    Template.objects.update(is_public=True)
    ids = [str(pk) for pk in Template.objects.values_list("pk", flat=True)]
    for chosen in (f"_selected_action={'&_selected_action='.join(ids)}", "select_across=1&_selected_action=1"):
        assert sent(curator, LIST, f"action=unpublish&{chosen}").status_code == 302
        assert Template.objects.filter(is_public=True).count() == 2
    assert sent(curator, LIST, f"action=unpublish&_selected_action={ids[0]}").status_code == 302
    assert Template.objects.filter(is_public=True).count() == 1


def test_tags_are_checked_as_the_api_checks_them(curator):
    template = Template.objects.get()
    body = f"{CHANGE}&labels-TOTAL_FORMS=0&tags=Other%0D%0A%0D%0A one%0D%0AOTHER"
    assert sent(curator, f"{LIST}{template.pk}/change/", body).status_code == 302
    assert [one.name for one in template.tags.all()] == ["one", "other"]

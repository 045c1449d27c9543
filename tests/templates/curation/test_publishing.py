"""Staff publish what they have read, from the version in production on."""

from __future__ import annotations

import pytest
from django.contrib.admin import ModelAdmin

from apps.templates.library.storing import templates_hide
from apps.templates.models import Label, Template
from tests.templates.api import SLUG
from tests.templates.curation.pages import LIST, change, label_at, send


def test_publishing_and_taking_back_many(curator, ada, bob):
    ada.make(labels={"production": 1})
    bob.make()
    bob.make(title="Another", slug="another")
    taken = Template.objects.get(owner=bob.user, slug=SLUG)
    for template in Template.objects.exclude(pk=taken.pk):
        assert change(curator, template, is_public="on").status_code == 302
    answer = change(curator, taken, is_public="on")
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert sorted(Template.objects.filter(is_public=True).values_list("owner__username", "slug")) == [
        ("ada", SLUG),
        ("bob", "another"),
    ]
    chosen = "&_selected_action=".join(str(pk) for pk in Template.objects.values_list("pk", flat=True))
    answer = send(curator, LIST, {"action": "unpublish", "_selected_action": chosen}, follow=True)
    assert "2 made private." in answer.content.decode()
    assert not Template.objects.filter(is_public=True).exists()


class TestPublishingWhatWasRead:
    """Whatever its owner does between the look and the click."""

    def test_the_whole_text_is_there_to_be_read(self, curator, ada):
        ada.make(text="Write kindly. " * 100 + "At the end.", variables=[])
        ada.post(f"{SLUG}/versions/", {"text": "Another. " * 100 + "Its end."})
        path = f"{LIST}{Template.objects.get().pk}/change/"
        assert "Its end." in curator.get(path).content.decode()
        ada.call("PUT", f"{SLUG}/labels/production/", {"version": 1})
        html = curator.get(path).content.decode()
        assert "At the end." in html
        assert "Its end." not in html

    @pytest.mark.parametrize("does", ["a version", "a label", "nothing"])
    def test_what_comes_meanwhile_is_not_published(self, curator, ada, does):
        ada.make()
        ada.post(f"{SLUG}/versions/", {"text": "second"})
        template = Template.objects.get()
        page = curator.get(f"{LIST}{template.pk}/change/").content.decode()
        if does == "a version":
            ada.post(f"{SLUG}/versions/", {"text": "not what was read"})
        elif does == "a label":
            ada.call("PUT", f"{SLUG}/labels/production/", {"version": 1})
        answer = change(curator, template, page=page, is_public="on")
        template.refresh_from_db()
        expected = (302, True, 2) if does == "nothing" else (200, False, 1)
        assert (answer.status_code, template.is_public, template.public_from) == expected

    def test_other_fields_may_be_mended_meanwhile(self, curator, ada):
        ada.make()
        template = Template.objects.get()
        page = curator.get(f"{LIST}{template.pk}/change/").content.decode()
        ada.post(f"{SLUG}/versions/", {"text": "second"})
        assert change(curator, template, page=page, title="Mended").status_code == 302

    def test_what_its_variables_say_is_there_too(self, curator, ada):
        described = {"name": "tone", "type": "text", "default": "<b>kind</b>", "help": "How it sounds."}
        ada.make(text="Write. {{ tone }}", variables=[described])
        html = curator.get(f"{LIST}{Template.objects.get().pk}/change/").content.decode()
        assert "&lt;b&gt;kind&lt;/b&gt;" in html
        assert "How it sounds." in html

    def test_versions_behind_productions_are_not_published_unread(self, curator, ada, bob):
        ada.make(labels={"production": 1})
        for text in ("second", "third"):
            ada.post(f"{SLUG}/versions/", {"text": text})
        template, label = Template.objects.get(), Label.objects.get()
        third = template.versions.get(number=3).pk
        # Neither as they are, nor by moving the label meanwhile.
        for fields in ({"is_public": "on"}, {"is_public": "on", **label_at(label, third)}):
            refused = change(curator, template, **fields)
            assert (refused.status_code, Label.objects.get().version_id) == (200, label.version_id)
        assert not Template.objects.get().is_public
        assert change(curator, template, **label_at(label, third)).status_code == 302
        assert change(curator, template, is_public="on", **label_at(label, third)).status_code == 302
        assert bob.get(f"{SLUG}/")["public_from"] == 3

    def test_a_label_is_not_moved_by_what_publishes(self, curator, ada):
        ada.make()
        ada.post(f"{SLUG}/versions/", {"text": "second"})
        ada.call("PUT", f"{SLUG}/labels/production/", {"version": 2})
        template, label = Template.objects.get(), Label.objects.get()
        first = template.versions.get(number=1).pk
        assert change(curator, template, is_public="on", **label_at(label, first)).status_code == 200
        assert not Template.objects.get().is_public
        assert change(curator, template, **label_at(label, first)).status_code == 302


def test_publishing_begins_at_the_version_in_production(curator, ada, bob):
    ada.make(labels={"production": 1})
    ada.post(f"{SLUG}/versions/", {"text": "second"})
    ada.call("PUT", f"{SLUG}/labels/production/", {"version": 2})
    template, label = Template.objects.get(), Label.objects.get()
    fields = {**label_at(label, label.version_id), "is_public": "on"}
    assert change(curator, template, **fields).status_code == 302
    assert bob.get(f"{SLUG}/")["public_from"] == 2
    assert [one["number"] for one in bob.get(f"{SLUG}/versions/")["results"]] == [2]
    first = template.versions.get(number=1).pk
    refused = change(curator, template, **{**fields, "labels-0-version": first})
    assert (refused.status_code, Label.objects.get().version_id) == (200, label.version_id)


def test_a_template_that_is_deleted_meanwhile_is_absent(curator, ada, monkeypatch):
    """Its row is read, and is gone when it is to be locked."""
    ada.make()
    template = Template.objects.get()
    page = curator.get(f"{LIST}{template.pk}/change/").content.decode()
    read = ModelAdmin.get_object

    def deleted_after(self, *args):
        found = read(self, *args)
        templates_hide([template.pk])
        return found

    monkeypatch.setattr(ModelAdmin, "get_object", deleted_after)
    assert change(curator, template, page=page, is_public="on").status_code == 302
    assert not Template.objects.get().is_public

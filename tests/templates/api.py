"""The API of the templates in this process, as one user calls it, and a template to send it."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import User
from rest_framework.test import APIClient

from apps.accounts.families import family_open
from apps.templates.models import Template
from apps.templates.search import index_templates
from apps.templates.services import version_published

BASE = "/api/v2/templates/"
TONE = {"name": "tone", "type": "choice", "choices": ["warm", "cool"], "default": "warm", "help": "How it sounds."}
LETTER: dict[str, Any] = {
    "title": "Letter to a neighbour",
    "category": "creative_writing",
    "description": "A short letter.",
    "tags": ["letters", "home"],
    "text": "Write to {{ name }} in a {{tone}} tone.\n",
    "variables": [{"name": "name", "type": "string"}, TONE],
}
SLUG = "letter-to-a-neighbour"


class Api:
    """The API as one user calls it. Errors are checked to be the envelope."""

    def __init__(self, user: User) -> None:
        self.user = user
        self._client = APIClient(headers={"authorization": f"Bearer {family_open(user=user).access}"})

    def call(self, method: str, path: str = "", body: Any = None, *, status: int = 200, **more: Any) -> Any:
        sent = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        answer = self._client.generic(method, f"{BASE}{path}", **{**sent, **more})
        assert answer.status_code == status, answer.content
        if status >= 400:
            assert answer.headers["Content-Type"] == "application/json"
            error = answer.json()["error"]
            assert error["message"]
            return error
        if not answer.content or answer.headers["Content-Type"] != "application/json":
            return answer.content
        return answer.json()

    def get(self, path: str = "", **more: Any) -> Any:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any, *, status: int = 201, **more: Any) -> Any:
        return self.call("POST", path, body, status=status, **more)

    def make(self, **changes: Any) -> Any:
        return self.post("", {**LETTER, **changes})

    def make_public(self, **changes: Any) -> Any:
        """Make a template, and publish it as staff do in the admin."""
        slug = self.make(**changes)["slug"]
        template = Template.objects.get(owner=self.user, slug=slug)
        template.is_public, template.public_from = True, version_published(template=template)
        template.save(update_fields=["is_public", "public_from", "updated_at"])
        index_templates([template.pk])
        return self.get(f"{slug}/")

    def slugs(self, path: str = "") -> list[str]:
        return [one["slug"] for one in self.get(path)["results"]]


def user_named(name: str, **more: Any) -> User:
    return User.objects.create(username=name, password=f"!{name}", **more)

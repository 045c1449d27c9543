"""A user who is deleted while their token is still remembered: no door breaks."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from apps.accounts.families import family_open
from tests.doors.in_process import ask

pytestmark = [pytest.mark.usefixtures("runtime"), pytest.mark.django_db(transaction=True)]

TEMPLATE = {"title": "Greeting", "text": "Hello", "category": "planning"}
PROMPT = {"messages": [{"role": "user", "content": "When does the tide turn?"}]}


async def test_nothing_breaks(caplog: pytest.LogCaptureFixture) -> None:
    user = await sync_to_async(User.objects.create)(username="ann", password="!")
    pair = await sync_to_async(family_open)(user=user)
    headers = {b"authorization": f"Bearer {pair.access}".encode(), b"content-type": b"application/json"}

    async def call(path: str, body: object = None, method: str = "POST") -> tuple[int, str]:
        pieces = (b"" if body is None else json.dumps(body).encode(),)
        answer = await ask(f"/api/v2/{path}", method=method, headers=headers, pieces=pieces)
        is_json = answer.headers["content-type"] == "application/json"
        return answer.status, json.loads(answer.body).get("error", {}).get("code", "") if is_json else ""

    assert (await call("templates/", {**TEMPLATE, "slug": "mine"}))[0] == 201
    await sync_to_async(user.delete)()
    assert await call("templates/", TEMPLATE) == (404, "not_found")
    assert await call("templates/import/", [TEMPLATE]) == (404, "not_found")
    assert await call("templates/mine/versions/", {"text": "Hello you"}) == (404, "not_found")
    for path, body in (("chat/completions/", PROMPT), ("prompts/run/", {"query": "a post about dogs"})):
        status, _ = await call(path, body)
        assert status < 500, path
    assert not [record for record in caplog.records if record.levelname == "ERROR"]

"""Servers of the workbench: one with models behind it, one without any, one that lets nobody ask often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.limit_fixtures import started
from tests.server import ServerProcess
from tests.templates.workbench import PATIENT, Workbench
from tests.upstream import UpstreamServer

_ENVIRONMENT = PATIENT | {"KEEPALIVE_INTERVAL": "0.3"}
_APPLICATION = "tests.templates.prompts.hasty_application:application"

_LIBRARY = """
from django.contrib.auth import get_user_model
from apps.accounts.identity import Caller
from apps.templates.library.drafts import template_draft
from apps.templates.services import template_create

def draft(slug, *texts, labels={}, public=False):
    variables = [
        {"name": "topic", "type": "string", "required": True},
        {"name": "tone", "type": "choice", "required": False, "default": "calm", "choices": ["calm", "loud"]},
    ]
    versions = [{"text": text, "variables": variables, "note": ""} for text in texts]
    return template_draft({
        "slug": slug, "title": f"Tide table {slug}", "description": "Tells when the tide turns.",
        "category": "blog_article", "is_public": public, "versions": versions, "labels": labels,
    })

users = get_user_model().objects
mine = Caller(user_id=users.get(username="tester").pk, username="tester")
theirs = Caller(user_id=users.create_user("somebody-else").pk, username="somebody-else", is_staff=True)
first, second, third = (f"{ordinal}: write of {{{{ topic }}}} in a {{{{ tone }}}} tone." for ordinal in "ABC")
template_create(caller=mine, draft=draft("mine", first, second, third, labels={"production": 1, "staging": 2}))
template_create(caller=mine, draft=draft("unlabelled", first, second))
template_create(caller=mine, draft=draft("to-save", first, labels={"production": 1}))
template_create(caller=theirs, draft=draft("theirs", first))
template_create(caller=theirs, draft=draft("public", first, public=True))
"""
"""What the library of two servers holds: versions say A, B and C."""


@pytest.fixture(scope="package")
def servers(simulator: UpstreamServer) -> Iterator[dict[str, ServerProcess]]:
    """The three, by their manner."""
    manners: dict[str, tuple[dict[str, str], bool]] = {
        "model": ({}, True),
        "strict": ({"CHAT_RATE_LIMIT": "3/m"}, True),
        "rules": ({"PROVIDER_CHAIN": "mock"}, False),
    }
    made = {
        name: ServerProcess(
            _ENVIRONMENT | env,
            upstream=simulator if with_models else None,
            vendors=["deepseek"],
            application=_APPLICATION,
        )
        for name, (env, with_models) in manners.items()
    }
    with started(*made.values()):
        for name in ("model", "rules"):
            made[name].manage("shell", "-v", "0", "-c", _LIBRARY)
        yield made


@pytest.fixture
def workbench(servers: dict[str, ServerProcess], upstream: UpstreamServer) -> Workbench:
    """One with a model."""
    return Workbench(servers["model"], upstream)

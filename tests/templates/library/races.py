"""Threads that write to one template at once, each with a connection of its own, and what must hold afterwards.

    python -m tests.templates.library.races

runs them on the database of the environment, which it migrates first.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.accounts.identity import Caller

THREADS = 8
ROUNDS = 2


def together(works: list[Callable[[], Any]]) -> list[Any]:
    """Run works at the same moment and return what each returned or raised."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        start.wait(30)
        try:
            return work()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(60) for future in [pool.submit(run, work) for work in works]]


def main() -> None:
    """Race and print that nothing broke."""
    import django
    from django.conf import settings

    options = settings.DATABASES["default"].setdefault("OPTIONS", {})
    # Each thread keeps a connection, and there are more of them than a pool has.
    options.pop("pool", None)
    if "timeout" in options:
        # Of SQLite's lock: how busy the machine is, is not what is looked for.
        options["timeout"] = 60
    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection

    from apps.accounts.identity import Caller
    from apps.templates import services
    from apps.templates.library.drafts import template_draft, version_draft
    from apps.templates.models import Label, Template

    call_command("migrate", verbosity=0, interactive=False)
    user = User.objects.create(username="racer", password="!")
    caller = Caller(user_id=user.pk, username="racer")
    letter: dict[str, Any] = {"title": "Letter", "category": "seo", "text": "Dear {{ name }}", "tags": ["a", "b"]}
    letter["variables"] = [{"name": "name", "type": "string"}]
    draft = template_draft({**letter, "slug": "letter"})

    made = together([lambda: services.template_create(caller=caller, draft=draft)] * THREADS)
    assert sorted(type(one).__name__ for one in made) == ["Conflict"] * (THREADS - 1) + ["Template"], made
    untitled = template_draft(letter)
    for _ in range(ROUNDS):
        made = together([lambda: services.template_create(caller=caller, draft=untitled)] * THREADS)
        assert not [one for one in made if isinstance(one, Exception)], made
    assert Template.objects.count() == 1 + THREADS * ROUNDS

    def write() -> list[int]:
        text = version_draft({"text": "Dear you"})
        return [services.version_create(caller=caller, slug="letter", draft=text).number for _ in range(ROUNDS)]

    def move() -> None:
        for _ in range(ROUNDS):
            services.label_move(caller=caller, slug="letter", name="production", number=1)

    def render() -> None:
        for _ in range(ROUNDS):
            services.template_render(caller=caller, slug="letter", values={"name": "x"}, version=1)

    done = together([write] * THREADS + [move] * 2 + [render] * THREADS)
    assert not [one for one in done if isinstance(one, Exception)], done
    numbers = sorted(number for written in done[:THREADS] for number in written)
    assert numbers == list(range(2, 2 + THREADS * ROUNDS)), numbers
    template = Template.objects.get(slug="letter")
    assert template.uses == 1, template.uses
    assert Label.objects.filter(template=template).count() == 1
    _others_write_while_one_imports(caller)
    _nobody_exceeds_a_quota()
    _changes_at_once_are_all_indexed(caller)
    print(f"races on {connection.vendor}: nothing lost, nothing twice")


def _others_write_while_one_imports(caller: Caller) -> None:
    """Another writer gets its turn between an import's transactions, before the import is stored and indexed."""
    from django.contrib.auth.models import User

    from apps.templates import services
    from apps.templates.library.drafts import template_draft
    from apps.templates.models import Template

    drafts = [template_draft({"title": "Import", "category": "seo", "text": _random_words(900)}) for _ in range(4)]
    ended = threading.Event()

    def make() -> None:
        try:
            services.templates_import(caller=caller, drafts=drafts)
        finally:
            ended.set()

    def write() -> int:
        turns = 0
        while not ended.is_set():
            begun = Template.objects.filter(title="Import").exists()
            User.objects.filter(pk=caller.user_id).update(first_name="x")
            turns += begun and Template.objects.filter(title="Import", indexed_at=None).exists()
        return turns

    _, turns = together([make, write])
    assert isinstance(turns, int), turns
    assert turns >= 3, turns


def _nobody_exceeds_a_quota() -> None:
    """Whatever is made at once, a user has at most what they may."""
    from django.contrib.auth.models import User

    from apps.accounts.identity import Caller
    from apps.templates import services
    from apps.templates.library import quotas
    from apps.templates.library.drafts import template_draft, version_draft
    from apps.templates.models import Template

    user = User.objects.create(username="hoarder", password="!")
    caller = Caller(user_id=user.pk, username="hoarder")
    draft = template_draft({"title": "Heap", "category": "seo", "text": "x" * 2_000})
    most = quotas.MAX_TEMPLATES, quotas.MAX_TEXT_BYTES
    quotas.MAX_TEMPLATES, quotas.MAX_TEXT_BYTES = 5, 30_000
    try:
        made = together([lambda: services.templates_import(caller=caller, drafts=[draft] * 2)] * THREADS)
        assert sorted(type(one).__name__ for one in made) == ["InvalidRequest"] * (THREADS - 2) + ["list"] * 2, made
        assert quotas.held_by(user.pk) == quotas.Held(templates=4, text_bytes=8_000)
        slugs = list(Template.objects.filter(owner=user).values_list("slug", flat=True))
        text = version_draft({"text": "y" * 5_000})
        added = together([partial(services.version_create, caller=caller, slug=slug, draft=text) for slug in slugs * 3])
        assert sorted(type(one).__name__ for one in added) == ["InvalidRequest"] * 8 + ["Version"] * 4, added
        assert quotas.held_by(user.pk) == quotas.Held(templates=4, text_bytes=28_000)
        assert not Template.objects.exclude(state=Template.State.WHOLE).exists()
    finally:
        quotas.MAX_TEMPLATES, quotas.MAX_TEXT_BYTES = most


def _changes_at_once_are_all_indexed(caller: Caller) -> None:
    """The entry is that of the last change, whoever was last to write an entry."""
    from apps.templates import search, services
    from apps.templates.library.drafts import template_change
    from apps.templates.models import Template

    changes = [template_change({"description": f"zebra{number}x"}) for number in range(THREADS)]
    change = partial(services.template_update, caller=caller, slug="letter")
    for _ in range(ROUNDS):
        changed = together([partial(change, change=one) for one in changes])
        assert not [one for one in changed if isinstance(one, Exception)], changed
        template = Template.objects.get(slug="letter")
        assert template.indexed_at == template.updated_at
        found = search.template_search(caller=caller, query=template.description)
        assert [one.slug for one in found][:1] == ["letter"], template.description
    words = [template_change({"text": f"Dear you, {number}"}) for number in range(THREADS)]
    before = Template.objects.get(slug="letter").versions.count()
    changed = together([partial(change, change=one) for one in words])
    assert not [one for one in changed if isinstance(one, Exception)], changed
    assert Template.objects.get(slug="letter").versions.count() == before + THREADS


def _random_words(count: int) -> str:
    source = random.Random(7)
    return " ".join("".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(count))


if __name__ == "__main__":
    main()

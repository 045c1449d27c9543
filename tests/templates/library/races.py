"""Threads that write to one template at once, each with a connection of its own, and what must hold afterwards.

    python -m tests.templates.library.races

runs them on the database of the environment, which it migrates first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

THREADS = 8
ROUNDS = 6


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

    # Each thread keeps a connection, and there are more of them than a pool has.
    settings.DATABASES["default"].get("OPTIONS", {}).pop("pool", None)
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
    assert template.uses == THREADS * ROUNDS, template.uses
    assert Label.objects.filter(template=template).count() == 1
    print(f"races on {connection.vendor}: nothing lost, nothing twice")


if __name__ == "__main__":
    main()

"""Templates of tests, written and indexed in a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.auth.models import User

from apps.accounts.identity import Caller
from apps.templates.models import Label, Tag, Template, Version
from apps.templates.search import Found, index_templates, template_search

__all__ = ["caller_of", "search", "slugs", "store", "store_many", "user"]

NOBODY = Caller(user_id=0, username="nobody")


def store(
    slug: str,
    title: str = "",
    description: str = "",
    text: str = "",
    *,
    tags: tuple[str, ...] = (),
    owner: User | None = None,
    public: bool = True,
    category: str = "research",
    language: str = "en",
    uses: int = 0,
    label: str | None = "production",
    indexed: bool = True,
) -> Template:
    template = Template.objects.create(
        slug=slug, title=title, description=description, category=category, language=language, owner=owner,
        is_public=public, uses=uses,
    )  # fmt: skip
    Tag.objects.bulk_create([Tag(template=template, name=name) for name in tags])
    version = Version.objects.create(template=template, number=1, text=text)
    if label:
        Label.objects.create(template=template, name=label, version=version)
    if indexed:
        index_templates([template.pk])
    return template


def store_many(
    slugs: Iterable[str],
    title: str = "",
    description: str = "",
    *,
    text: Callable[[int], str] = lambda number: "",
    uses: Callable[[int], int] = lambda number: 0,
    owner: User | None = None,
    public: bool = True,
) -> None:
    """Write templates in production, each with a text and a use of its number, and index none of them."""
    templates = Template.objects.bulk_create(
        Template(
            slug=slug, title=title, description=description, category="research", language="en", owner=owner,
            is_public=public, uses=uses(number),
        )
        for number, slug in enumerate(slugs)
    )  # fmt: skip
    versions = Version.objects.bulk_create(
        Version(template=template, number=1, text=text(number)) for number, template in enumerate(templates)
    )
    Label.objects.bulk_create(
        Label(template=version.template, name="production", version=version) for version in versions
    )


def search(query: str, caller: Caller = NOBODY, **filters: Any) -> tuple[Found, ...]:
    return template_search(caller=caller, query=query, **filters)


def slugs(query: str, caller: Caller = NOBODY, **filters: Any) -> list[str]:
    return [found.slug for found in search(query, caller, **filters)]


def user(name: str) -> User:
    return User.objects.create(username=name)


def caller_of(owner: User) -> Caller:
    return Caller(user_id=owner.pk, username=owner.username)

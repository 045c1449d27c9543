"""Templates by the thousand that read like the starter library: its titles, sentences and paragraphs, mixed anew."""

from __future__ import annotations

import random
from collections.abc import Iterator

from django.db import transaction

from apps.templates.library.starter_library import StarterTemplate, read_library
from apps.templates.models import Label, Tag, Template, Version
from apps.templates.search import index_templates

__all__ = ["store_generated", "store_library", "store_private"]

_SYLLABLES = (
    "ba",
    "bra",
    "chi",
    "co",
    "del",
    "fer",
    "gri",
    "ha",
    "kor",
    "li",
    "mi",
    "na",
    "or",
    "pel",
    "qui",
    "ro",
    "sa",
)


def store_library() -> None:
    """Write the starter library into an empty database, public and in production, and index it."""
    _store([(item, item.slug, 0) for item in read_library()])


def store_generated(count: int, seed: int = 0) -> None:
    """Write so many public templates into an empty database and index them. The same seed makes the same.

    Every fourth is a draft, few are used much.
    """
    _store(list(_generated(count, random.Random(seed))), drafts=True)


def store_private(count: int, owner_id: int, seed: int) -> None:
    """Write so many private templates of a user beside what there is, and index them. Some words are theirs alone."""
    _store(list(_generated(count, random.Random(seed))), drafts=True, owner_id=owner_id)


def _generated(count: int, chance: random.Random) -> Iterator[tuple[StarterTemplate, str, int]]:
    library = read_library()
    by_category = {item.category: [other for other in library if other.category == item.category] for item in library}
    # As many names as a library of this size would bring: words that few templates have.
    names = ["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4))) for _ in range(count * 2)]
    for number in range(count):
        kin = by_category[chance.choice(library).category]
        about, other, third = chance.choice(kin), chance.choice(kin), chance.choice(library)
        paragraphs = [*about.text.split("\n\n"), *other.text.split("\n\n"), *third.text.split("\n\n")]
        some = chance.sample(names, 3)
        item = StarterTemplate(
            slug=f"generated-{number}",
            title=" ".join([_half(about.title, chance), chance.choice(names), _half(third.title, chance)])[:200],
            description=" ".join([chance.choice(one.description.split(". ")) for one in (about, other)] + some),
            category=about.category,
            tags=tuple({*chance.sample(about.tags, 2), *chance.sample(other.tags, 1)}),
            language=about.language,
            variables=(),
            text="\n\n".join(chance.sample(paragraphs, min(len(paragraphs), 8)) + some),
        )
        yield item, item.slug, int(chance.paretovariate(0.6)) - 1


def _half(text: str, chance: random.Random) -> str:
    words = text.split()
    middle = max(1, len(words) // 2)
    return " ".join(words[:middle] if chance.random() < 0.5 else words[middle:])


def _store(items: list[tuple[StarterTemplate, str, int]], *, drafts: bool = False, owner_id: int | None = None) -> None:
    with transaction.atomic():
        templates = Template.objects.bulk_create(
            Template(
                slug=slug,
                title=item.title,
                description=item.description,
                category=item.category,
                language=item.language,
                owner_id=owner_id,
                is_public=owner_id is None,
                uses=min(uses, 10**9),
            )
            for item, slug, uses in items
        )
        pairs = list(zip(templates, items, strict=True))
        Tag.objects.bulk_create(
            [Tag(template=template, name=name) for template, (item, _, _) in pairs for name in item.tags],
            batch_size=1_000,
        )
        versions = Version.objects.bulk_create(
            [Version(template=template, number=1, text=item.text) for template, (item, _, _) in pairs], batch_size=500
        )
        Label.objects.bulk_create(
            [
                Label(template=version.template, name=Label.Name.PRODUCTION, version=version)
                for version in versions
                if version.template_id % 4 or not drafts
            ],
            batch_size=1_000,
        )
        index_templates([template.pk for template in templates])

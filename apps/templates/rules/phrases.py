"""What the rules add to a prompt, by language: one file each in `phrases/`, read when it is first wanted."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apps.templates.categories import UNKNOWN
from apps.templates.rules.cues import read_yaml

__all__ = ["LANGUAGES", "Material", "Phrases", "read_phrases"]

_DIRECTORY = Path(__file__).parent / "phrases"
LANGUAGES = ("en", "de", "fr", "es", "pt", "it", "nl")
"""Those with phrases of their own. A prompt in another language never gets words of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a category's prompts need. `length` and `shape` are empty where a category has none."""

    role: str
    needs: str
    """What a writer must know, as the subject of a condition."""
    format: str
    length: str
    rules: tuple[str, ...]
    shape: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """Everything of one language."""

    language: str
    labels: Mapping[str, str]
    """By `task`, `audience`, `tone`, `output`, `rules`, `shape`."""
    gaps: str
    """With `{needs}`: to be assumed if they are missing."""
    ask: str
    """With `{needs}`: to be asked for, where nothing can be done without."""
    material: str
    vague: str
    """With `{words}`."""
    brief: str
    """The one sentence that a request of a line needs."""
    small: tuple[str, ...]
    """In small letters, what such requests begin with, each followed by another word."""
    categories: Mapping[str, Material]

    def material_of(self, category: str | None) -> Material:
        """Return a category's material; that of `unknown` for one that is not known."""
        return self.categories.get(category or UNKNOWN, self.categories[UNKNOWN])


@functools.cache
def read_phrases(language: str) -> Phrases | None:
    """Return a language's phrases, or None where it has none."""
    if language not in LANGUAGES:
        return None
    held = read_yaml(_DIRECTORY / f"{language}.yaml")
    return Phrases(
        language=language,
        labels=held["labels"],
        gaps=held["gaps"],
        ask=held["ask"],
        material=held["material"],
        vague=held["vague"],
        brief=held["brief"],
        small=tuple(opening.strip() for opening in held["small"].split(",")),
        categories={
            name: Material(
                role=item["role"],
                needs=item["needs"],
                format=item["format"],
                length=item["length"],
                rules=tuple(item["rules"]),
                shape=item.get("shape", ""),
            )
            for name, item in held["categories"].items()
        },
    )

"""What a search query asks for. Everything that is typed is text: no operator, no wildcard, no error.

Only double quotes mean something: what they enclose has to stand in a template as it is written there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from apps.templates.search.synonyms import STOP_WORDS, SYNONYMS
from apps.templates.search.words import Word, is_spaceless, words_in

__all__ = ["MAX_GROUPS", "MAX_QUERY_CHARACTERS", "PREFIX_QUALITY", "Group", "Variant", "parse_query"]

MAX_QUERY_CHARACTERS = 300
MAX_GROUPS = 12
MAX_VARIANTS = 8
"""What a query has beyond one of these is not looked for."""

PREFIX_QUALITY = 0.35
"""Of a word that goes on where the query ends."""
# Nearly every template has words that begin with any one letter.
_SHORTEST_PREFIX = 2
_SYNONYM_QUALITY = 0.6
_QUOTED = re.compile(r'["“”„‟]([^"“”„‟]*)["“”„‟]|[«「『]([^«»「」『』]*)[»」』]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to say what was asked for: stems side by side."""

    stems: tuple[str, ...]
    quality: float
    """From 0 to 1: how much it counts where the very word counts 1."""
    is_prefix: bool = False
    """Whether the last stem is only a beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One thing that was asked for, and the ways a template may say it. It counts as its best."""

    word: str
    """As typed, folded; "" for what is in quotes."""
    variants: tuple[Variant, ...]
    is_required: bool = False
    is_last: bool = False
    """Whether it may still be being typed."""

    def with_variants(self, variants: list[Variant]) -> Group:
        """Return the group with further ways to say it, up to `MAX_VARIANTS`; those it has stay as they are."""
        known = {variant.stems for variant in self.variants}
        new = [variant for variant in variants if variant.stems not in known]
        return replace(self, variants=(*self.variants, *new)[:MAX_VARIANTS])


def parse_query(query: str) -> tuple[Group, ...]:
    """Return what a query asks for, in its order; nothing if there is no letter or digit in it."""
    query = query[:MAX_QUERY_CHARACTERS]
    groups: list[Group] = []
    place = 0
    for quoted in _QUOTED.finditer(query):
        groups += _free_groups(query[place : quoted.start()])
        groups += _phrase_group(quoted[1] or quoted[2] or "")
        place = quoted.end()
    free = _free_groups(query[place:])
    if free:
        free[-1] = _open_ended(free[-1])
    # A word that is asked for twice counts once.
    distinct = {group.variants[0].stems: group for group in (*groups, *free)}
    telling = [group for group in distinct.values() if group.is_required or group.word not in STOP_WORDS]
    return tuple(_with_synonyms(telling or list(distinct.values()))[:MAX_GROUPS])


def _phrase_group(text: str) -> list[Group]:
    stems = [word.stem for word in words_in(text) if not word.parts]
    if len(stems) > 1 and is_spaceless(stems[-1]) and len(stems[-1]) == 1:
        del stems[-1]
    is_prefix = len(stems) == 1 and _is_lone(stems[0])
    variant = Variant(stems=tuple(stems[:MAX_GROUPS]), quality=1.0, is_prefix=is_prefix)
    return [Group(word="", variants=(variant,), is_required=True)] if stems else []


def _free_groups(text: str) -> list[Group]:
    groups: list[Group] = []
    last: Word | None = None
    for word in words_in(text):
        exact = Variant(stems=(word.stem,), quality=1.0, is_prefix=_is_lone(word.word))
        if word.parts:
            del groups[-len(word.parts) :]
            groups.append(Group(word=word.word, variants=(exact, Variant(stems=word.parts, quality=1.0))))
        elif not (last and exact.is_prefix and is_spaceless(last.word) and last.end == word.end):
            groups.append(Group(word=word.word, variants=(exact,)))
        last = word
    return groups


def _is_lone(word: str) -> bool:
    """Return whether a word is one character of a script that is cut into pairs: every pair that begins with it."""
    return len(word) == 1 and is_spaceless(word)


def _open_ended(group: Group) -> Group:
    if is_spaceless(group.word) or len(group.word) < _SHORTEST_PREFIX:
        return replace(group, is_last=True)
    prefix = Variant(stems=(group.word,), quality=PREFIX_QUALITY, is_prefix=True)
    return replace(group, is_last=True, variants=(*group.variants, prefix))


def _with_synonyms(groups: list[Group]) -> list[Group]:
    stems = [group.variants[0].stems[-1] for group in groups]
    found = list(groups)
    for at, group in enumerate(groups):
        if not group.word:
            continue
        for count in (1, 2, 3):
            others = SYNONYMS.get(tuple(stems[at : at + count]), ())
            same = [Variant(stems=other, quality=_SYNONYM_QUALITY) for other in others]
            found[at] = found[at].with_variants(same)
    return found

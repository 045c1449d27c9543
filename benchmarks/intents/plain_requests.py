"""Plain requests, such as "I need a newsletter": what people name, in the frames that they put it in.

A file has for each language its frames, and for each label what is named: a `thing` and an `act` go into the frames of
that kind, a `whole` is a request as it stands. `{}` in a frame is a thing as written, `{bare}` the same without its
article. Two directories hold such files, one to learn from and one to measure by, and they share no wording.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml

from apps.templates.categories import UNKNOWN
from benchmarks.intents.labelled import LEARNT_PLAIN, MEASURED_PLAIN, Line, labelled_parts, training_material

__all__ = ["core", "material", "plain_requests", "wordings"]

_ARTICLE = re.compile(
    r"(?:an?|the|some|eine[nr]?|ein|une?|des|de la|du|una|uno|uma?|delle|della|dello|een)\s+|(?:de\s)?l['’]|un['’]"
)
_FRAMES: Final = "frames"
_WHOLE: Final = "whole"
_WORD = re.compile("(?:[^\\W_]|[\u0900-\u0dff])+")
_FRAMES_EACH: Final = 4
"""In how many frames a thing is put, besides the one of its own."""


def wordings(directory: Path, language: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return, in small letters, the frames and the things of a directory, each thing without its article."""
    frames: set[str] = set()
    things: set[str] = set()
    for label, kinds in _read(directory).get(language, {}).items():
        for kind, listed in kinds.items():
            if label == _FRAMES:
                frames.update(frame for frame in _split(listed) if frame not in ("{}", "{bare}"))
            elif kind != _WHOLE:
                things.update(map(_bare, _split(listed)))
    return frozenset(frames), frozenset(things)


def plain_requests(directory: Path) -> list[Line]:
    """Return the requests that a directory's things and frames make; the same each time."""
    lines = {
        query.casefold(): Line(query=query, label=label, language=language)
        for language, labels in _read(directory).items()
        for label, kinds in labels.items()
        if label != _FRAMES
        for kind, listed in kinds.items()
        for query in _in_frames(_split(listed), _split(labels[_FRAMES].get(kind, "{}")))
    }
    return list(lines.values())


def material() -> list[Line]:
    """Return all that is learnt from besides the labelled queries; none of it names what is measured by."""
    named = {
        core(thing)
        for labels in _read(MEASURED_PLAIN).values()
        for label, kinds in labels.items()
        if label not in (_FRAMES, UNKNOWN)
        for kind, listed in kinds.items()
        if kind != _WHOLE
        for thing in map(_bare, _split(listed))
    }
    asked = {line.query.casefold() for line in (*plain_requests(MEASURED_PLAIN), *labelled_parts()[1])}
    lines = (*training_material(), *plain_requests(LEARNT_PLAIN))
    return [line for line in lines if core(line.query) not in named and line.query.casefold() not in asked]


def core(query: str) -> tuple[str, ...]:
    """Return the words of a query that no frame has: what it names, whatever it is put in."""
    return tuple(word for word in _WORD.findall(query.casefold()) if word not in _carriers())


@functools.cache
def _carriers() -> frozenset[str]:
    listed = (
        frame
        for directory in (LEARNT_PLAIN, MEASURED_PLAIN)
        for labels in _read(directory).values()
        for frame in ",".join(labels[_FRAMES].values()).split(",")
    )
    return frozenset(word for frame in listed for word in _WORD.findall(frame.replace("{bare}", "").casefold())) | {"a"}


def _in_frames(things: list[str], frames: list[str]) -> Iterator[str]:
    others = frames[1:]
    count = min(_FRAMES_EACH, len(others))
    for n, thing in enumerate(things):
        for frame in (frames[0], *(others[(n * count + k) % len(others)] for k in range(count))):
            yield frame.replace("{bare}", _bare(thing)).replace("{}", thing)


def _bare(thing: str) -> str:
    return _ARTICLE.sub("", thing, count=1) if _ARTICLE.match(thing) else thing


def _split(listed: str) -> list[str]:
    return [each.strip() for each in listed.split(",")]


@functools.cache
def _read(directory: Path) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    for path in sorted(directory.glob("*.yaml")):
        for language, labels in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            for label, kinds in labels.items():
                mine = found.setdefault(language, {}).setdefault(label, {})
                for kind, listed in kinds.items():
                    mine[kind] = f"{mine[kind]}, {listed}" if kind in mine else listed
    return found

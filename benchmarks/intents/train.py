"""Make the weights that apps/templates/rules/intent.py applies: `python -m benchmarks.intents.train`.

One linear classifier a label over those features of apps/templates/rules/features.py that several lines have,
quantised to a byte a weight. They learn from the training part of tests/templates/intents.jsonl and from the
directories training and plain beside this file; the held-out third is never read, nor is any line near to one of it or
of intents_unseen.jsonl, nor one that names what a plain request of tests/templates/plain does. Needs numpy,
scipy, scikit-learn, PyYAML and msgspec; the first three neither the service nor its tests need.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix
from sklearn.svm import LinearSVC

from apps.templates.categories import UNKNOWN
from apps.templates.rules.intent import LABELS, WEIGHTS, hashed_features
from benchmarks.intents.labelled import LEARNT_PLAIN, Line, inputs_digest, labelled_parts, read_asides
from benchmarks.intents.plain_requests import material, plain_requests

_STRENGTH = 0.3
_LEAST_LINES = 3
"""A feature of fewer lines than these gets no weights."""
_TYPO_WEIGHT = 0.5
_TOLD_WEIGHT = 0.5
_WIDEST_KEPT = 0.3
"""Weights wider than this part of the widest are cut to it: they are few, and the steps of all others become finer."""
_PLAIN_WEIGHT = 0.15
"""There are more plain requests than all others, and they say less, but for a word alone and what is unknown."""
_TOLD_SHARE = 0.5
_TOLD_WORDS = range(3, 21)
"""Half of the queries of so many words are seen once more, between sentences that ask for nothing."""
_FOLDS = 3
_SHARPER = 0.85
"""Plain requests, which no labelled query is, are more often right than those are."""
_LATIN = frozenset({"en", "de", "fr", "es", "pt", "it", "nl"})


def main() -> None:
    """Train, calibrate by cross-validation inside the training part, write the file."""
    own, more = list(labelled_parts()[0]), material()
    print(f"{len(own)} labelled lines, {len(more)} lines of training material", file=sys.stderr)
    temperature = _temperature(own, more)
    known, model = _fit(own, more)
    weights = model.coef_.T
    step = float(np.abs(weights).max() / 127 * _WIDEST_KEPT)
    table = np.clip(np.rint(weights / step), -127, 127).astype(np.int16) + 128
    content = {
        "inputs_sha256": inputs_digest(),
        "step": step,
        "temperature": temperature,
        "features": len(known),
        "bias": [round(float(value), 4) for value in model.intercept_],
    }
    body = np.array(known, dtype="<u4").tobytes() + table.astype(np.uint8).tobytes()
    WEIGHTS.write_bytes(json.dumps(content).encode() + b"\n" + zlib.compress(body, 9))
    print(f"temperature {temperature:.3f}, {WEIGHTS.stat().st_size} bytes", file=sys.stderr)


def _known(lines: Sequence[Line]) -> list[int]:
    """Return, in order, the hashes of the features that enough lines have."""
    counts = Counter(value for line in lines for group, _ in _hashed(line.query) for value in group)
    return sorted(value for value, count in counts.items() if count >= _LEAST_LINES)


def _matrix(lines: Sequence[Line], known: list[int]) -> Any:
    place = {value: column for column, value in enumerate(known)}
    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    for line in lines:
        for group, scale in _hashed(line.query):
            inside = [place[value] for value in group if value in place]
            columns += inside
            values += [scale] * len(inside)
        ends.append(len(columns))
    return csr_matrix((values, columns, ends), shape=(len(lines), len(known)))


@functools.cache
def _hashed(query: str) -> tuple[tuple[list[int], float], ...]:
    return tuple(hashed_features(query))


def _fit(own: list[Line], more: list[Line]) -> tuple[list[int], LinearSVC]:
    plain = [*own, *more]
    typed = [variant for line in plain if (variant := _mistyped(line))]
    told = [variant for line in plain if (variant := _among_others(line))]
    lines = [*plain, *typed, *told]
    labels = [LABELS.index(line.label) for line in lines]
    weights = [_PLAIN_WEIGHT if line.query in _plain() and not _stands_alone(line) else 1.0 for line in plain]
    weights += [_TYPO_WEIGHT] * len(typed) + [_TOLD_WEIGHT] * len(told)
    known = _known(lines)
    model = LinearSVC(C=_STRENGTH, random_state=0)
    return known, model.fit(_matrix(lines, known), labels, sample_weight=weights)


@functools.cache
def _plain() -> frozenset[str]:
    return frozenset(line.query for line in plain_requests(LEARNT_PLAIN))


def _stands_alone(line: Line) -> bool:
    return line.label == UNKNOWN or (line.language in _LATIN and " " not in line.query)


def _mistyped(line: Line) -> Line | None:
    """Return a line as a hurried hand would have it; the same each time."""
    chance = random.Random(line.query)
    words = line.query.split(" ")
    long = [n for n, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if line.language not in _LATIN or not long:
        return None
    for n in chance.sample(long, min(len(long), 1 + len(long) // 4)):
        word, at = words[n], chance.randrange(1, len(words[n]) - 2)
        words[n] = chance.choice(
            (
                word[:at] + word[at + 1] + word[at] + word[at + 2 :],
                word[:at] + word[at + 1 :],
                word[:at] + word[at] + word[at:],
                word[:at] + chance.choice("aeiourstln") + word[at + 1 :],
            )
        )
    return Line(query=" ".join(words), label=line.label, language=line.language)


def _among_others(line: Line) -> Line | None:
    """Return an English query with one to three sentences around it that say nothing of what is asked."""
    chance = random.Random("among others" + line.query)
    fits = line.language == "en" and line.label != UNKNOWN and "\n" not in line.query
    if not fits or len(line.query.split()) not in _TOLD_WORDS or chance.random() > _TOLD_SHARE:
        return None
    others = chance.sample(read_asides(), chance.choice((1, 1, 2, 2, 3)))
    at = chance.randrange(len(others) + 1)
    query = line.query if line.query[-1] in ".?!" else f"{line.query}."
    return Line(query=" ".join([*others[:at], query, *others[at:]]), label=line.label, language=line.language)


def cross_validated(own: list[Line], more: list[Line]) -> Any:
    """Return the scores of each labelled line by a model that has not seen it."""
    fold = [int.from_bytes(hashlib.sha256(b"fold" + line.query.encode()).digest()[:4]) % _FOLDS for line in own]
    scores = np.zeros((len(own), len(LABELS)))
    for n in range(_FOLDS):
        known, model = _fit([line for line, k in zip(own, fold, strict=True) if k != n], more)
        inside = [index for index, k in enumerate(fold) if k == n]
        scores[inside] = model.decision_function(_matrix([own[index] for index in inside], known))
    return scores


def _temperature(own: list[Line], more: list[Line]) -> float:
    scores = cross_validated(own, more)
    right = np.array([LABELS.index(line.label) for line in own])

    def loss(temperature: float) -> float:
        cooled = scores / temperature
        cooled -= cooled.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(cooled).sum(axis=1)) - cooled[np.arange(len(right)), right]))

    found = minimize_scalar(loss, bounds=(0.05, 2.0), method="bounded")
    ranks = np.argsort(-scores, axis=1)
    first, third = (ranks[:, 0] == right).mean(), (ranks[:, :3] == right[:, None]).any(axis=1).mean()
    print(f"cross-validated: top 1 {first:.3f}, top 3 {third:.3f}, loss {found.fun:.3f}", file=sys.stderr)
    return float(found.x) * _SHARPER


if __name__ == "__main__":
    main()

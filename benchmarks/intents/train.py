"""Make the weights that apps/templates/rules/intent.py applies: `python -m benchmarks.intents.train`.

A softmax regression over the features of apps/templates/rules/features.py, hashed, quantised to a byte a weight. It
learns from the training part of tests/templates/intents.jsonl and from the training directory beside this file; the
held-out third, and any line near to one of it, is never read. Needs numpy, scipy and scikit-learn, which neither the
service nor its tests do.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import sys
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression

from apps.templates.rules.intent import BUCKETS, LABELS, WEIGHTS, buckets
from benchmarks.intents.labelled import Line, inputs_digest, labelled_parts, training_material

_STRENGTH = 5.0
_ITERATIONS = 30
_TYPO_WEIGHT = 0.5
_FOLDS = 3
_LATIN = frozenset({"en", "de", "fr", "es", "pt", "it", "nl"})


def main() -> None:
    """Train, calibrate by cross-validation inside the training part, write the file."""
    own, more = list(labelled_parts()[0]), training_material()
    print(f"{len(own)} labelled lines, {len(more)} lines of training material", file=sys.stderr)
    temperature, unknown_shift = _calibration(own, more)
    model = _fit(own, more)
    weights = np.concatenate([model.coef_.T, model.intercept_[None, :]])
    step = float(np.abs(weights[:-1]).max() / 127)
    table = np.clip(np.rint(weights[:-1] / step), -127, 127).astype(np.int16) + 128
    bias = model.intercept_.copy()
    bias[LABELS.index("unknown")] += unknown_shift
    content = {
        "inputs_sha256": inputs_digest(),
        "step": step,
        "temperature": temperature,
        "bias": [round(float(value), 4) for value in bias],
    }
    WEIGHTS.write_bytes(json.dumps(content).encode() + b"\n" + zlib.compress(table.astype(np.uint8).tobytes(), 9))
    print(f"temperature {temperature:.3f}, shift {unknown_shift:.3f}, {WEIGHTS.stat().st_size} bytes", file=sys.stderr)


def _matrix(lines: Sequence[Line]) -> Any:
    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    for line in lines:
        for group, scale in _buckets(line.query):
            columns += group
            values += [scale] * len(group)
        ends.append(len(columns))
    matrix = csr_matrix((values, columns, ends), shape=(len(lines), BUCKETS))
    matrix.sum_duplicates()
    return matrix


@functools.cache
def _buckets(query: str) -> tuple[tuple[list[int], float], ...]:
    return tuple(buckets(query))


def _fit(own: list[Line], more: list[Line]) -> LogisticRegression:
    plain = [*own, *more]
    typed = [variant for line in plain if (variant := _mistyped(line))]
    labels = [LABELS.index(line.label) for line in [*plain, *typed]]
    weights = [1.0] * len(plain) + [_TYPO_WEIGHT] * len(typed)
    model = LogisticRegression(C=_STRENGTH, max_iter=_ITERATIONS, tol=1e-3)
    return model.fit(vstack([_matrix(plain), _matrix(typed)]), labels, sample_weight=weights)


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


def cross_validated(own: list[Line], more: list[Line]) -> Any:
    """Return the scores of each labelled line by a model that has not seen it."""
    fold = [int.from_bytes(hashlib.sha256(b"fold" + line.query.encode()).digest()[:4]) % _FOLDS for line in own]
    scores = np.zeros((len(own), len(LABELS)))
    for n in range(_FOLDS):
        model = _fit([line for line, k in zip(own, fold, strict=True) if k != n], more)
        inside = [index for index, k in enumerate(fold) if k == n]
        scores[inside] = model.decision_function(_matrix([own[index] for index in inside]))
    return scores


def _calibration(own: list[Line], more: list[Line]) -> tuple[float, float]:
    scores = cross_validated(own, more)
    right = np.array([LABELS.index(line.label) for line in own])
    unknown = LABELS.index("unknown")

    def loss(parameters: Any) -> float:
        shifted = scores.copy()
        shifted[:, unknown] += parameters[1]
        shifted /= parameters[0]
        shifted -= shifted.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(right)), right]))

    found = minimize(loss, x0=[1.0, 0.0], method="Nelder-Mead")
    ranks = np.argsort(-scores, axis=1)
    first, third = (ranks[:, 0] == right).mean(), (ranks[:, :3] == right[:, None]).any(axis=1).mean()
    print(f"cross-validated: top 1 {first:.3f}, top 3 {third:.3f}, loss {found.fun:.3f}", file=sys.stderr)
    return float(found.x[0]), float(found.x[1])


if __name__ == "__main__":
    main()

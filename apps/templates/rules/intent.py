"""What a query is about, by rules: no model, no network, a few milliseconds.

Each feature of a query (features.py) that was seen often enough in training has a weight for each label, learnt from
labelled queries by benchmarks/intents/train.py; the sums, made into probabilities, are the confidences. The same query
gives the same answer in every process.
"""

from __future__ import annotations

import functools
import json
import math
import sys
import zlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.templates.answers import Alternative, Entities, Intent, Source
from apps.templates.categories import CATEGORIES, UNKNOWN
from apps.templates.rules.entities import find_entities
from apps.templates.rules.features import features, says_what
from apps.templates.rules.language import detect_language

__all__ = ["LABELS", "WEIGHTS", "detect_intent", "hashed_features", "preload"]

LABELS: Final = (*CATEGORIES, UNKNOWN)
WEIGHTS: Final = Path(__file__).with_name("intent_weights.bin")
"""One line of JSON; then, deflated, the hashes of the features in order, and a byte for each feature and label."""

_GROUP_SCALES: Final = {"c": 1.3, "w": 1.6, "p": 1.3, "a": 2.0, "t": 0.7}
"""How much the groups weigh against each other: concepts, words, pieces of words, what asks, what stands around it."""
_ALTERNATIVES: Final = 3
_LANE_BYTES: Final = 3
"""One lane for each label in a sum: holds 65,000 weights of one byte; a query has no more than 10,000 features."""
_MIDDLE: Final = 128
"""The byte that stands for a weight of zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    lanes: dict[int, int]
    """For each feature that has weights, by its hash, an integer with one lane for each label."""
    step: float
    temperature: float
    bias: tuple[float, ...]


def detect_intent(query: str) -> Intent:
    """Return what a query asks for; `unknown` if it does not say, or asks for no text, code or analysis.

    Of a query longer than features.HEAD_CHARS + TAIL_CHARS only the head and the tail are read, so that any query
    costs a bounded time. The first call reads the weights (see `preload`).
    """
    if not says_what(query):
        return _intent(query, UNKNOWN, 1.0, ())
    ranked = sorted(zip(_probabilities(query), LABELS, strict=True), key=lambda pair: (-pair[0], pair[1]))
    alternatives = tuple(
        Alternative(category=label, confidence=round(confidence, 4))
        for confidence, label in ranked[1 : _ALTERNATIVES + 1]
    )
    return _intent(query, ranked[0][1], round(ranked[0][0], 4), alternatives)


def preload() -> None:
    """Read the weights and the words now, not in the first request."""
    detect_intent("write a poem")


def hashed_features(query: str) -> Iterable[tuple[list[int], float]]:
    """Return for each group of features their hashes, and what one of them weighs."""
    seen = features(query)
    groups = (seen.concepts, seen.words, seen.pieces, seen.asked, seen.told)
    for (mark, scale), group in zip(_GROUP_SCALES.items(), groups, strict=True):
        if group:
            yield [zlib.crc32(f"{mark}{feature}".encode()) for feature in group], scale / math.sqrt(len(group))


def _intent(query: str, category: str, confidence: float, alternatives: tuple[Alternative, ...]) -> Intent:
    return Intent(
        category=category,
        confidence=confidence,
        alternatives=alternatives,
        language=detect_language(query),
        entities=find_entities(query) if category != UNKNOWN else Entities(),
        source=Source.RULES,
    )


def _probabilities(query: str) -> list[float]:
    weights = _weights()
    scores = list(weights.bias)
    width = _LANE_BYTES * len(LABELS)
    for hashes, scale in hashed_features(query):
        # One addition of a long integer adds the weights of all labels.
        known = [weights.lanes[value] for value in hashes if value in weights.lanes]
        lanes = sum(known).to_bytes(width, "little")
        for n in range(len(LABELS)):
            lane = int.from_bytes(lanes[n * _LANE_BYTES : (n + 1) * _LANE_BYTES], "little")
            scores[n] += scale * weights.step * (lane - _MIDDLE * len(known))
    highest = max(scores)
    powers = [math.exp((score - highest) / weights.temperature) for score in scores]
    return [power / sum(powers) for power in powers]


@functools.cache
def _weights() -> _Weights:
    head, _, body = WEIGHTS.read_bytes().partition(b"\n")
    content = json.loads(head)
    unpacked = zlib.decompress(body)
    hashes = array("I", unpacked[: 4 * content["features"]])
    if sys.byteorder == "big":
        hashes.byteswap()
    packed = unpacked[4 * content["features"] :]
    rows = bytearray(_LANE_BYTES * len(packed))
    rows[::_LANE_BYTES] = packed
    width = _LANE_BYTES * len(LABELS)
    return _Weights(
        lanes={
            value: int.from_bytes(rows[row * width : row * width + width], "little") for row, value in enumerate(hashes)
        },
        step=content["step"],
        temperature=content["temperature"],
        bias=tuple(content["bias"]),
    )

"""Which words of what its caller may see a mistyped word may stand for."""

from __future__ import annotations

from apps.templates.search.dictionary import Dictionary
from apps.templates.search.query import Variant
from apps.templates.search.stems import stem

__all__ = ["distance", "near_words"]

_SHORTEST = 4
"""Letters. A shorter word is near too many."""
_TWICE_FROM = 6
"""Letters from which two mistakes are forgiven."""
_QUALITIES = {1: 0.6, 2: 0.35}
_LIKE_WORDS = 60
_NEAR_WORDS = 5


def near_words(word: str, dictionary: Dictionary, *, is_known: bool) -> list[Variant]:
    """Return what a word may have been meant to be; at most five.

    A mistake is a letter too many, too few, another, or two that have changed places. From six letters two are
    forgiven, if nothing is nearer and the word itself is not known. A word with a digit is a name: taken as it is.
    """
    if len(word) < _SHORTEST or not word.isalpha():
        return []
    # Two letters that changed places leave a short word too few pieces to be found by.
    swapped = {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}
    found = dict.fromkeys((*dictionary.known(swapped), *dictionary.like(word, _LIKE_WORDS)))
    most = 2 if len(word) >= _TWICE_FROM and not is_known else 1
    distances = {other: distance(word, other, most) for other in found if other != word}
    nearest = min(distances.values(), default=most + 1)
    if nearest > most:
        return []
    near = [other for other, mistakes in distances.items() if mistakes == nearest][:_NEAR_WORDS]
    return [Variant(stems=(stem(other),), quality=_QUALITIES[nearest]) for other in near]


def distance(one: str, other: str, most: int) -> int:
    """Return how many mistakes make one word of the other, or `most + 1` if there are more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        current = [row]
        for column, wanted in enumerate(other, 1):
            mistakes = min(last[column] + 1, current[-1] + 1, last[column - 1] + (letter != wanted))
            if row > 1 < column and letter == other[column - 2] and one[row - 2] == wanted:
                mistakes = min(mistakes, before[column - 2] + 1)
            current.append(mistakes)
        if min(current) > most:
            return most + 1
        before, last = last, current
    return min(last[-1], most + 1)

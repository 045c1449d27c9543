"""English stemming, after Porter's algorithm of 1980: https://tartarus.org/martin/PorterStemmer/def.txt.

Here and not in a database, so that both find the same. British spelling goes with American, and a final y with nothing.
"""

from __future__ import annotations

import re

__all__ = ["stem"]

_LATIN = re.compile(r"[a-z]{4,}")
_VOWEL = re.compile(r"[aeiou]|(?<=[^aeiou])y")
_VOWELS = re.compile(r"(?:[aeiou]+|(?<=[^aeiou])y+)+")
_SHORT_END = re.compile(r"(?:.*[^aeiou])?[aeiouy][^aeiouwxy]")
_DOUBLED = re.compile(r".*([^aeioulsz])\1")
_OUR = re.compile(r"(?<=...)our(?=s?$|i|ed$|al$)")
_AMERICAN = (("isation", "ization"), ("yse", "yze"), ("ise", "ize"), ("ising", "izing"), ("ised", "ized"))
_IRREGULAR = {
    **dict.fromkeys(("analysis", "analyses", "analyse", "analyze", "analytic", "analytics", "analytical"), "analy"),
    **{"children": "child", "news": "news", "people": "person", "quizzes": "quiz"},
    **{"written": "write", "wrote": "write", "built": "build", "bought": "buy", "sold": "sell", "taught": "teach"},
}
_LONG = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "abli": "able", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble",
}  # fmt: skip
_MIDDLE = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_LAST = (
    "ement", "ance", "ence", "able", "ible", "ment", "ant", "ent", "ism", "ate", "iti", "ous", "ive", "ize",
    "ion", "al", "er", "ic", "ou",
)  # fmt: skip
_BRITISH_ENDS, _LONG_ENDS, _MIDDLE_ENDS = tuple(dict(_AMERICAN)), tuple(_LONG), tuple(_MIDDLE)


def stem(word: str) -> str:
    """Return the part that an English word shares with its other forms; other scripts as they are.

    The word is folded as `search.words.fold` folds.
    """
    if not _LATIN.fullmatch(word):
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    word = _without_inflection(_american(word))
    word = _without_long_suffix(word)
    if word.endswith("e"):
        measure = _measure(word[:-1])
        word = word[:-1] if measure > 1 or (measure == 1 and not _SHORT_END.fullmatch(word[:-1])) else word
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        word = word[:-1]
    return word[:-1] if word.endswith("i") and len(word) > 4 else word


def _measure(text: str) -> int:
    """Return how often a run of vowels ends in a consonant, which the algorithm calls a stem's measure."""
    return sum(run.end() < len(text) for run in _VOWELS.finditer(text))


def _american(word: str) -> str:
    if word.endswith(_BRITISH_ENDS):
        for british, american in _AMERICAN:
            if word.endswith(british) and len(word) > len(british) + 2:
                return word.removesuffix(british) + american
    return _OUR.sub("or", word) if "our" in word else word


def _without_inflection(word: str) -> str:
    """Take off the plural, the past and the participle; a final y becomes i."""
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if word.endswith("eed"):
        word = word[:-1] if _measure(word[:-3]) > 0 else word
    else:
        for suffix in ("ed", "ing"):
            rest = word.removesuffix(suffix)
            if rest != word and _VOWEL.search(rest):
                word = _mended(rest)
                break
    return word[:-1] + "i" if word.endswith("y") and _VOWEL.search(word[:-1]) else word


def _mended(rest: str) -> str:
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if _DOUBLED.fullmatch(rest):
        return rest[:-1]
    return rest + "e" if _measure(rest) == 1 and _SHORT_END.fullmatch(rest) else rest


def _without_long_suffix(word: str) -> str:
    for table, ends in ((_LONG, _LONG_ENDS), (_MIDDLE, _MIDDLE_ENDS)):
        # Few words have one, and to look for all at once takes no longer than for one.
        if word.endswith(ends):
            suffix = next(filter(word.endswith, ends))
            rest = word.removesuffix(suffix)
            word = rest + table[suffix] if _measure(rest) > 0 else word
    if not word.endswith(_LAST):
        return word
    suffix = next(filter(word.endswith, _LAST))
    rest = word.removesuffix(suffix)
    return rest if _measure(rest) > 1 and (suffix != "ion" or rest.endswith(("s", "t"))) else word

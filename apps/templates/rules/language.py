"""What language a query is in: by its script first, then by frequent words and pieces of words."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["UNDETERMINED", "detect_language", "language_to_write"]

UNDETERMINED: Final = "und"

_READ_CHARS: Final = 800
_NOISE: Final = re.compile(
    r"```.{0,2000}?(?:```|\Z)|`[^`\n]{1,200}`|https?://\S{1,300}|www\.\S{1,300}|\S{1,64}@\S{1,64}|\{\{.{0,80}?\}\}"
    r"|^[^\n]{0,300}[;{][ \t]*$|\b\w{1,40}\([^)\n]{0,80}\)|<[^<>\n]{1,200}>",
    re.S | re.M,
)
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SCRIPTS: Final = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("zh", re.compile("[\u3400-\u9fff]")),
    ("ko", re.compile("[\uac00-\ud7af\u1100-\u11ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("bn", re.compile("[\u0980-\u09ff]")),
    ("pa", re.compile("[\u0a00-\u0a7f]")),
    ("gu", re.compile("[\u0a80-\u0aff]")),
    ("ta", re.compile("[\u0b80-\u0bff]")),
    ("te", re.compile("[\u0c00-\u0c7f]")),
    ("kn", re.compile("[\u0c80-\u0cff]")),
    ("ml", re.compile("[\u0d00-\u0d7f]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
    ("ka", re.compile("[\u10a0-\u10ff]")),
    ("hy", re.compile("[\u0530-\u058f]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
)
_LETTERS_A_CHARACTER: Final = {"zh": 3, "ja": 2, "ko": 2}
"""A character of these says as much as that many letters."""
_OWN_LETTERS: Final = (
    ("ru", "uk", re.compile("[іїєґІЇЄҐ]")),
    ("ru", "be", re.compile("[ўЎ]")),
    ("ru", "sr", re.compile("[ђћџљњјЂЋЏЉЊЈ]")),
    ("ru", "bg", re.compile(r"\b(?:за|напиши|моля|и|е|да|се|от|със|ми) .{0,60}\b(?:се|да|ми|със|като|моля|е|ът)\b")),
    ("ar", "fa", re.compile("[پچژگکی]")),
    ("ar", "ur", re.compile("[ٹڈڑںےہھ]")),
    ("hi", "mr", re.compile(r"ळ|(?:^|\s)(?:आहे|मला|आणि|साठी|लिहा)(?:\s|$)")),
)
_LONG_WORD_CHARS: Final = 24
_MAX_WORDS: Final = 120
_PIECE_WEIGHT: Final = 0.25
_OWN_LETTER_WEIGHT: Final = 1.0
_MOST_ARE_ENGLISH: Final = 0.2
_LEAST: Final = 0.5
_ONE_WORD: Final = 1.0
"""What a frequent word of one language alone counts for it."""
_LEAST_LEAD: Final = 0.25
_FEW_WORDS: Final = 3
_LEAST_LEAD_OF_FEW: Final = 0.75
"""More than a word that two languages share: what a few words must say for a language, beyond what English has."""


def detect_language(query: str) -> str:
    """Return the ISO 639-1 code of the language most of a query is in; `und` if nothing says.

    Code between backticks, URLs and addresses are not read, nor is more than the first 800 characters.
    """
    text, words = _read(query)
    letters = {script: len(pattern.findall(text)) * _LETTERS_A_CHARACTER.get(script, 1) for script, pattern in _SCRIPTS}
    if letters["ja"]:
        letters["ja"] += letters.pop("zh")
    script = max(letters, key=lambda name: letters[name])
    latin = sum(len(word) for word in words if word[0] < "\u0250" or word[0] in "ếộạữ")
    if letters[script] * 2 > latin:
        for general, special, sign in _OWN_LETTERS:
            if script == general and sign.search(text):
                script = special
        return script
    return _latin(words)


def language_to_write(prompt: str) -> str:
    """Return the language in which to add to a prompt: its own, but English where its words leave that in doubt.

    In doubt is what a word or two say for another language, if they have no letters that English has not: "roll a die"
    is no Dutch for its "die".
    """
    language = detect_language(prompt)
    _, words = _read(prompt)
    points = _points(words)
    if language not in points or not all(map(str.isascii, words)):
        return language
    lead = points[language] - points.get("en", 0.0)
    in_doubt = (
        lead <= _LEAST_LEAD_OF_FEW if len(words) <= _FEW_WORDS else points[language] < _ONE_WORD and lead <= _LEAST_LEAD
    )
    return "en" if in_doubt else language


def _read(query: str) -> tuple[str, list[str]]:
    """Return what is read of a query, and its words."""
    text = _NOISE.sub(" ", query[:_READ_CHARS])
    return text, _WORD.findall(text)[:_MAX_WORDS]


def _latin(words: Iterable[str]) -> str:
    points = _points(words)
    if not points:
        return UNDETERMINED
    language, most = max(points.items(), key=lambda item: (item[1], item[0]))
    return language if most >= _LEAST else UNDETERMINED


def _points(words: Iterable[str]) -> dict[str, float]:
    """Return what words say for each language that they say anything for."""
    known, pieces = _tables()
    points: defaultdict[str, float] = defaultdict(float)
    for word in words:
        if len(word) > _LONG_WORD_CHARS:
            continue
        word = word.lower().replace("’", "'")
        languages = known.get(word, ()) or known.get(word.partition("'")[0], ())
        for language in languages:
            points[language] += 1 / len(languages) ** 0.5
        for piece, languages in pieces:
            if piece in word:
                weight = _PIECE_WEIGHT if piece.isascii() else _OWN_LETTER_WEIGHT
                for language in languages:
                    points[language] += weight / len(languages)
    if "en" in points:
        points["en"] += _MOST_ARE_ENGLISH
    return points


@functools.cache
def _tables() -> tuple[dict[str, tuple[str, ...]], tuple[tuple[str, tuple[str, ...]], ...]]:
    """Return the languages of each frequent word, and of each piece of a word."""
    words: dict[str, tuple[str, ...]] = {}
    pieces: dict[str, tuple[str, ...]] = {}
    for line in Path(__file__).with_name("language_words.txt").read_text(encoding="utf-8").split("\n"):
        language, colon, rest = line.partition(": ")
        if not colon or line.startswith("#"):
            continue
        frequent, _, parts = rest.partition(" | ")
        for table, entries in ((words, frequent.split()), (pieces, parts.split())):
            for entry in dict.fromkeys(entries):
                table[entry] = (*table.get(entry, ()), language)
    return words, tuple(pieces.items())

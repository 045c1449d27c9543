"""Whether a rewrite, usually a model's, is one: a prompt that asks for the same, and no answer to it.

A rewrite still tells a model what to do, and about the same things. An answer to the prompt, a refusal, a confession
of instructions or obedience to something smuggled into the prompt do neither, and that is what is looked for; no
list of attacks is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from apps.templates.rendering import placeholders
from apps.templates.rules.anatomy import Anatomy, Clause, read_anatomy
from apps.templates.rules.cues import find_cues, function_words, is_unspaced, languages_of_words, words_of
from apps.templates.rules.fencing import fenced, holds_fence
from apps.templates.rules.scoring import states_length, states_shape
from apps.templates.rules.wrapping import introduces_itself, strip_wrapping

__all__ = ["Verdict", "fenced", "judge_rewrite", "strip_wrapping"]

MAX_GROWTH = 20
MAX_UNQUESTIONED_CHARACTERS = 8_000
"""A rewrite may be as long as this, or twenty times as long as the prompt."""
_REWRITE_POINTS = 4.0
"""Of the signs of a prompt that a rewrite must show; the tests' rewrites and answers part here."""
_OPENING_WORDS = 3
_SALUTATION_WORDS = 9
_MOST_QUOTES = 5
_MOST_SPELLINGS = 10
"""Of one quotation's words that are looked for in the rewrite."""
_DATA = ('{"', '[{"')
_STEM_CHARACTERS = 5
_SCRIPTS = (
    ("Latin", "A", "\u024f"),
    ("Cyrillic", "\u0400", "\u04ff"),
    ("Arabic", "\u0600", "\u06ff"),
    ("Devanagari", "\u0900", "\u097f"),
    ("kana", "\u3040", "\u30ff"),
    ("Han", "\u3400", "\u9fff"),
    ("Hangul", "\uac00", "\ud7af"),
)
_PRESENT_SHARE = 0.1
"""Of a prompt's letters: a script that has so many of them may make up the rewrite."""
_LEAST_FOREIGN_WORDS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a rewrite is accepted; if not, why, without a full stop; if so, what to say of it nevertheless."""

    accepted: bool
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A prompt and what came of it, both read."""

    original: str
    text: str
    language: str
    before: Anatomy
    after: Anatomy


def judge_rewrite(original: str, rewritten: str, *, language: str) -> Verdict:
    """Judge a rewrite of a prompt that is in `language` (ISO 639-1 or `und`). Deterministic, never raises.

    What `strip_wrapping` takes off is not held against it.
    """
    text = strip_wrapping(rewritten)
    if text == original.strip() or rewritten == original:
        return Verdict(accepted=True)
    pair = _Pair(
        original=original, text=text, language=language, before=read_anatomy(original), after=read_anatomy(text)
    )
    for check in _CHECKS:
        reason = check(pair)
        if reason:
            return Verdict(accepted=False, reason=reason)
    known = frozenset(placeholders(original))
    added = [name for name in placeholders(text) if name not in known]
    warnings = (f"It has placeholders of its own: {', '.join(added[:10])}.",) if added else ()
    return Verdict(accepted=True, warnings=warnings)


def _absurd(pair: _Pair) -> str:
    if not words_of(pair.text):
        return "it is empty"
    if len(pair.text) > max(MAX_UNQUESTIONED_CHARACTERS, MAX_GROWTH * len(pair.original)):
        return "it is far longer than the prompt"
    return ""


def _lost(pair: _Pair) -> str:
    kept = set(placeholders(pair.text))
    lost = [name for name in placeholders(pair.original) if name not in kept]
    return f"it lost {', '.join(lost[:10])}" if lost else ""


def _leaked(pair: _Pair) -> str:
    if holds_fence(pair.text) and not holds_fence(pair.original):
        return "it shows the fence around the prompt"
    if _cues(pair.text, "leak") - _cues(pair.original, "leak"):
        return "it speaks of its instructions"
    return ""


def _declined(pair: _Pair) -> str:
    first = next(iter(pair.after.clauses), None)
    if first is None:
        return ""
    start = first.first("refusal")
    if start is not None and start < _OPENING_WORDS and not _cues(pair.original, "refusal"):
        return "it declines instead of rewriting"
    if introduces_itself(first.text) and "prompt" in first.text.casefold() and first.text not in pair.original:
        return "it talks about the prompt"
    return ""


def _in_another_language(pair: _Pair) -> str:
    reason = "it is in another language than the prompt"
    own_before, own_after = _own_text(pair.before), _own_text(pair.after)
    scripts_before, scripts_after = _scripts(own_before), _scripts(own_after)
    if scripts_before and scripts_after:
        most = max(scripts_after, key=lambda script: scripts_after[script])
        if scripts_before.get(most, 0.0) < _PRESENT_SHARE:
            return reason
    counts = languages_of_words(words_of(own_after))
    if not counts or not languages_of_words(words_of(own_before)).get(pair.language):
        return ""  # a language whose small words are not known here, or a guess that the prompt does not bear out
    # Neighbouring languages share many small words: only a clear majority tells.
    most_words = max(counts.values())
    return reason if most_words >= _LEAST_FOREIGN_WORDS and most_words > 2 * counts.get(pair.language, 0) + 2 else ""


def _obeyed(pair: _Pair) -> str:
    if pair.text.startswith(_DATA) and not pair.original.lstrip().startswith(_DATA):
        return "it is data instead of a prompt"
    if _says_as_told(pair.before, pair.text):
        return "it does what the prompt says instead of rewriting it"
    if _prompt_points(pair.before, pair.after, pair.text) < _REWRITE_POINTS:
        return "it answers the prompt instead of rewriting it"
    return ""


_CHECKS: tuple[Callable[[_Pair], str], ...] = (
    _absurd,
    _lost,
    _leaked,
    _declined,
    _in_another_language,
    _obeyed,
)


def _says_as_told(before: Anatomy, text: str) -> bool:
    """Return whether the rewrite begins or ends with something the prompt only quotes, as if it were its own word."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first, last = lines[0], lines[-1]
    plain_first, plain_last = _plain(first), _plain(last)
    spellings: dict[str, list[str]] = {}
    for quote in before.quotes:
        spellings.setdefault(_plain(quote), []).append(quote)
    for said, quotes in spellings.items():
        if len(said) < 4 or not 1 <= len(said.split()) <= 12:
            continue  # too common or too long
        is_whole = said in (plain_first, plain_last)
        begins = " " in said and plain_first.startswith(f"{said} ")
        ends = " " in said and plain_last.endswith(f" {said}")
        if not (is_whole or begins or ends):
            continue
        alike = [line for line in lines if _plain(line) == said] if is_whole else []
        place = first if begins else last
        for quote in quotes[:_MOST_SPELLINGS]:
            if any(clause.has("verb", "role") for clause in read_anatomy(quote).clauses):
                continue  # itself something to be asked for
            if any(quote in line for line in alike):
                return True
            if (begins or ends) and not any(mark + quote in place for mark in '"“„«「`'):
                return True
    return False


def _prompt_points(before: Anatomy, after: Anatomy, text: str) -> float:
    """Return how much a text looks like a prompt about the same things as another."""
    # What a prompt quotes may be all that it is about: a rewrite may ask for that in its own words.
    quoted = [clause for quote in before.quotes[:_MOST_QUOTES] for clause in read_anatomy(quote).clauses]
    asked = [*before.clauses, *quoted]
    stems = {word[:_STEM_CHARACTERS] for clause in asked for word in _meaning(clause)}
    told = {clause.words[hit.start] for clause in asked for hit in clause.hits if hit.kind == "verb"}
    points = max((_order_points(place, clause, stems, told) for place, clause in enumerate(after.clauses)), default=0.0)
    same = {frozenset(clause.words) for clause in before.clauses if len(clause.words) >= 3}
    points += 3 * any(frozenset(clause.words) in same for clause in after.clauses)
    points += 2 * any((clause.first("role") or 0) < _OPENING_WORDS for clause in after.find("role"))
    rules = [clause for clause in after.clauses if _is_rule(clause)]
    points += min(len(rules), 3)
    points += min(sum(states_shape(clause) or states_length(clause) for clause in after.clauses), 2)
    points += 2 * any(clause.is_label and clause.first("label") == 0 for clause in after.clauses)
    points += any(clause.has("assume") for clause in after.clauses)
    held = {word[:_STEM_CHARACTERS] for clause in after.clauses for word in _meaning(clause)}
    share = len(stems & held) / len(stems) if stems else 0.5
    shared = len(stems & held)
    points += 2 if share >= 0.6 else 1 if share >= 0.3 or shared >= 3 else -2 if stems and not shared else 0
    points += bool(before.placeholders) and set(before.placeholders) <= set(after.placeholders)
    return points - 3 * _opens_as_answer(text)


def _order_points(place: int, clause: Clause, stems: set[str], told: set[str]) -> float:
    orders = _orders(clause)
    if not orders:
        return 0.0
    about = any(word[:_STEM_CHARACTERS] in stems for word in _meaning(clause)) or bool(clause.holds)
    if about and (place <= 1 or clause.has("genre") or any(clause.words[start] in told for start in orders)):
        return 3.0
    return 0.5


def _orders(clause: Clause) -> list[int]:
    """Return the places of verbs that give an order: before any other word of meaning; in some languages, last."""
    functions, count = function_words(), len(clause.words)
    first_of_meaning = next((place for place, word in enumerate(clause.words) if word not in functions), count)
    # A verb that ends here or behind it closes the sentence, in the languages that have it there.
    closing = count + 1 if clause.text.isascii() else 0 if is_unspaced(clause.text) else count - 1
    return [
        hit.start for hit in clause.hits if hit.kind == "verb" and (hit.start <= first_of_meaning or hit.end >= closing)
    ]


def _opens_as_answer(text: str) -> bool:
    """Return whether a text begins with a short line that ends in a comma: a salutation, or a line of verse."""
    first, newline, _ = text.strip().partition("\n")
    addressed = first.rstrip().endswith((",", "，", "、")) and len(words_of(first)) <= _SALUTATION_WORDS
    return bool(newline) and addressed


def _is_rule(clause: Clause) -> bool:
    start = clause.first("limit")
    return clause.is_speech and start is not None and start < 2 and len(clause.words) >= 3


def _meaning(clause: Clause) -> set[str]:
    functions = function_words()
    return {word for word in clause.words if word not in functions and (len(word) > 1 or not word.isascii())}


def _cues(text: str, kind: str) -> set[str]:
    words = words_of(text.replace("’", "'"))
    return {" ".join(words[hit.start : hit.end]) for hit in find_cues(text, words) if hit.kind == kind}


def _plain(text: str) -> str:
    return " ".join(words_of(text))


def _own_text(anatomy: Anatomy) -> str:
    return " ".join(clause.text for clause in anatomy.clauses)


def _scripts(text: str) -> dict[str, float]:
    """Return the share of each script among the letters of a text."""
    letters = [character for character in text if character.isalpha()]
    counts = Counter(
        next((name for name, first, last in _SCRIPTS if first <= character <= last), "other") for character in letters
    )
    return {name: count / len(letters) for name, count in counts.items()}

"""How good a prompt is, by what can be seen in it: one scorer, for before and after.

Seven criteria from 0 to 10, each with the reason in one sentence, weighted into a total from 0 to 100:

    clarity 20 · specificity 20 · context 15 · output_format 15 · constraints 15 · role 10 · examples 5

What counts is evidence in sentences: a cue (`cues.yaml`) together with words of the prompt's own. Repetition, lists of
keywords, random words and the criteria's names are no evidence. Adding a constraint, a format or an example never
lowers the total: every point is given for something present, and only vague words in the request itself cost any.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from apps.templates.answers import CRITERIA
from apps.templates.rules.anatomy import Anatomy, Clause, read_anatomy
from apps.templates.rules.cues import function_words, words_of

__all__ = [
    "WEIGHTS",
    "CriterionScore",
    "Score",
    "score_anatomy",
    "score_prompt",
    "states_length",
    "states_shape",
    "vague_words",
]

WEIGHTS: Mapping[str, int] = {
    "clarity": 20,
    "specificity": 20,
    "context": 15,
    "output_format": 15,
    "constraints": 15,
    "examples": 5,
    "role": 10,
}
_MOST = 10
_SHOWN_CHARACTERS = 60
_RUN_ON_WORDS = 60
_ROLE_LABELS = frozenset(("role", "rolle", "rôle", "rol", "papel", "ruolo", "rola", "роль"))
_OPENING_WORDS = 3
"""A role or an order stands at most this many words from the start of its sentence."""
_TIE_WORDS = 6
"""From a word such as "as" or a number to the shape that it belongs to."""
_QUOTE_WORDS = 8
"""A quotation this long is material to work on."""
_VAGUE_COST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionScore:
    """One criterion, from 0 to 10, and what was seen in this prompt."""

    name: str
    points: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """All of `CRITERIA` in that order, and the weighted total from 0 to 100."""

    total: int
    criteria: tuple[CriterionScore, ...]

    def points(self, name: str) -> int:
        """Return the points of one criterion."""
        return next(criterion.points for criterion in self.criteria if criterion.name == name)


def score_prompt(prompt: str) -> Score:
    """Return the score of a prompt, by its first 12,000 and last 4,000 characters. Deterministic, never raises."""
    return score_anatomy(read_anatomy(prompt))


def score_anatomy(anatomy: Anatomy) -> Score:
    """Return the score of a prompt that is already read."""
    criteria = []
    for name in CRITERIA:
        points, why = _SCORERS[name](anatomy)
        criteria.append(CriterionScore(name=name, points=min(points, _MOST), why=why))
    weighted = sum(WEIGHTS[criterion.name] * criterion.points for criterion in criteria)
    # Half up: the built-in rounding to even would let one more point lower nothing but also raise nothing by turns.
    return Score(total=(weighted + _MOST // 2) // _MOST, criteria=tuple(criteria))


def vague_words(anatomy: Anatomy) -> tuple[str, ...]:
    """Return the words of the request that may mean anything and that the prompt does not itself explain.

    A word that is also quoted on its own somewhere counts as explained.
    """
    explained = {quote.casefold().strip() for quote in anatomy.quotes}
    found: dict[str, None] = {}
    for clause in anatomy.clauses:
        if clause.is_speech and not clause.has("limit", "example") and not clause.is_item:
            for hit in clause.hits:
                if hit.kind == "vague":
                    found.setdefault(" ".join(clause.words[hit.start : hit.end]))
    return tuple(word for word in found if word not in explained)


def states_shape(clause: Clause) -> bool:
    """Return whether a sentence says what the answer shall look like."""
    if not clause.is_speech or not clause.has("format"):
        return False
    if clause.is_label:
        return True
    ties = {hit.start for hit in clause.hits if hit.kind in ("relation", "number")}
    ties |= {place for place, word in enumerate(clause.words) if word.isdecimal()}
    if not ties and clause.text.isascii():
        return False
    # Chinese and Japanese tie by endings; there the shape's name has to do.
    return _is_tied(_places(clause, "format"), ties or {0}, _TIE_WORDS)


def states_length(clause: Clause) -> bool:
    """Return whether a sentence says how long the answer shall be, as a number of something."""
    counts = {place for place, word in enumerate(clause.words) if word[0].isdecimal()}
    counts |= {hit.start for hit in clause.hits if hit.kind == "number"}
    if not clause.is_speech or not counts:
        return False
    if any(hit.kind == "unit" and counts & {hit.start - 1, hit.start - 2} for hit in clause.hits):
        return True
    return any(sign in clause.text for sign in "字词行文点条") or "文字" in clause.text


def _clarity(anatomy: Anatomy) -> tuple[int, str]:
    task, points = _task(anatomy)
    if task is None:
        return 0, "There are no words that say what is wanted."
    seen = f'The request is "{_shown(task)}"' if points > 2 else f'Only a topic is given ("{_shown(task)}"), no task'
    if _has_object(task):
        points += 2
    else:
        seen += ", without saying of what"
    parts = [clause for clause in anatomy.clauses if clause.is_speech]
    if len(parts) >= 3:
        points += 2
        seen += f", set out in {len(parts)} separate statements"
    vague = vague_words(anatomy)
    run_on = max((len(clause.words) for clause in anatomy.clauses), default=0) > _RUN_ON_WORDS
    if vague:
        seen += f"; {_listed(vague[:3])} may mean anything"
    elif run_on:
        seen += f"; one sentence runs over {_RUN_ON_WORDS} words"
    points += max(0, _VAGUE_COST - len(vague) - run_on)
    return points, f"{seen}."


def _specificity(anatomy: Anatomy) -> tuple[int, str]:
    words = len(anatomy.content)
    points = sum(words >= least for least in (3, 6, 10, 16, 24))
    details = [
        (1, "a number", _first(anatomy, _has_number)),
        (1, "a name", _first(anatomy, _has_name)),
        (1, "who it is for", _first(anatomy, _names_reader)),
        (1, "how it is to sound", _first(anatomy, lambda clause: clause.has("tone") and bool(clause.content))),
        (1, "how long it is to be", _first(anatomy, states_length)),
        (2, "quoted or fenced material", bool(anatomy.quotes) or anatomy.fences > 0),
        (2, "variables", bool(anatomy.placeholders)),
    ]
    points += sum(worth for worth, _, found in details if found)
    named = [name for _, name, found in details if found]
    has = f"has {_joined(named)}" if named else "names no number, person, length or material"
    told = "1 word" if words == 1 else f"{words} different words"
    return points, f"It has {told} of substance and {has}."


def _context(anatomy: Anatomy) -> tuple[int, str]:
    material = anatomy.fences > 0 or any(len(words_of(quote)) >= _QUOTE_WORDS for quote in anatomy.quotes)
    findings = [
        (3, "the reader", _first(anatomy, _names_reader)),
        (2, "the purpose", _first(anatomy, lambda clause: clause.has("purpose") and len(clause.content) >= 2)),
        (2, "the situation", _first(anatomy, lambda clause: clause.has("situation") and len(clause.content) >= 2)),
        (3, "the material", material or _first(anatomy, lambda clause: clause.has("material") and bool(clause.holds))),
        (2, "values to be filled in", bool(anatomy.placeholders)),
        (3, "what to do about what is missing", _first(anatomy, _covers_gaps)),
    ]
    return _sum_up(findings, "It gives", "Nothing is said of the reader, the purpose or the situation.")


def _output_format(anatomy: Anatomy) -> tuple[int, str]:
    shapes = [clause for clause in anatomy.clauses if states_shape(clause)]
    length = _first(anatomy, states_length)
    parts = anatomy.items >= 3 or anatomy.labels >= 2
    if not shapes and not length:
        genre = next(anatomy.find("genre"), None)
        if genre is None:
            return 2 * parts, "Nothing says what the answer should look like."
        place = next(hit for hit in genre.hits if hit.kind == "genre")
        kind = " ".join(genre.words[place.start : place.end])
        return 2 + 2 * parts, f'"{kind}" names a kind of text, but not its parts, layout or length.'
    points = (5 if shapes else 0) + (2 if len(shapes) > 1 else 0) + (3 if length else 0) + (2 if parts else 0)
    said = [f'a layout ("{_shown(shapes[0])}")'] if shapes else []
    said += [f'a length ("{_shown(length)}")'] if length else []
    missing = "" if shapes and length else " but no length" if shapes else " but no layout"
    return points, f"It states {_joined(said)}{missing}."


def _constraints(anatomy: Anatomy) -> tuple[int, str]:
    counted: list[Clause] = []
    seen: set[str] = set()
    for clause in anatomy.clauses:
        limits = (clause.has("limit") and bool(clause.content)) or states_length(clause)
        sounds = clause.has("tone") and bool(clause.content)
        if clause.is_speech and (limits or sounds):
            # Without a word of its own it says again what another has said.
            new = clause.content | {word for word in clause.words if word.isdecimal()}
            if not new <= seen or not counted:
                counted.append(clause)
                seen |= new
    if not counted:
        return 0, "No limit, no rule and no tone is set."
    points = (4, 6, 8, 9, 10)[min(len(counted), 5) - 1]
    rules = "1 rule" if len(counted) == 1 else f"{len(counted)} rules"
    shown = _joined([f'"{_shown(clause)}"' for clause in counted[:2]])
    return points, f"It sets {rules}: {shown}{', among others' if len(counted) > 2 else ''}."


def _examples(anatomy: Anatomy) -> tuple[int, str]:
    found = []
    for place, clause in enumerate(anatomy.clauses):
        start = clause.first("example")
        if start is None or not clause.is_speech:
            continue
        rest = [word for word in clause.words[start + 1 :] if word in clause.content]
        following = anatomy.clauses[place + 1] if place + 1 < len(anatomy.clauses) else None
        ordered = clause.first("verb")
        if ordered is not None and ordered < start and not clause.is_label and len(rest) < 2:
            continue  # asks for examples
        shown = clause.holds or (clause.text.rstrip().endswith((":", "：")) and following and following.content)
        if len(rest) >= 2 or shown:
            found.append((clause, bool(shown)))
    if not found:
        return 0, "No example shows what is meant."
    points = 6 + 2 * any(shown for _, shown in found) + 2 * (len(found) > 1)
    return points, f'An example is given ("{_shown(found[0][0])}").'


def _role(anatomy: Anatomy) -> tuple[int, str]:
    for place, clause in enumerate(anatomy.clauses):
        start = clause.first("role")
        addressed = place == 0 and clause.first("address") == 0 and len(clause.content) >= 2
        labelled = clause.is_label and clause.words[0] in _ROLE_LABELS
        if not clause.is_speech or not (labelled or addressed or (start is not None and start < _OPENING_WORDS)):
            continue
        described = _other_words(clause) - {"role"}
        if described:
            points = 10 if len(described) >= 3 else 7
            return points, f'It says who is to answer: "{_shown(clause)}".'
    return 0, "It does not say who the model is to answer as."


_SCORERS: Mapping[str, Callable[[Anatomy], tuple[int, str]]] = {
    "clarity": _clarity,
    "specificity": _specificity,
    "context": _context,
    "output_format": _output_format,
    "constraints": _constraints,
    "examples": _examples,
    "role": _role,
}


def _task(anatomy: Anatomy) -> tuple[Clause | None, int]:
    """Return the sentence that says what is wanted, and the points for how it says it."""
    best: tuple[Clause | None, int] = (None, 0)
    most = 0
    for clause in anatomy.clauses:
        if not clause.is_speech:
            continue
        verb = clause.first("verb")
        asks = clause.text.rstrip().endswith(("?", "？", "؟")) and len(clause.words) >= 3
        points = 4 if asks or (verb is not None and verb < _OPENING_WORDS) else 3 if verb is not None else 2
        if not clause.content and not clause.holds and len(_other_words(clause)) < 2:
            points = 1
        worth = points + 2 * _has_object(clause)
        if worth > most:
            best, most = (clause, points), worth
    return best


def _has_object(clause: Clause) -> bool:
    return len(clause.content) + len(clause.holds) >= 2 or len(_other_words(clause)) >= 4


def _other_words(clause: Clause) -> set[str]:
    """Return a clause's words that are more than function words, cues included."""
    return set(clause.words) - function_words()


def _has_number(clause: Clause) -> bool:
    return clause.is_speech and len(clause.words) >= 3 and any(character.isdecimal() for character in clause.text)


def _has_name(clause: Clause) -> bool:
    """Return whether a word inside the sentence is written like a name. German nouns are; there it says little."""
    if not clause.is_speech or len(clause.words) < 4:
        return False
    written = clause.text.split()
    return any(
        len(word) > 2 and word[0].isupper() and word.casefold().strip(".,") in clause.content for word in written[1:]
    )


def _names_reader(clause: Clause) -> bool:
    if not clause.is_speech or not clause.has("audience", "person"):
        return False
    if clause.has("audience") and (clause.content or clause.has("person")):
        return True
    # "For" somebody, or, where the case says it, a verb and then the person.
    return any(
        _is_tied(_places(clause, "person"), set(_places(clause, kind)), most)
        for kind, most in (("for", 4), ("verb", 1))
    )


def _places(clause: Clause, kind: str) -> Iterator[int]:
    return (hit.start for hit in clause.hits if hit.kind == kind)


def _is_tied(places: Iterable[int], ties: Collection[int], most: int) -> bool:
    """Return whether one of the places stands behind one of the ties, at most so many words away."""
    return any(place - distance in ties for place in places for distance in range(1, most + 1))


def _covers_gaps(clause: Clause) -> bool:
    return clause.has("assume") and len(clause.words) >= 4


def _first(anatomy: Anatomy, seen: Callable[[Clause], bool]) -> Clause | None:
    return next((clause for clause in anatomy.clauses if clause.is_speech and seen(clause)), None)


def _sum_up(findings: Iterable[tuple[int, str, object]], said: str, nothing: str) -> tuple[int, str]:
    findings = list(findings)
    named = [
        f'{name} ("{_shown(found)}")' if isinstance(found, Clause) else name for _, name, found in findings if found
    ]
    points = sum(worth for worth, _, found in findings if found)
    return (points, f"{said} {_joined(named[:3])}.") if named else (0, nothing)


def _shown(clause: Clause) -> str:
    """Return the words of a clause as a reason quotes them."""
    text = " ".join(clause.text.replace("\ue000", "…").replace("\ue001", "…").replace("\ue002", "…").split())
    text = text.replace('"', "'").rstrip(".:; ")
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 2].rsplit(' ', 1)[0]} …"


def _listed(words: Iterable[str]) -> str:
    return _joined([f'"{word}"' for word in words])


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else "nothing"

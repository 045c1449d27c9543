"""A better prompt by rules: the user's own words as they are, and around them what the score says is missing.

Nothing of the prompt is reworded, so its facts, its placeholders and whatever it quotes or fences survive by
construction. Added are a role, the form of the answer, rules of the craft, what to do about missing facts, and the
tone and audience asked for, each only where the prompt has none, and each in the prompt's own language. What asks for
a line gets one sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from apps.templates.categories import UNKNOWN
from apps.templates.rules.anatomy import Anatomy, Clause, read_anatomy
from apps.templates.rules.phrases import Material, Phrases, read_phrases
from apps.templates.rules.scoring import Score, score_anatomy, states_length, states_shape, vague_words

__all__ = ["GOOD_TOTAL", "MAX_REWRITTEN_CHARACTERS", "rewrite_prompt"]

GOOD_TOTAL = 70
"""From this score on a prompt is left alone; nearly every template of the starter library is above it."""
MAX_REWRITTEN_CHARACTERS = 16_000
"""A longer prompt is left alone: it is mostly material, and what it lacks does not show in its score."""
_LEAST_WORDS = 3
"""Fewer, of no category and without an order in them, are a greeting or a sum, not a prompt."""
_ENOUGH_ROLE, _ENOUGH_RULES, _ENOUGH_CONTEXT = 5, 6, 5
_FRAGMENT_WORDS = 14
_SMALL_WORDS = 7
_OF_MORE = (":", "{{", "`", '"', ",", ";", ". ")
"""A short line with one of these asks for more than one thing, or about something given."""
_MOST_ROUNDS = 3
_MOST_WISH_CHARACTERS = 200
_MATERIAL_WORDS = 60
"""A line this long, or as many words after the first line, is text to work on that nobody fenced."""
_OF_MATERIAL = frozenset(
    ("summarization", "translation", "rewriting", "code_review", "debugging", "meeting_notes", "data_analysis")
)
"""What works on something given: if that is missing, an assumption is of no use."""
_INLINE_NUMBER = re.compile(r"(?<=\S)[ \t]+(?=\d{1,2}[.)] \S)")
_NUMBERED = re.compile(r"(?:^|(?<=\s))(\d{1,2})[.)] (?=\S)")
_A_TEXT = re.compile(
    r"(?:(?:short|brief|long|formal|friendly|funny|blog|product|press|cover|sales|thank[- ]you|follow[- ]up|linkedin"
    r"|instagram|facebook|cold|lesson|business|meeting|project|marketing|landing|privacy|sql|python|bash) )*"
    r"(?:post|article|email|e-mail|letter|poem|story|essay|report|speech|tweet|caption|ad|advert|description|summary"
    r"|script|function|query|plan|newsletter|slogan|limerick|haiku|song|recipe|biography|agenda|proposal|release"
    r"|contract|quiz|page|review|outline|guide|tutorial|policy|reply|message|pitch|invitation)\b",
    re.IGNORECASE,
)
"""English names of one text, which take an article and a verb before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prompt:
    text: str
    anatomy: Anatomy
    score: Score


def rewrite_prompt(prompt: str, *, language: str, category: str | None, tone: str | None, audience: str | None) -> str:
    """Return a better prompt, or the same one where there is nothing to mend. Deterministic, never raises.

    `language` is ISO 639-1 or `und`; in one without phrases of ours only the layout is mended. A rewritten prompt,
    rewritten again with the same wishes, stays as it is: what has not come to rest is not given out.
    """
    if len(prompt) > MAX_REWRITTEN_CHARACTERS or not prompt.strip():
        return prompt
    wishes = (_one_line(tone), _one_line(audience))
    written = prompt
    for _ in range(_MOST_ROUNDS):
        again = _once(written, read_phrases(language), category, *wishes)
        if again == written:
            return written
        written = again
    return prompt


def _once(text: str, phrases: Phrases | None, category: str | None, tone: str, audience: str) -> str:
    bare = _listed_apart(text)
    anatomy = read_anatomy(bare)
    prompt = _Prompt(text=text, anatomy=anatomy, score=score_anatomy(anatomy))
    wished = [(key, wish) for key, wish in (("audience", audience), ("tone", tone)) if not _says(text, wish)]
    if phrases is None:
        # A wish is in its author's words; a label in another language than the prompt's would not be.
        said = [f"({'; '.join(wish for _, wish in wished)})"] if wished else []
        mended = bare != text.strip() and prompt.score.total < GOOD_TOTAL
        return _joined([bare, *said]) if said or mended else text
    lines = [f"{phrases.labels[key]}: {wish}" for key, wish in wished]
    if prompt.score.total >= GOOD_TOTAL:
        return _joined([text, "\n".join(lines)]) if lines else text
    if category in (None, UNKNOWN) and _is_no_prompt(anatomy):
        return text
    if category in (None, UNKNOWN) and _is_small(bare.removesuffix(phrases.brief), phrases):
        said = [line for line in (*lines, phrases.brief) if line not in text]
        return _joined([bare, "\n".join(said)]) if said else text
    if category in (None, UNKNOWN):
        # What fits any request says nothing of this one.
        said = [*_vague(anatomy, phrases), *lines, *([phrases.material] if _has_bare_fence(prompt, phrases) else [])]
        return _joined([bare, "\n".join(said)]) if said else text
    material = phrases.material_of(category)
    role = "" if prompt.score.points("role") >= _ENOUGH_ROLE or material.role in text else material.role
    additions = _joined([*_context(prompt, phrases, material, lines, category), *_answer(prompt, phrases, material)])
    if not role and not additions:
        return text
    if _ends_in_material(text, anatomy):
        return _joined([role, additions, f"{phrases.labels['task']}:\n{bare}"])
    return _joined([role, _task(bare, anatomy, phrases), additions])


def _task(bare: str, anatomy: Anatomy, phrases: Phrases) -> str:
    """Return the request as it was, made a sentence if it is a fragment of a few words."""
    is_sentence = "\n" in bare or len(anatomy.clauses) > 1 or any(_is_said_whole(clause) for clause in anatomy.clauses)
    if is_sentence or bare.endswith(("?", "？")) or anatomy.fences or ":" in bare:
        return bare
    end = "" if bare[-1] in ".!…。" else "."
    if phrases.language == "en" and _A_TEXT.match(bare):
        article = "an" if bare[0].lower() in "aeiou" else "a"
        # An abbreviation keeps its capitals.
        rest = bare if bare[:2].isupper() else bare[0].lower() + bare[1:]
        return f"Write {article} {rest}{end}"
    return f"{phrases.labels['task']}: {bare}{end}"


def _is_said_whole(clause: Clause) -> bool:
    starts = [clause.first(kind) for kind in ("verb", "role", "question")]
    return len(clause.words) > _FRAGMENT_WORDS or any(start is not None and start < 3 for start in starts)


def _context(
    prompt: _Prompt, phrases: Phrases, material: Material, wished: list[str], category: str | None
) -> list[str]:
    said = [*wished, *_vague(prompt.anatomy, phrases)]
    if prompt.score.points("context") < _ENOUGH_CONTEXT and not any(
        clause.has("assume") for clause in prompt.anatomy.clauses
    ):
        gaps = phrases.ask if category in _OF_MATERIAL else phrases.gaps
        said.append(gaps.replace("{needs}", material.needs))
    if _has_bare_fence(prompt, phrases):
        said.append(phrases.material)
    return ["\n".join(said)] if said else []


def _vague(anatomy: Anatomy, phrases: Phrases) -> list[str]:
    words = ", ".join(f'"{word}"' for word in vague_words(anatomy))
    return [phrases.vague.replace("{words}", words)] if words else []


def _has_bare_fence(prompt: _Prompt, phrases: Phrases) -> bool:
    return prompt.anatomy.fences > 0 and phrases.material not in prompt.text


def _answer(prompt: _Prompt, phrases: Phrases, material: Material) -> list[str]:
    has_shape = any(states_shape(clause) for clause in prompt.anatomy.clauses)
    has_length = any(states_length(clause) for clause in prompt.anatomy.clauses)
    form = [] if has_shape else [material.format]
    if not has_length and not has_shape and material.length:
        form.append(material.length)
    parts = [f"{phrases.labels['output']}: {' '.join(form)}"] if form else []
    if prompt.score.points("constraints") < _ENOUGH_RULES or (form and prompt.score.points("constraints") < 8):
        rules = "\n".join(f"- {rule}" for rule in material.rules)
        parts.append(f"{phrases.labels['rules']}:\n{rules}")
    if material.shape and not has_shape and not has_length and not prompt.score.points("examples"):
        parts.append(f"{phrases.labels['shape']}: {material.shape}")
    return parts


def _is_no_prompt(anatomy: Anatomy) -> bool:
    words = sum(len(clause.words) for clause in anatomy.clauses)
    ordered = any(clause.has("verb", "genre") for clause in anatomy.clauses)
    return not ordered and (words < _LEAST_WORDS or not anatomy.content) and not anatomy.fences


def _is_small(text: str, phrases: Phrases) -> bool:
    """Return whether a text asks for what a line answers: a fact, a number, a pick. More would only be padding."""
    asked, *rest = text.strip().splitlines() or [""]
    is_alone = all(
        not line.strip() or line.startswith(tuple(f"{label}:" for label in _wishes(phrases))) for line in rest
    )
    opening = asked.casefold().replace("’", "'").lstrip("¿¡ ")
    return (
        is_alone
        and len(asked.split()) <= _SMALL_WORDS
        and opening.startswith(tuple(f"{start} " for start in phrases.small))
        and not any(mark in asked for mark in _OF_MORE)
        and not vague_words(read_anatomy(asked))
    )


def _wishes(phrases: Phrases) -> tuple[str, str]:
    return phrases.labels["audience"], phrases.labels["tone"]


def _ends_in_material(text: str, anatomy: Anatomy) -> bool:
    """Return whether the prompt ends in text to work on, which anything added behind it would run into."""
    bare = text.rstrip()
    if bare.endswith((":", "：", "```", "~~~")):
        return True
    if anatomy.placeholders and bare.endswith("}}"):
        return True
    if any(anatomy.find("material")) and not (anatomy.quotes or anatomy.fences or anatomy.placeholders):
        return True  # "the following text", which is still to come, or follows without a fence
    lines = [line for line in bare.splitlines() if line.strip()]
    head, *rest = lines
    if rest and head.rstrip().endswith((":", "：")) and not re.match(r"[ \t]*(?:[-*•]|\d+[.)])[ \t]", rest[0]):
        return True
    return sum(len(line.split()) for line in rest) > _MATERIAL_WORDS and anatomy.items < 3


def _listed_apart(text: str) -> str:
    """Return a text stripped, with an enumeration that runs on in one line as a list of lines."""
    bare = text.strip()
    if "\n" in bare or '"' in bare or "`" in bare:
        return bare
    numbers = [int(number) for number in _NUMBERED.findall(bare)]
    if len(numbers) >= 2 and numbers == list(range(1, len(numbers) + 1)):
        return _INLINE_NUMBER.sub("\n", bare)
    return bare


def _says(text: str, wish: str) -> bool:
    return not wish or wish.casefold() in " ".join(text.casefold().split())


def _one_line(wish: str | None) -> str:
    return " ".join((wish or "").split())[:_MOST_WISH_CHARACTERS].strip()


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part)

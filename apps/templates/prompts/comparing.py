"""A prompt before and after a rewrite: what changed, which placeholders lived, and what the change is worth."""

from __future__ import annotations

from collections.abc import Sequence

from apps.llm.wire.openai import Usage
from apps.templates.answers import Criterion, Optimization, Source
from apps.templates.library.pieces import word_pieces
from apps.templates.rendering import placeholders
from apps.templates.rules.language import UNDETERMINED, language_to_write
from apps.templates.rules.phrases import LANGUAGES
from apps.templates.rules.rewriting import GOOD_TOTAL
from apps.templates.rules.scoring import CriterionScore, Score, score_prompt

__all__ = ["optimization", "placeholder_changes"]


def placeholder_changes(original: str, optimized: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the names of the placeholders that were kept, lost and added, each in the order of its text."""
    before, after = placeholders(original), placeholders(optimized)
    known_before, known_after = frozenset(before), frozenset(after)
    kept = tuple(name for name in before if name in known_after)
    lost = tuple(name for name in before if name not in known_after)
    added = tuple(name for name in after if name not in known_before)
    return kept, lost, added


def optimization(
    original: str, rewritten: str, *, source: Source, usage: Usage | None, warnings: Sequence[str]
) -> Optimization:
    """Return the answer about a rewrite: scored by one scorer before and after, and compared.

    A rewrite that lost a placeholder or scores below the original is dropped: the answer is `unchanged`, and a
    warning says why. One says too where the rules have no words in the language of a prompt that needs some.
    """
    said = list(warnings)
    before = after = score_prompt(original)
    language = language_to_write(original)
    if source is Source.RULES and before.total < GOOD_TOTAL and language not in (*LANGUAGES, UNDETERMINED):
        said.append(
            f"The rules add words to prompts in {', '.join(LANGUAGES)}; this one is in {language}. "
            "A model can rewrite it."
        )
    if rewritten != original:
        _, lost, _ = placeholder_changes(original, rewritten)
        after = score_prompt(rewritten)
        if lost:
            said.append(f"A rewrite was dropped because it lost placeholders: {', '.join(lost[:10])}.")
        elif after.total < before.total:
            said.append(f"A rewrite was dropped because it scored {after.total}, below the prompt's {before.total}.")
        if lost or after.total < before.total:
            rewritten, after = original, before
    kept, lost, added = placeholder_changes(original, rewritten)
    return Optimization(
        original=original,
        optimized=rewritten,
        unchanged=rewritten == original,
        diff=word_pieces(original, rewritten),
        criteria=_criteria(before, after),
        score_before=before.total,
        score_after=after.total,
        placeholders_kept=kept,
        placeholders_lost=lost,
        placeholders_added=added,
        warnings=tuple(said),
        source=source,
        usage=usage,
    )


def _criteria(before: Score, after: Score) -> tuple[Criterion, ...]:
    return tuple(
        Criterion(name=was.name, before=was.points, after=now.points, why=_why(was, now))
        for was, now in zip(before.criteria, after.criteria, strict=True)
    )


def _why(was: CriterionScore, now: CriterionScore) -> str:
    return now.why if was.why == now.why else f"Before: {was.why} After: {now.why}"

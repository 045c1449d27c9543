"""Words that say nothing by themselves, and words that say the same. Short on purpose: each line helps a real query.

An abbreviation is found by no stemming and no forgiving of typos, and people type little else. General synonyms are
left out: they blur more queries than they help.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from apps.templates.search.words import words_in

__all__ = ["STOP_WORDS", "SYNONYMS"]

_UNTELLING = """
a about am an and any are as at be by can do does for from get give has have help how i if im in into is it its
me my need of on or our please prompt so some template that the their them they this to us want was we what
when where which who why will with you your
aus das dem den der des die ein eine einen einer fur ich im ist mit und von zu zum zur
au aux ce ces dans de des du en est et la le les mon ma pour sur un une
al con de del e el il las los o para por que su um uma y
della di do dos da das na no per os
een en het met van voor i na w z do
"""

STOP_WORDS = frozenset(_UNTELLING.split())
"""Of a query; in texts they are kept, for phrases."""

_SAME: tuple[tuple[str, ...], ...] = (
    ("cv", "resume", "curriculum vitae", "lebenslauf"),
    ("ad", "advert", "advertisement", "commercial"),
    ("tldr", "tl dr", "summary"),
    ("regex", "regexp", "regular expression"),
    ("pr", "pull request", "merge request", "diff"),
    ("js", "javascript"),
    ("ts", "typescript"),
    ("py", "python"),
    ("k8s", "kubernetes"),
    ("db", "database"),
    ("ui", "user interface"),
    ("ux", "user experience", "user research"),
    ("ab", "split test", "experiment"),
    ("faq", "frequently asked questions"),
    ("kpi", "metric", "kennzahlen"),
    ("okr", "objectives"),
    ("nda", "confidentiality", "non disclosure"),
    ("tos", "terms of service", "terms and conditions"),
    ("hr", "human resources"),
    ("mcq", "multiple choice"),
    ("eli5", "plain language", "simple"),
    ("ig", "insta", "instagram"),
    ("fb", "facebook"),
    ("yt", "youtube", "video"),
    ("twitter", "tweet", "x", "thread"),
    ("cart", "basket"),
    ("email", "mail", "e mail", "mailing"),
    ("ppc", "google ads", "sem"),
    ("minutes", "meeting notes", "protokoll", "mom"),
    ("retro", "retrospective"),
    ("todo", "action items", "tasks"),
    ("wbs", "work breakdown"),
    ("i18n", "l10n", "localisation", "internationalisation", "interface strings"),
    ("a11y", "accessibility", "accessible"),
    ("perf", "performance"),
    ("api", "endpoint"),
    ("csv", "spreadsheet"),
    ("rma", "refund", "return"),
    ("kb", "knowledge base", "help centre"),
)
"""Each line is one meaning. An abbreviation with two would find both: then it stands in two lines."""


def _by_stems() -> Mapping[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    found: defaultdict[tuple[str, ...], dict[tuple[str, ...], None]] = defaultdict(dict)
    for line in _SAME:
        meanings = [tuple(word.stem for word in words_in(text)) for text in line]
        for meaning in meanings:
            found[meaning].update(dict.fromkeys(other for other in meanings if other != meaning))
    return {meaning: tuple(others) for meaning, others in found.items()}


SYNONYMS = _by_stems()
"""Stems, side by side, to the other ways to say it."""

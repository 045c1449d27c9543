"""What an intent suggests, on both databases."""

from __future__ import annotations

import pytest

from apps.templates.langchain_services import _suggestions
from tests.each import each
from tests.templates.search.stored import NOBODY, store
from tests.templates.visibility import undone

pytestmark = pytest.mark.usefixtures("database")


@each("language", ["de", "en", "fr", None], around=undone)
def test_the_language_of_the_query_leads(language: str | None):
    for code in ("fr", "en", "de"):
        store(code, "Newsletter", language=code)
    found = [one.slug for one in _suggestions(NOBODY, "newsletter", "unknown", language)]
    assert sorted(found) == ["de", "en", "fr"]
    assert found[0] == (language or "fr")


def test_other_languages_are_suggested_where_there_is_none_of_the_query():
    store("one", "Newsletter")
    assert [one.slug for one in _suggestions(NOBODY, "newsletter", "unknown", "nl")] == ["one"]

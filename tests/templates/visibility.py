"""Small libraries that differ in what a caller may not see, and what every door answers the caller."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.urls import resolve
from hypothesis import strategies as st
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from apps.accounts.identity import Caller
from apps.templates import langchain_services
from apps.templates.library.cursors import Ordering
from apps.templates.models import Template
from apps.templates.search import index_templates
from promptcraft.context import RequestContext
from tests.templates.api import BASE, user_named
from tests.templates.search.stored import store

__all__ = [
    *("WORDS", "Ask", "Row", "Stranger", "Visitor"),
    *("answers", "asks", "doors", "library", "rows", "stored", "undone", "work"),
]

WORDS = (
    *("market", "marketing", "markting", "marketer", "email", "emial", "mail", "letter", "latter", "letters", "lettre"),
    *("zebra", "zebrra", "zebras", "plan", "plain", "plane", "language", "summary", "sumary", "summarise", "tr0ub4dor"),
    *("stand-up", "standup", "会议纪要", "纪要", "résumé", "resume", "the", "qi"),
)
TAGS = ("zebra", "plan", "straße", "ſtraße", "qi")
CATEGORIES = ("research", "seo", "planning")
LANGUAGES = ("en", "de")
SLUGS = ("letter", "letter-2", "plan", "plan-2", "zebra")
_requests = APIRequestFactory()
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")


class Stranger:
    """What the caller may not see of a row, or may: the kinds of rows."""

    SEEN = ("library", "published", "own", "own-published")
    HIDDEN = ("private", "private-2", "withdrawn", "gone", "library-withdrawn")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A template of a library."""

    kind: str
    slug: str
    words: tuple[str, ...]
    """Of title, description and text, which share them out."""
    tags: tuple[str, ...]
    category: str
    language: str
    uses: int
    label: str | None

    @property
    def is_hidden(self) -> bool:
        return self.kind in Stranger.HIDDEN


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What the caller asks for, at several doors."""

    query: str
    filters: tuple[tuple[str, str], ...]
    ordering: Ordering
    title: str
    slug: str


class Visitor:
    """The caller, two strangers, and a way to ask."""

    def __init__(self) -> None:
        self.me, self.they, self.others = (user_named(name) for name in ("visitor", "stranger", "stranger-2"))
        self.caller = Caller(user_id=self.me.pk, username=self.me.username)

    def answer(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Return what a view answers. Without the middleware, which looks at no row: thousands are asked for."""
        sent: dict[str, Any] = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        request = _requests.generic(method, f"{BASE}{path}", **sent)
        request.META["promptcraft.context"] = RequestContext(
            request_id="the-same", trace_id="", span_id="", trace_flags="", started=0.0
        )
        force_authenticate(request, cast(Any, self.caller))
        view, args, kwargs = resolve(request.path)
        answer = view(request, *args, **kwargs)
        if isinstance(answer, Response):
            answer.render()
        return answer.status_code, answer.content

    def owner(self, kind: str) -> User | None:
        if kind.startswith("library"):
            return None
        return {"own": self.me, "own-published": self.me, "private-2": self.others}.get(kind, self.they)


def rows() -> st.SearchStrategy[Row]:
    return st.builds(
        Row,
        kind=st.sampled_from((*Stranger.SEEN, *Stranger.HIDDEN)),
        slug=st.sampled_from(SLUGS),
        words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(tuple),
        tags=st.lists(st.sampled_from(TAGS), max_size=2, unique=True).map(tuple),
        category=st.sampled_from(CATEGORIES),
        language=st.sampled_from(LANGUAGES),
        uses=st.sampled_from((0, 0, 1, 50)),
        label=st.sampled_from(("production", "staging", None)),
    )


def library() -> st.SearchStrategy[list[Row]]:
    """Return libraries in which a slug is one template to whoever may see it."""
    return st.lists(rows(), min_size=1, max_size=14).map(_with_distinct_slugs)


def asks() -> st.SearchStrategy[Ask]:
    word = st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS).map(lambda word: word[:4]), st.just('"plain plan"'))
    return st.builds(
        Ask,
        query=st.lists(word, max_size=3).map(" ".join),
        filters=st.fixed_dictionaries(
            {},
            optional={
                "category": st.sampled_from(CATEGORIES),
                "tag": st.sampled_from(TAGS),
                "language": st.sampled_from(LANGUAGES),
            },
        ).map(lambda filters: tuple(filters.items())),
        ordering=st.sampled_from(Ordering),
        title=st.sampled_from(("Letter", "Plan", "Zebra")),
        slug=st.sampled_from(SLUGS),
    )


@contextmanager
def undone() -> Iterator[None]:
    """Roll back what is written inside."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def stored(visitor: Visitor, library: Sequence[Row], *, hidden: bool) -> list[int]:
    """Store a library with or without its hidden rows, and return the ids of those."""
    made: dict[int, Row] = {}
    for number, row in enumerate(library):
        if row.is_hidden and not hidden:
            continue
        template = store(
            row.slug,
            " ".join(row.words[:2]),
            " ".join(row.words[2:5]),
            " ".join(row.words[4:]),
            tags=row.tags,
            owner=visitor.owner(row.kind),
            public=row.kind not in ("own", "private", "private-2"),
            category=row.category,
            language=row.language,
            uses=row.uses,
            label=row.label,
            indexed=False,
        )
        # The order of dates is to be told from that of ids.
        instant = _BEGAN + timedelta(hours=number * 7 % 11)
        Template.objects.filter(pk=template.pk).update(created_at=instant, updated_at=instant)
        template.versions.update(created_at=instant)
        made[template.pk] = row
    index_templates(made)
    withdrawn = [one for one, row in made.items() if row.kind.endswith("withdrawn")]
    Template.objects.filter(pk__in=withdrawn).update(is_public=False)
    index_templates(withdrawn)
    Template.objects.filter(pk__in=[one for one, row in made.items() if row.kind == "gone"]).delete()
    return [one for one, row in made.items() if row.is_hidden]


def answers(visitor: Visitor, library: Sequence[Row], asked: Ask) -> dict[str, object]:
    """Return what every door answers, by the door."""
    filters = dict(asked.filters)
    found: dict[str, object] = {}

    def get(path: str, **query: object) -> bytes:
        path = f"{path}?{urlencode(query)}" if query else path
        status, body = visitor.answer("GET", path)
        assert status in (200, 404), body
        found[f"GET {path}"] = status, body
        return body

    get("search/", q=asked.query, **filters)
    get("search/", q=asked.query, limit=1)
    get("", search=asked.query, mine=0, **filters)
    get("categories/")
    get("tags/")
    _pages(get, asked.ordering, filters)
    for path in ("", "export/", "versions/1/", "labels/"):
        get(f"{asked.slug}/{path}")
    for category in ("unknown", "research"):
        found[f"suggestions {category}"] = [
            (one.slug, one.title, one.tags, one.score, one.highlights)
            for one in langchain_services._suggestions(visitor.caller, asked.query, category)
        ]
    new = {"title": asked.title, "text": "x", "category": "seo", "variables": []}
    for method, path, body in (
        ("POST", "", new),
        ("POST", "", {**new, "slug": asked.slug}),
        ("POST", "import/", [new, {**new, "tags": ["plan"]}]),
        ("POST", f"{asked.slug}/render/", {}),
        ("PATCH", f"{asked.slug}/", {"title": "x"}),
        ("PATCH", "own/", {"slug": asked.slug}),
        ("DELETE", f"{asked.slug}/", None),
    ):
        with undone():
            if path == "own/":
                store("own", owner=visitor.me, public=False, indexed=False)
            status, answer = visitor.answer(method, path, body)
            found[f"{method} {path} {body}"] = status, _INSTANT.sub(b"then", answer)
    return found


def _pages(get: Callable[..., bytes], ordering: Ordering, filters: dict[str, str]) -> None:
    after: dict[str, Any] = {}
    while True:
        page = json.loads(get("", ordering=ordering.value, limit=2, **filters, **after))
        if page["next"] is None:
            return
        after = {"after": page["next"]}


def _with_distinct_slugs(library: list[Row]) -> list[Row]:
    taken: set[tuple[str, str]] = set()
    kept: list[Row] = []
    for row in library:
        owner = row.kind.split("-")[0] if row.kind != "private-2" else row.kind
        # Public ones share one room of names, whatever became of them since.
        rooms = {owner if owner not in ("withdrawn", "gone") else "private"}
        if row.kind not in ("own", "private", "private-2"):
            rooms |= {"public"}
        if row.kind == "published":
            rooms |= {"private"}
        if not taken & {(room, row.slug) for room in rooms}:
            taken |= {(room, row.slug) for room in rooms}
            kept.append(row)
    return kept


def doors(visitor: Visitor) -> dict[str, Callable[[], object]]:
    """Return what reads many rows, by its path."""
    paths = (
        *("search/?q=email", "search/?q=emial", "search/?q=cust", 'search/?q="the text"', "search/?q=zzzqq"),
        *("search/?q=", "search/?q=the+text&tag=seo", "search/?q=&tag=seo", "?search=email&mine=0"),
        *("?ordering=-uses", "?ordering=title", "?category=seo", "?tag=seo", "?language=de", "?mine=1"),
        *("categories/", "tags/", "generated-3/", "not-there/"),
    )
    return {path: partial(visitor.answer, "GET", path) for path in paths}


def work(ask: Callable[[], object]) -> int:
    """Return how much a database does for an answer: steps of SQLite's machine, or rows that PostgreSQL looks at."""
    done = 0
    if connection.vendor == "sqlite":
        _settle("INSERT INTO prompt_templates_search (prompt_templates_search) VALUES ('optimize')")

        def step() -> None:
            nonlocal done
            done += 1

        connection.connection.set_progress_handler(step, 1)
        try:
            ask()
        finally:
            connection.connection.set_progress_handler(None, 0)
        return done
    # A table of few rows is read whole, hidden ones too, where one of many is not.
    _settle("SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")

    def explained(run: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        nonlocal done
        if sql.startswith("SELECT"):
            with connection.connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values)
                done += _rows_read(cursor.fetchone()[0][0]["Plan"])
        return run(sql, values, many, context)

    with connection.execute_wrapper(explained):
        ask()
    return done


def _rows_read(plan: dict[str, Any]) -> int:
    """Return how many rows the steps of a plan look at, those included that they leave out."""
    inside = sum(_rows_read(part) for part in plan.get("Plans", ()))
    # It counts what earlier tests have rolled back, too; the step above it reads the rows themselves.
    if plan["Node Type"] == "Bitmap Index Scan":
        return inside
    read = plan["Actual Rows"] + sum(count for name, count in plan.items() if name.startswith("Rows Removed by"))
    return inside + int(read * plan["Actual Loops"])


def _settle(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)

"""The doors that the API's document does not describe: the admin, static files, the way in and every other path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from urllib.parse import quote

from tests.doors.growth.application import SOMEBODY, Application
from tests.doors.growth.growing import Growing, Work
from tests.doors.growth.shapes import SHAPES

__all__ = ["PAGES", "page_doors"]

_SIZE = 60
_TEMPLATE = "/admin/prompt_templates/template/"
_KEY = "/admin/accounts/apikey/"

Form = Callable[[int], Sequence[tuple[str, str]]]


def _field(name: str, **others: str) -> Form:
    return lambda size: [(name, SHAPES["words"](size)), *others.items()]


def _fields(*names: str) -> Form:
    return lambda size: [(name, SHAPES["words"](size)) for name in names]


def _often(name: str, **others: str) -> Form:
    return lambda size: [*((name, str(number)) for number in range(size // 8)), *others.items()]


_LABELS = {f"labels-{name}": "0" for name in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")}
_SAID = ("slug", "title", "description", "category", "language", "is_public")

PAGES: Mapping[str, Mapping[str, Mapping[str, Form]]] = {
    "/": {},
    "/*": {},
    "/static/{path}/": {},
    "/admin/": {"GET": {"query": _field("next")}},
    "/admin/login/": {
        "GET": {"next": _field("next")},
        "POST": {
            "username": _field("username", password="wrong"),
            "password": _field("password", username=SOMEBODY),
            "next": _field("next", username=SOMEBODY, password="wrong"),
            "unknown fields": _often("field"),
        },
    },
    "/admin/password_change/": {"POST": {"all fields": _fields("old_password", "new_password1", "new_password2")}},
    "/admin/password_change/done/": {"GET": {"query": _field("a")}},
    "/admin/autocomplete/": {
        "GET": {
            "term": _field("term", app_label="prompt_templates", model_name="version", field_name="template"),
            "names": _fields("app_label", "model_name", "field_name"),
            "page": _field("p", app_label="prompt_templates", model_name="version", field_name="template"),
        }
    },
    "/admin/jsi18n/": {"GET": {"query": _field("language")}},
    "/admin/r/{content_type_id}/{object_id}/": {},
    _TEMPLATE: {
        "GET": {
            "search": _field("q"),
            "filters": _fields("category", "tag", "origin", "language", "is_public"),
            "order": lambda size: [("o", ".".join(["1"] * (size // 8)))],
            "page": _field("p"),
            "unknown parameters": _often("a"),
        },
        "POST": {
            "chosen rows": _often("_selected_action", action="unpublish"),
            "action": _field("action", _selected_action="1"),
        },
    },
    f"{_TEMPLATE}add/": {"GET": {"query": _field("title")}},
    f"{_TEMPLATE}{{object_id}}/history/": {},
    f"{_TEMPLATE}{{object_id}}/delete/": {"POST": {"unknown fields": _often("field")}},
    f"{_TEMPLATE}{{object_id}}/change/": {
        "POST": {
            "texts": lambda size: [*_fields(*_SAID)(size), *_LABELS.items()],
            "tags": lambda size: [("tags", "\n".join(map(str, range(size // 8)))), *_LABELS.items()],
            "labels": lambda size: [("labels-TOTAL_FORMS", "9" * (size // 8)), ("labels-INITIAL_FORMS", "0")],
        }
    },
    f"{_TEMPLATE}{{object_id}}/": {},
    "/admin/^(?P{app_label}accounts|prompt_templates)/$": {"GET": {"query": _field("a")}},
    _KEY: {"GET": {"search": _field("q"), "page": _field("p"), "unknown parameters": _often("a")}},
    f"{_KEY}add/": {"GET": {"query": _field("name")}, "POST": {"texts": _fields("name", "scopes", "expires_at_0")}},
    f"{_KEY}{{object_id}}/history/": {},
    f"{_KEY}{{object_id}}/delete/": {},
    f"{_KEY}{{object_id}}/change/": {},
    f"{_KEY}{{object_id}}/": {},
    # The last one: nobody is logged in any more behind it.
    "/admin/logout/": {"POST": {"unknown fields": _often("field")}},
}
"""By path and method: what grows besides the parameters of the path. The forms are those that browsers send."""
_WRITTEN = {"/admin/^(?P{app_label}accounts|prompt_templates)/$": "/admin/prompt_templates/", "/*": "/nothing/"}
"""Paths that the resolver writes as a regular expression."""


def page_doors(application: Application) -> Iterator[Growing]:
    """Yield whatever can grow."""
    for route, methods in PAGES.items():
        path = _WRITTEN.get(route, route)
        if "{" in path or not methods:
            yield Growing(door=f"GET {route}", thing="path", size=_SIZE, works={"": partial(_path, application, path)})
        plain = path.replace("{object_id}", "1")
        for method, things in methods.items():
            for thing, form in things.items():
                yield Growing(
                    door=f"{method} {route}",
                    thing=thing,
                    size=_SIZE,
                    works={"": partial(_form, application, method, plain, form)},
                )
    yield Growing(door="GET /admin/login/", thing="cookies", size=_SIZE, works={"": partial(_cookies, application)})
    yield Growing(
        door="GET /admin/login/", thing="a quoted cookie", size=_SIZE, works={"": partial(_quoted, application)}
    )


def _path(application: Application, path: str, size: int) -> Work:
    grown = quote(SHAPES["words"](size), safe="")
    head, brace, rest = path.partition("{")
    sent = head + grown + rest.partition("}")[2].replace("{", "").replace("}", "") if brace else path + grown
    return partial(application.staff, "GET", sent)


def _form(application: Application, method: str, path: str, form: Form, size: int) -> Work:
    fields = form(size)
    if method == "GET":
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields).encode()
        return partial(application.staff, "GET", path, query=query)
    return partial(application.staff, "POST", path, fields)


def _cookies(application: Application, size: int) -> Work:
    return partial(application.staff, "GET", "/admin/login/", cookies="; a=1" * size)


def _quoted(application: Application, size: int) -> Work:
    escapes = '\\"' * (size * 4)
    return partial(application.staff, "GET", "/admin/login/", cookies=f'; messages="{escapes}"')

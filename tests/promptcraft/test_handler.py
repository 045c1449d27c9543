"""What the handler remembers of paths is bounded by the routes, not by what is asked for."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from promptcraft.handler import StreamHandler

ROUTES = ("/", "/api/v2/chat/completions/", "/api/v2/chat/health/", "/api/v2/models/")


@pytest.fixture
def handler() -> StreamHandler:
    return StreamHandler()


def asked(handler: StreamHandler, path: str) -> None:
    handler.resolve_request(RequestFactory().get(path))


@pytest.mark.parametrize("path", ROUTES)
def test_a_route_is_remembered(handler: StreamHandler, path: str):
    asked(handler, path)
    assert [*handler._matches] == [path]


@pytest.mark.parametrize(
    "path",
    [
        "/absent",
        "/api/v2/absent/",
        "/api/v2/chat/completions/absent/",
        "/api/v2/chat/completions//",
        "/api/v2/templates/one/",
        "/static/absent.js",
        "/admin/absent/",
        "/é",
    ],
)
def test_other_paths_are_not(handler: StreamHandler, path: str):
    asked(handler, path)
    assert not handler._matches

"""The routes of the project as the URL resolver has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern

from apps.accounts.access import Access, Scope

__all__ = ["API_ROUTES", "ROUTES", "Route", "walk"]


_SAMPLES = {"key_id": "0b2f6e5a-d1c9-4c0e-9b7d-3c1f8a6e4d20", "user_id": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route. `path` is as OpenAPI writes it, `{name}` for a parameter; the route of any path ends in `*`."""

    path: str
    access: Access | None
    """None if its view does not say who may call it."""
    scopes: frozenset[Scope] | None
    """Which API keys may call it: those with one of these; None if its view does not say."""

    @property
    def sample(self) -> str:
        """A path that it answers, with a slash at its end."""
        return re.sub(r"\{(\w+)\}", lambda name: _SAMPLES.get(name[1], "nothing"), self.path)


def walk(patterns: Sequence[URLPattern | URLResolver], prefix: str = "/") -> Iterator[Route]:
    """Yield every route, in the resolver's order."""
    for pattern in patterns:
        written = str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk(pattern.url_patterns, prefix + written)
            continue
        anything = not written and isinstance(pattern.pattern, RegexPattern)
        path = prefix + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", written)
        view = getattr(pattern.callback, "cls", pattern.callback)
        yield Route(path=f"{path}*" if anything else path, access=_access(view), scopes=getattr(view, "scopes", None))


def _access(view: Any) -> Access | None:
    declared = getattr(view, "access", None)
    return declared if isinstance(declared, Access) else None


ROUTES = tuple(walk(get_resolver().url_patterns))
API_ROUTES = tuple(route for route in ROUTES if route.path.startswith(("/api/v2/", "/v1/")))

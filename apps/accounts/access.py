"""Who may call a view. Every view declares it as its attributes `access` and, where API keys may call, `scopes`."""

from __future__ import annotations

import enum

__all__ = ["EVERY_SCOPE", "NO_SCOPE", "Access", "Scope"]


class Access(enum.Enum):
    """The closed list of answers to "who may?"."""

    PUBLIC = "public"
    """Anyone; whoever calls proves what is needed in the body, if anything."""
    AUTHENTICATED = "authenticated"
    """Whoever sends a valid access token of a living user, or an API key with one of the view's `scopes`."""
    STAFF = "staff"
    """An authenticated user whose `is_staff` is set; never an API key."""
    OPERATOR = "operator"
    """The operator's own tools: a token of the process, or the loopback interface."""


class Scope(enum.StrEnum):
    """What an API key may be good for."""

    CHAT = "chat"
    """Completions, models and prompts."""
    TEMPLATES = "templates"
    """The template library."""
    USAGE = "usage"
    """What was used and what it cost."""


EVERY_SCOPE = frozenset(Scope)
"""Any key may."""
NO_SCOPE: frozenset[Scope] = frozenset()
"""No key may: it takes a log-in."""

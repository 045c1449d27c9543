"""Who may call a view. Every view declares it as its attribute `access`."""

from __future__ import annotations

import enum

__all__ = ["Access"]


class Access(enum.Enum):
    """The closed list of answers to "who may?"."""

    PUBLIC = "public"
    """Anyone; whoever calls proves what is needed in the body, if anything."""
    AUTHENTICATED = "authenticated"
    """Whoever sends a valid access token of a living user."""
    STAFF = "staff"
    """An authenticated user whose `is_staff` is set."""
    OPERATOR = "operator"
    """The operator's own tools: a token of the process, or the loopback interface."""

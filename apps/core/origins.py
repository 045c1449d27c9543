"""Whose pages a browser lets read our answers, and a line in the log for the first that it does not."""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit

from django.conf import settings

__all__ = ["RefusedOrigins", "is_allowed_origin", "is_origin_of"]

logger = logging.getLogger("promptcraft.origins")

_ORIGIN = re.compile(r"https?://(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
_MOST_TOLD = 32


def is_allowed_origin(origin: str) -> bool:
    """Tell whether the operator lets pages of an origin read, or, with DEBUG=1, it is of the developer's machine."""
    return origin in settings.CORS_ALLOWED_ORIGINS or any(
        one.match(origin) for one in settings.CORS_ALLOWED_ORIGIN_REGEXES
    )


def is_origin_of(origin: str, host: str) -> bool:
    """Tell whether a page is from a host, as its requests name it: whether TLS ended in front of us cannot be seen."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


class RefusedOrigins:
    """Says of each origin once that its pages may read nothing; of as many as somebody may have forgotten to allow."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, origin: str) -> None:
        """Log a warning, unless there was one for this origin or for 32 others, or it is none."""
        if origin in self._told or len(self._told) >= _MOST_TOLD or not _ORIGIN.fullmatch(origin):
            return
        self._told.add(origin)
        logger.warning("A page of %s may not read the answers: CORS_ALLOWED_ORIGINS does not name its origin.", origin)

"""System checks: configurations that would lose streams or limits are refused at the start."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

__all__ = ["one_process"]


@register()
def one_process(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Refuse several workers, with REDIS_URL too: it shares limits, while streams and breakers live in one process."""
    if settings.WEB_CONCURRENCY == 1:
        return []
    return [
        Error(
            f"WEB_CONCURRENCY is {settings.WEB_CONCURRENCY}, but streams and breakers are kept in the process: another "
            "one could neither resume nor cancel them. REDIS_URL shares the limits alone.",
            hint="Set WEB_CONCURRENCY=1 and run one process.",
            id="promptcraft.E001",
        )
    ]

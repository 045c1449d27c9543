"""How both paths do, for staff: the counters that a rollout is watched by."""

from __future__ import annotations

import time

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.accounts.identity import Caller
from apps.chat.path_counters import BOUNDS_MS, COUNTERS
from apps.chat.responses import json_response
from apps.chat.runtime import PROCESS_STARTED

__all__ = ["path_health"]


async def path_health(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Answer `GET health/paths/`: counted by this process, in its phase."""
    del request, caller
    return json_response(
        {
            "phase": settings.SSE_ROLLOUT_PHASE,
            "percent": settings.SSE_ROLLOUT_PERCENT,
            "websockets": settings.LEGACY_WEBSOCKETS,
            "uptime_s": round(time.monotonic() - PROCESS_STARTED, 1),
            "bounds_ms": BOUNDS_MS,
            "paths": COUNTERS.as_json(),
        }
    )

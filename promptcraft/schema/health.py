"""The answers of health: `apps.chat.health`, `apps.chat.path_health`."""

from __future__ import annotations

from apps.accounts.features import Phase
from apps.chat.path_counters import BOUNDS_MS, Operation, Path
from apps.llm.breaker import BreakerState
from promptcraft.schema.notation import Schema, array, constant, flag, number, optional, record, ref, text, whole, words

__all__ = ["SCHEMAS"]

_STORE = record({"ok": flag(), "latency_ms": number(minimum=0)})

_PROVIDER = record(
    {
        "name": text(),
        "configured": flag("Whether it has what it takes to be asked, such as a key."),
        "state": words(BreakerState, "Its circuit breaker; `unknown` for one that was not asked yet."),
        "last_success_s": optional(number("Seconds since it last answered.")),
        "success_ratio_5m": optional(number(minimum=0, maximum=1)),
        "ttft_ms": record(
            {"p50": optional(number()), "p95": optional(number())}, "Milliseconds to the first content, of late."
        ),
        "last_error_code": optional(ref("FailureReason")),
    }
)

_BUCKETS = len(BOUNDS_MS)
_HISTOGRAM = record(
    {
        "counts": array(
            whole(minimum=0),
            "One for each of `bounds_ms`, and one past them.",
            minItems=_BUCKETS + 1,
            maxItems=_BUCKETS + 1,
        ),
        "p50": optional(whole("The bound under which half of them are; null past the last one, or for none.")),
        "p95": optional(whole()),
    }
)

_FIGURES = record(
    {
        "requests": whole("All of them: the sum of the next four.", minimum=0),
        "completed": whole(minimum=0),
        "stopped": whole("Cancelled, or left by the client.", minimum=0),
        "refused": whole("Ended in an error of the client's making, a limit included.", minimum=0),
        "failed": whole("Ended in an error of the service's making.", minimum=0),
        "errors": {"type": "object", "additionalProperties": whole(minimum=1), "description": "By code."},
        "ttft_ms": _HISTOGRAM,
        "duration_ms": _HISTOGRAM,
    }
)

SCHEMAS: dict[str, Schema] = {
    "Health": record(
        {
            "status": words(("ok", "degraded", "down")),
            "version": text(),
            "uptime_s": number(minimum=0),
            "draining": flag("Whether the process is about to stop."),
            "serving": optional(text("The provider that the next completion would ask first.")),
            "providers": array(ref("ProviderHealth"), "Those of the chain, in its order."),
            "database": _STORE,
            "cache": record(
                {"ok": flag(), "latency_ms": optional(number(minimum=0))},
                "Redis, by its last calls; only with `REDIS_URL`.",
            ),
            "streams": record({"active": whole(minimum=0), "capacity": whole(minimum=1)}),
        },
        absent=("cache",),
    ),
    "ProviderHealth": _PROVIDER,
    "Liveness": record({"status": constant("ok")}),
    "Readiness": record(
        {
            "status": words(("ok", "unavailable")),
            "draining": flag(),
            "database": flag("Whether it answers."),
            "migrations": flag("Whether all are applied."),
        }
    ),
    "PathHealth": record(
        {
            "phase": words(Phase),
            "percent": whole(minimum=0, maximum=100),
            "websockets": flag("Whether they are served."),
            "uptime_s": number("Seconds since this process counts.", minimum=0),
            "bounds_ms": array(whole(), "Upper ends of the histograms' buckets."),
            "paths": record(
                {path.value: record({name.value: ref("PathFigures") for name in Operation}) for path in Path}
            ),
        }
    ),
    "PathFigures": _FIGURES,
}

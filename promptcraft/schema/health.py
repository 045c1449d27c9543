"""The three answers of health: `apps.chat.health`."""

from __future__ import annotations

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
            "cache": _STORE,
            "streams": record({"active": whole(minimum=0), "capacity": whole(minimum=1)}),
        }
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
}

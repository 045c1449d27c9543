"""Error reports to Sentry: where it broke, never what was said.

A report is built anew from what is listed here; whatever else the SDK or an integration has put into it, now or in a
later version, is not sent.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import sentry_sdk
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport
from sentry_sdk.types import Event, Hint

from promptcraft.logs import REQUEST_ID
from promptcraft.redaction import scrubbed_encoded

if TYPE_CHECKING:
    from sentry_sdk._types import DataCollectionUserOptions

__all__ = ["start_sentry"]

# Nothing. Each field by its name, since what is left out here is collected.
_COLLECTED: DataCollectionUserOptions = {
    "user_info": False,
    "cookies": {"mode": "off"},
    "http_headers": {"request": {"mode": "off"}},
    "http_bodies": [],
    "url_query_params": {"mode": "off"},
    "graphql": {"document": False, "variables": False},
    "gen_ai": {"inputs": False, "outputs": False},
    "database_query_data": False,
    "queues": False,
    "stack_frame_variables": False,
    "frame_context_lines": 0,
}
_FACTS = ("event_id", "timestamp", "level", "logger", "platform", "release", "environment", "sdk")
_FRAME = ("filename", "function", "module", "lineno", "in_app")
_OURS = "promptcraft"


def start_sentry(*, dsn: str, release: str, environment: str, transport: Transport | None = None) -> None:
    """Start the SDK: errors that are logged are reported, and those that end the process; nothing else is.

    No integration looks at requests, at what is sent upstream, at SQL or at prompts. `transport` is for tests.
    """
    sentry_sdk.init(
        dsn=dsn,
        release=release,
        environment=environment,
        transport=transport,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            AtexitIntegration(callback=lambda pending, timeout: None),
            DedupeIntegration(),
            ExcepthookIntegration(),
            LoggingIntegration(level=None, event_level=logging.ERROR, sentry_logs_level=None),
        ],
        data_collection=_COLLECTED,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        propagate_traces=False,
        enable_metrics=False,
        spotlight=False,
        debug=False,
        # The machine's name otherwise.
        server_name=_OURS,
        before_send=_allowed,
    )


def _allowed(event: Event, hint: Hint) -> Event:
    """Return what may be sent of a report. If it raises, the SDK sends nothing."""
    # Files that go beside the report, whatever is in them.
    hint["attachments"] = []
    kept: dict[str, Any] = {name: event[name] for name in _FACTS if name in event}  # type: ignore[literal-required]
    runtime = event.get("contexts", {}).get("runtime")
    if runtime is not None:
        kept["contexts"] = {"runtime": runtime}
    record: logging.LogRecord | None = hint.get("log_record")
    if record is not None and record.name.partition(".")[0] == _OURS:
        # The template, without what was put into it; others format before they log.
        kept["logentry"] = {"message": str(record.msg)}
    request_id = getattr(record, "fields", {}).get("request_id") or REQUEST_ID.get()
    if request_id is not None:
        kept["tags"] = {"request_id": request_id}
    values = event.get("exception", {}).get("values", [])
    if values:
        kept["exception"] = {"values": [_exception(value) for value in values]}
    return cast(Event, _scrubbed(kept))


def _exception(value: Mapping[str, Any]) -> dict[str, Any]:
    """Keep an exception's type and places; its message quotes whatever it stumbled over."""
    kept = {name: value[name] for name in ("type", "module") if name in value}
    mechanism = value.get("mechanism") or {}
    kept["mechanism"] = {name: mechanism[name] for name in ("type", "handled") if name in mechanism}
    frames = (value.get("stacktrace") or {}).get("frames") or []
    kept["stacktrace"] = {
        "frames": [{name: frame[name] for name in _FRAME if name in frame} for frame in frames],
    }
    return kept


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return scrubbed_encoded(value)
    if isinstance(value, Mapping):
        return {name: _scrubbed(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(inner) for inner in value]
    return value

"""Error reports to Sentry: where it broke, never what was said."""

from __future__ import annotations

import sentry_sdk
from sentry_sdk.types import Event, Hint

__all__ = ["start_sentry"]


def start_sentry(*, dsn: str, release: str) -> None:
    """Start the SDK without personal data, local variables, bodies, headers or breadcrumbs' messages."""
    sentry_sdk.init(
        dsn=dsn,
        release=release,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        before_send=_strip_request,
    )


def _strip_request(event: Event, hint: Hint) -> Event:
    request = event.get("request")
    if request:
        event["request"] = {key: request[key] for key in ("method", "url") if key in request}
    return event

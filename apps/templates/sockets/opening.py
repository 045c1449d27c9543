"""Handshakes: from where, for what host, with which token, and what is said with the acceptance."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils.http import http_date

from apps.accounts.identity import signed_share
from apps.chat.body import CALLER
from apps.core.origins import is_allowed_origin, is_origin_of
from apps.llm.errors import Code, Forbidden, InvalidRequest, PromptCraftError, RateLimited, ServiceUnavailable
from apps.templates.sockets.registry import MOST_SOCKETS, MOST_UNKNOWN_OF_CALLER, sockets

__all__ = ["account_of", "handshake_refusal", "offered_token", "opening_headers", "spoken_subprotocol"]

_SUBPROTOCOL = "promptcraft.v1"
_BEARER = "bearer."


def handshake_refusal(scope: Mapping[str, Any]) -> PromptCraftError | None:
    """Return why a handshake is refused, None if it is not.

    A browser says where its page is from; that has to be this host itself or one of CORS_ALLOWED_ORIGINS. What is no
    browser says nothing, and is let in: its token is what counts.
    """
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    host = hosts[0] if len(hosts) == 1 else ""
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return InvalidRequest("This host name is not served here. Use one from ALLOWED_HOSTS.", param="Host")
    origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    if not all(is_allowed_origin(origin) or is_origin_of(origin, host) for origin in origins):
        return Forbidden("Pages of this origin may not connect. The operator adds it to CORS_ALLOWED_ORIGINS.")
    if len(sockets) >= MOST_SOCKETS:
        return ServiceUnavailable("Too many connections are open. Try again later.", code=Code.OVERLOADED)
    if sockets.unknown_of(scope.get(CALLER)) >= MOST_UNKNOWN_OF_CALLER:
        return RateLimited("Too many connections from your network have sent no token yet.", retry_after_s=10)
    return None


def account_of(scope: Mapping[str, Any]) -> Hashable:
    """Return on whose account a socket is until its user is known: a signature is enough not to be its network's."""
    token = offered_token(scope.get("subprotocols", ()))
    return (None if token is None else signed_share(f"Bearer {token}".encode())) or scope.get(CALLER)


def offered_token(subprotocols: Sequence[str]) -> str | None:
    """Return the token that is offered as a subprotocol, None if none is."""
    return next((one.removeprefix(_BEARER) for one in subprotocols if one.startswith(_BEARER)), None)


def spoken_subprotocol(subprotocols: Sequence[str]) -> str | None:
    """Return the subprotocol to accept; a token is never said back."""
    return _SUBPROTOCOL if _SUBPROTOCOL in subprotocols else None


def opening_headers(successor: str) -> Mapping[str, str]:
    """Return `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and where to go instead."""
    return {**_dates(), "Link": f'<{successor}>; rel="successor-version"'}


@functools.cache
def _dates() -> Mapping[str, str]:
    return {
        "Deprecation": f"@{_seconds(settings.LEGACY_WEBSOCKETS_DEPRECATED)}",
        "Sunset": http_date(_seconds(settings.LEGACY_WEBSOCKETS_SUNSET)),
    }


def _seconds(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())

"""The address a request comes from, as far as it can be trusted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest

__all__ = ["client_network", "network_of", "network_of_headers"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Providers hand whole /64 networks to single customers: one such network counts as one address.
_IPV6_PREFIX = 64
_MOST_HOPS = 32


def client_network(request: HttpRequest) -> str:
    """Return the client's IPv4 address or IPv6 /64 network, for counting.

    The peer of the connection, unless `settings.TRUSTED_PROXIES` holds it: then the right-most address of
    X-Forwarded-For which it does not hold. Whatever stands left of that one was written by the client, as may all be
    that is more than 32 places from the right. All requests whose peer has no address (a Unix socket) count as one.
    """
    return network_of(request.META.get("REMOTE_ADDR") or "", request.META.get("HTTP_X_FORWARDED_FOR", ""))


def network_of(peer: str, forwarded_for: str) -> str:
    """Return the client's network by the peer's address and the header X-Forwarded-For."""
    address = _parse(peer)
    if address is None:
        return "unknown"
    for hop in reversed(forwarded_for.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
        if not _is_trusted(address):
            break
        forwarded = _parse(hop)
        if forwarded is None:
            break
        address = forwarded
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address.packed, _IPV6_PREFIX), strict=False))
    return str(address)


def network_of_headers(peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the client's network by the peer's address and an ASGI scope's headers.

    A proxy may add a line of its own to those that the client sent: together they are one list, in their order.
    """
    lines = [value for name, value in headers if name == b"x-forwarded-for"]
    return network_of(peer, b",".join(lines).decode("latin-1"))


def _is_trusted(address: _Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)


def _parse(text: str) -> _Address | None:
    text = text.strip()
    # Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address

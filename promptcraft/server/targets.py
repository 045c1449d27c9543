"""Targets of requests that are whole addresses (RFC 9112, 3.2.2): the host that they name counts."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["split_address", "unnamed_host"]

_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


def split_address(target: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return scheme, authority and the rest, a slash at the least, of a whole address; None of any other target."""
    scheme, separator, rest = target.partition(b"://")
    if target.startswith(b"/") or not separator:
        return None
    authority, slash, path = rest.partition(b"/")
    if b"?" in authority:
        authority, _, query = rest.partition(b"?")
        return scheme.lower(), authority.lower(), b"/?" + query
    return scheme.lower(), authority.lower(), b"/" + path if slash else b"/"


def unnamed_host(target: bytes, hosts: Sequence[bytes]) -> bytes | None:
    """Return the host of a target that is a whole address, None if the Host headers name that host and no other.

    It is to become one more Host: two of them are refused.
    """
    address = split_address(target)
    if address is None:
        return None
    scheme, authority, _ = address
    port = _DEFAULT_PORTS.get(scheme, b"")
    named = [host.strip().lower().removesuffix(port) for host in hosts]
    return None if named == [authority.removesuffix(port)] else authority

"""A connection to whichever of a name's addresses answers first."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Coroutine, Sequence
from itertools import chain, zip_longest
from typing import Any, TypeVar

__all__ = ["HEAD_START_S", "addresses_of", "first_to_connect"]

HEAD_START_S = 1.0
"""How long an address is tried alone before the next is tried beside it. RFC 8305 recommends 0.25 s for TCP alone;
this is for TCP and TLS, where a second connection costs more."""

_Connection = TypeVar("_Connection")


async def addresses_of(host: str, port: int) -> Sequence[str]:
    """Return a name's addresses, the resolver's favourite first, IPv4 and IPv6 by turns. Raises OSError, UnicodeError.

    UnicodeError is for what cannot be a name.
    """
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    favourites = [str(address[0]) for family, *_, address in found if family == found[0][0]]
    others = [str(address[0]) for family, *_, address in found if family != found[0][0]]
    return [address for address in chain.from_iterable(zip_longest(favourites, others)) if address is not None]


async def first_to_connect(
    addresses: Sequence[str],
    connect: Callable[[str], Coroutine[Any, Any, _Connection]],
    hang_up: Callable[[_Connection], None],
    *,
    head_start_s: float = HEAD_START_S,
) -> _Connection:
    """Return the first connection made; the others are cancelled, or hung up on.

    A machine whose IPv6 leads nowhere would wait for it in vain otherwise: neither asyncio, unless it is asked, nor
    uvloop tries a second address before the first has failed. Raises what the first address's attempt raised.
    """
    if len(addresses) == 1:
        return await connect(addresses[0])
    waiting = iter(addresses)
    attempts: set[asyncio.Task[_Connection]] = set()
    failure: BaseException | None = None
    try:
        while True:
            address = next(waiting, None)
            if address is not None:
                attempts.add(asyncio.create_task(connect(address)))
            elif not attempts:
                raise failure or OSError("a name without addresses")
            timeout_s = None if address is None else head_start_s
            done, _ = await asyncio.wait(attempts, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.discard(attempt)
                if attempt.exception() is None:
                    return attempt.result()
                failure = failure or attempt.exception()
    finally:
        for attempt in attempts:
            attempt.add_done_callback(lambda late: _end(late, hang_up))
            attempt.cancel()


def _end(late: asyncio.Task[_Connection], hang_up: Callable[[_Connection], None]) -> None:
    """Hang up if it is connected too late; look at it if it failed, so that it is not reported as lost."""
    if not late.cancelled() and late.exception() is None:
        hang_up(late.result())

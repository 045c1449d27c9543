"""Ports: one for a server to listen on, one that refuses, one that never accepts."""

from __future__ import annotations

import atexit
import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache

__all__ = ["free_port", "refusing_port", "unanswering_port"]

# Below those that systems give to whoever asks for any port: what connects to somewhere takes none of these meanwhile.
_FIRST, _PORTS_OF_A_PROCESS, _PROCESSES = 10_000, 500, 44


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, for a server that is about to start.

    No other process that runs tests returns it meanwhile: a server may share its port with another that has it already.
    """
    for port in _ports():
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("not a single port is free")


@cache
def _ports() -> Iterator[int]:
    """Return the ports of this process, again and again. It holds the first of them, so that no other has the rest."""
    for first in range(_FIRST, _FIRST + _PROCESSES * _PORTS_OF_A_PROCESS, _PORTS_OF_A_PROCESS):
        held = socket.socket()
        try:
            held.bind(("127.0.0.1", first))
        except OSError:
            held.close()
            continue
        # Held until the process ends.
        atexit.register(held.close)
        return itertools.cycle(range(first + 1, first + _PORTS_OF_A_PROCESS))
    raise AssertionError(f"more than {_PROCESSES} processes run tests")


@contextmanager
def refusing_port() -> Iterator[int]:
    """Yield a port of 127.0.0.1 that refuses connections and that nobody else can take meanwhile."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def unanswering_port() -> Iterator[int]:
    """Yield a port whose handshakes hang: its queue is full and nobody accepts, so that connecting times out.

    Linux drops the SYN of a full queue; other kernels may refuse instead.
    """
    with ExitStack() as stack:
        listening = stack.enter_context(closing(socket.socket()))
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]

"""Ports: one for a server to listen on, one that refuses, one that never accepts."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

__all__ = ["free_port", "refusing_port", "unanswering_port"]

# Below those that systems give to whoever asks for any port: what connects to somewhere takes none of these meanwhile.
_LISTENING = range(10_000, 32_000)
# Not the tests' generator: all processes that run tests begin with the same seed.
_chance = random.SystemRandom()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, for a process that is about to start."""
    while True:
        port = _chance.choice(_LISTENING)
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


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

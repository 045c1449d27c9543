"""Every test here runs on asyncio's loop and on uvloop's, and leaves nothing behind: no task, socket or complaint."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from tests.llm.providers.transport.certificates import Authority
from tests.llm.providers.transport.faces import FACES, OURS, Face

try:
    import uvloop
except ImportError:  # Windows
    LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
else:
    LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}

_DESCRIPTORS = Path("/proc/self/fd")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOPS


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    """Each way to use a transport: ours pushed and pulled, and httpx's."""
    return cast(Face, request.param)


@pytest.fixture(params=OURS, ids=lambda face: face.name)
def ours(request: pytest.FixtureRequest) -> Face:
    """The two faces of our transport."""
    return cast(Face, request.param)


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A certificate authority that no machine trusts."""
    return Authority()


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    """What a client knows that trusts this authority and nobody else."""
    return authority.client_context()


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    before = sockets()
    yield
    for _ in range(100):
        # Loops close sockets in their next turns.
        await asyncio.sleep(0)
        if sockets() <= before and len(asyncio.all_tasks()) == 1:
            break
    # A future whose error nobody looked at complains when it goes.
    gc.collect(1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert sockets() <= before
    assert not complaints


def sockets() -> int:
    """Count this process's sockets; 0 where the system does not tell."""
    if not _DESCRIPTORS.exists():
        return 0
    count = 0
    for name in os.listdir(_DESCRIPTORS):
        try:
            count += os.readlink(_DESCRIPTORS / name).startswith("socket:")
        except FileNotFoundError:
            # The one that the listing itself used.
            continue
    return count

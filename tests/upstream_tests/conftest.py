from __future__ import annotations

import pytest

from tests.upstream import UpstreamServer


@pytest.fixture(scope="session")
def shared_upstream():
    with UpstreamServer() as server:
        yield server


@pytest.fixture
def upstream(shared_upstream):
    shared_upstream.reset()
    yield shared_upstream
    shared_upstream.reset()

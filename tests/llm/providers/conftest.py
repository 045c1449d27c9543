from __future__ import annotations

import pytest

from apps.llm.providers import DIALECTS
from tests.llm.providers import connecting


@pytest.fixture(params=DIALECTS)
def vendor(request: pytest.FixtureRequest) -> str:
    """Each vendor by name."""
    return str(request.param)


@pytest.fixture(params=["push", "httpx"])
def each_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test over the project's own transport, and over httpx's."""
    monkeypatch.setattr(connecting, "default_kind", request.param)

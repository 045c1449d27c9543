from __future__ import annotations

import pytest

from apps.llm.providers import DIALECTS


@pytest.fixture(params=DIALECTS)
def vendor(request: pytest.FixtureRequest) -> str:
    """Each vendor by name."""
    return str(request.param)

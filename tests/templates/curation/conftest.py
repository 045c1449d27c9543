from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _fresh_state(fresh_state):
    """Of every test here."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from apps.accounts import hashing
from apps.accounts.hashing import hashing_slot
from apps.llm.errors import ServiceUnavailable


def test_two_slots():
    with ExitStack() as held:
        held.enter_context(hashing_slot())
        held.enter_context(hashing_slot("ab" * 16))
        assert not hashing._slots.acquire(blocking=False)
    assert hashing._slots.acquire(blocking=False)
    hashing._slots.release()


def test_a_slot_comes_back_from_an_error():
    for _ in range(5):
        with pytest.raises(KeyError), hashing_slot("ab" * 16):
            raise KeyError
    with hashing_slot("ab" * 16):
        pass


def test_waiting_is_bounded(monkeypatch):
    monkeypatch.setattr(hashing, "_places", threading.BoundedSemaphore(1))
    with hashing_slot(), pytest.raises(ServiceUnavailable), hashing_slot():
        pass
    with hashing_slot():
        pass

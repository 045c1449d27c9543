"""The ids of completions: unguessable, and in the order of their making."""

from __future__ import annotations

import re
import time

from apps.chat.engine.supervisor import _completion_id


def test_an_id_begins_with_its_millisecond():
    before_ms = time.time_ns() // 1_000_000
    made = _completion_id()
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", made)
    assert before_ms <= int(made.removeprefix("chatcmpl-")[:12], 16) <= time.time_ns() // 1_000_000


def test_no_two_ids_of_a_millisecond_are_alike():
    assert len({_completion_id()[-20:] for _ in range(1_000)}) == 1_000

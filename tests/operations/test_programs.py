from __future__ import annotations

import os

import pytest

from tests.operations.programs import need_program


def test_a_program_that_is_there_is_found():
    assert os.access(need_program("sh", "dash"), os.X_OK)


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_one_that_is_not_is_missed_where_it_must_be(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"no-such-program is not installed \(Debian has it in nowhere\)"):
        need_program("no-such-program", "nowhere")

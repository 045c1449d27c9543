"""Cases that run as one test are seen to fail each by itself."""

from __future__ import annotations

import inspect
from contextlib import contextmanager

import pytest

from tests.each import each


def failed(test, *given, **fixtures):
    with pytest.raises(ExceptionGroup) as caught:
        test(*given, **fixtures)
    return [error.__notes__[0] for error in caught.value.exceptions]


def test_all_that_fail_are_told():
    seen = []

    @each(("one", "two"), [(1, 2), pytest.param(3, 4, id="second"), (5, 6)])
    def test(one, fixture, two):
        seen.append((one, two, fixture))
        if one == 3:
            pytest.fail("told")
        assert one != 5

    assert list(inspect.signature(test).parameters) == ["fixture"]
    assert failed(test, fixture="f") == ["case: second", "case: (5, 6)"]
    assert seen == [(1, 2, "f"), (3, 4, "f"), (5, 6, "f")]


async def test_coroutines_are_awaited():
    @each("one", [1, 2], ids=["first", "second"])
    async def test(one):
        assert one == 1

    with pytest.raises(ExceptionGroup) as caught:
        await test()
    assert caught.value.exceptions[0].__notes__ == ["case: second"]


def test_what_is_around_a_case_is_entered_for_each():
    done: list[object] = []

    @contextmanager
    def around():
        done.append("in")
        yield
        done.append("out")

    @each("one", [1, 2], around=around)
    @each("two", "ab")
    def test(one, two):
        done.append((one, two))

    test()
    assert done == ["in", (1, "a"), (1, "b"), "out", "in", (2, "a"), (2, "b"), "out"]


def test_no_case_is_no_test():
    with pytest.raises(AssertionError, match="no case"):
        each("one", [])

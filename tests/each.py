"""Many cases in one test, where they share what the test is given: its set-up would cost more than they do."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

__all__ = ["each"]

Test = Callable[..., Any]
Names = Iterable[object] | Callable[[Any], object]


def each(
    names: str | tuple[str, ...],
    cases: Iterable[Any],
    *,
    ids: Names | None = None,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Callable[[Test], Test]:
    """Run a test for every case, as `pytest.mark.parametrize` does, but as one test. All that fail are told.

    The cases share the fixtures, and one must not see what another has left there. `around` is entered for each: with
    `undone` of tests/templates/visibility.py, what it writes to the database is taken back.
    """
    arguments = tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names
    told = list(cases)
    values = [_values(case, len(arguments)) for case in told]
    known = ids if ids is None or callable(ids) else list(ids)
    assert values, "there is no case"
    assert known is None or callable(known) or len(known) == len(values)

    def label(number: int) -> object:
        case = told[number]
        if isinstance(known, list):
            return known[number]
        if isinstance(case, ParameterSet) and case.id:
            return case.id
        return known(case) if known else repr(values[number])[:200]

    def decorated(test: Test) -> Test:
        signature = inspect.signature(test)

        if inspect.iscoroutinefunction(test):

            @functools.wraps(test)
            async def run(*own: Any, **fixtures: Any) -> None:
                errors: list[Exception] = []
                for number, case in enumerate(values):
                    with _kept(errors, functools.partial(label, number)), around():
                        await test(*own, **fixtures, **dict(zip(arguments, case, strict=True)))
                _tell(errors, len(values))

        else:

            @functools.wraps(test)
            def run(*own: Any, **fixtures: Any) -> None:
                errors: list[Exception] = []
                for number, case in enumerate(values):
                    with _kept(errors, functools.partial(label, number)), around():
                        test(*own, **fixtures, **dict(zip(arguments, case, strict=True)))
                _tell(errors, len(values))

        asked = [parameter for name, parameter in signature.parameters.items() if name not in arguments]
        run.__signature__ = signature.replace(parameters=asked)  # type: ignore[attr-defined]
        run.cases = values  # type: ignore[attr-defined]
        return run

    return decorated


def _values(case: Any, count: int) -> tuple[Any, ...]:
    if isinstance(case, ParameterSet):
        assert not case.marks, "the mark of a case would be the mark of all"
        return tuple(case.values)
    return tuple(case) if count > 1 else (case,)


@contextmanager
def _kept(errors: list[Exception], label: Callable[[], object]) -> Iterator[None]:
    """Keep what a case fails with. A skip is no failure, and ends the test."""
    failed: Exception | None = None
    try:
        yield
    except Exception as error:
        failed = error
    except pytest.fail.Exception as error:
        failed = AssertionError(error.msg).with_traceback(error.__traceback__)
    if failed is not None:
        failed.add_note(f"case: {label()}")
        errors.append(failed)


def _tell(errors: list[Exception], count: int) -> None:
    if errors:
        raise ExceptionGroup(f"{len(errors)} of {count} cases", errors)

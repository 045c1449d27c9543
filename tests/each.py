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


def each(
    names: str | tuple[str, ...],
    cases: Iterable[Any],
    *,
    ids: Iterable[object] | Callable[[Any], object] | None = None,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Run a test for every case, as `pytest.mark.parametrize` does, but as one test. All that fail are told.

    The cases share the fixtures, and one must not see what another has left there. `around` is entered for each: with
    `undone` of tests/templates/visibility.py, what it writes to the database is taken back.
    """
    each_name = tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names
    told = list(cases)
    values = [_values(case, len(each_name)) for case in told]
    labels = [_label(case, ids) for case in told] if ids is None or callable(ids) else [*map(str, ids)]
    assert len(labels) == len(values) > 0

    def decorated(test: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(test)
        asked = [name for name in signature.parameters if name not in each_name]

        def calls(fixtures: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
            for label, case in zip(labels, values, strict=True):
                yield label, fixtures | dict(zip(each_name, case, strict=True))

        if inspect.iscoroutinefunction(test):

            @functools.wraps(test)
            async def run(*own: Any, **fixtures: Any) -> None:
                errors: list[Exception] = []
                for label, given in calls(fixtures):
                    with _kept(label, errors), around():
                        await test(*own, **given)
                _tell(errors, labels)

        else:

            @functools.wraps(test)
            def run(*own: Any, **fixtures: Any) -> None:
                errors: list[Exception] = []
                for label, given in calls(fixtures):
                    with _kept(label, errors), around():
                        test(*own, **given)
                _tell(errors, labels)

        run.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[signature.parameters[name] for name in asked]
        )
        run.cases = values  # type: ignore[attr-defined]
        return run

    return decorated


def _values(case: Any, count: int) -> tuple[Any, ...]:
    if isinstance(case, ParameterSet):
        assert not case.marks, "the mark of a case would be the mark of all"
        case = case.values if count > 1 else case.values[0]
    return tuple(case) if count > 1 else (case,)


def _label(case: Any, name: Callable[[Any], object] | None) -> str:
    if isinstance(case, ParameterSet):
        return str(case.id or case.values)
    return str(name(case)) if name else repr(case)[:200]


@contextmanager
def _kept(label: str, errors: list[Exception]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"case: {label}")
        errors.append(error)
    except pytest.fail.Exception as failure:
        error = AssertionError(failure.msg).with_traceback(failure.__traceback__)
        error.add_note(f"case: {label}")
        errors.append(error)


def _tell(errors: list[Exception], labels: list[str]) -> None:
    if errors:
        raise ExceptionGroup(f"{len(errors)} of {len(labels)} cases", errors)

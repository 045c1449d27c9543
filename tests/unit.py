"""Which tests reach outside their process, found by what they call. The others are `make test-unit`, held to it.

A test that starts another process (a server, a browser, a database, a program), listens on a port or asks a database
has the mark `outside`. Where its code does not show it, as with a fixture whose name is put together, the parameter
carries the mark.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from socketserver import BaseServer
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

__all__ = ["hold_to_marks", "mark_outside", "running"]

_STARTS = ("subprocess.Popen", "os.fork", "os.posix_spawn")
_LISTENS = "socket.bind"
_REACHING = {
    "create_subprocess_exec",
    "create_subprocess_shell",
    "create_server",
    "start_server",
    "bind",
}
_DATABASES = {"db", "transactional_db", "database"}
"""Fixtures; what asks a database without one is refused by pytest-django."""
_OURS = ("tests", "benchmarks")
_OUTSIDE = object()
"""Stands for what reaches outside, among what a function names."""
running: list[pytest.Item] = []
"""The test that runs now, if any."""


def mark_outside(items: list[pytest.Item]) -> None:
    """Give the mark to the tests that reach outside."""
    for item in items:
        if isinstance(item, pytest.Function):
            fixtures = [fixture.func for found in item._fixtureinfo.name2fixturedefs.values() for fixture in found]
            parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
            asks_database = _DATABASES & {*item.fixturenames} or item.get_closest_marker("django_db")
            if asks_database or any(map(_reaches, (item.function, *fixtures, *filter(_is_one, parameters)))):
                item.add_marker("outside")


def hold_to_marks() -> None:
    """From now on, refuse a process and a port to a test without the mark."""

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if (
            running
            and (event in _STARTS or (event == _LISTENS and isinstance(arguments[1], tuple)))
            and running[0].get_closest_marker("outside") is None
        ):
            raise AssertionError(f"{running[0].nodeid}: {event} {arguments!r}: give it the mark `outside`")

    sys.addaudithook(look)


@cache
def _reaches(function: Any) -> bool:
    waiting, seen = [function], {function}
    while waiting:
        used = _used_by(waiting.pop())
        if _OUTSIDE in used:
            return True
        waiting += used - seen
        seen |= used
    return False


@cache
def _used_by(thing: Any) -> frozenset[Any]:
    """Return what of ours a function or a class names, and `_OUTSIDE` if it reaches there by itself."""
    return frozenset(_named_by(thing))


def _named_by(thing: Any) -> Iterator[Any]:
    thing = inspect.unwrap(thing)
    if isinstance(thing, type):
        if issubclass(thing, BaseServer):
            yield _OUTSIDE
        for member in [member for one in thing.__mro__ if _is_ours(one.__module__) for member in vars(one).values()]:
            function = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(function, FunctionType):
                yield from _named_by(function)
    elif isinstance(thing, FunctionType):
        names = set(_names(thing.__code__))
        if names & _REACHING:
            yield _OUTSIDE
        for found in [thing.__globals__[name] for name in names & thing.__globals__.keys()]:
            if isinstance(found, ModuleType) and _is_ours(found.__name__):
                yield from (value for name in names if _is_one(value := getattr(found, name, None)))
            elif found is subprocess:
                yield _OUTSIDE
            elif _is_one(found):
                yield found


def _is_one(value: Any) -> bool:
    return isinstance(inspect.unwrap(value), FunctionType | type) and _is_ours(value.__module__)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in _OURS


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)

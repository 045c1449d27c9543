"""Every function of ours that needs texts and nothing else, found by its signature: each of its texts in every shape.

Most of what strangers write is read by one of these. What a function needs besides texts is filled in by its type; one
that needs a request, a caller or a database is measured at its door.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from django.core.exceptions import SynchronousOnlyOperation

import apps
import promptcraft
from apps.llm.errors import PromptCraftError
from apps.templates.answers import Source
from apps.templates.sockets.messages import BrokenMessage
from tests.doors.growth.growing import Growing, Work
from tests.doors.growth.shapes import SHAPES

__all__ = ["text_functions"]

_TEXTS = frozenset({"str", "bytes", "bytearray", "None"})
"""What the annotation of a text is made of."""
_FILLED: dict[str, object] = {
    "Collection[str]": (),
    "Mapping[str, object]": {},
    "Sequence[Variable]": (),
    "Sequence[str]": ("words",),
    "Source": Source.RULES,
    "Usage | None": None,
    "bool": False,
    "int": 4,
    "int | None": 1,
    "object": {},
    "tuple[str, ...]": (r"(\d+)",),
}
"""By how a parameter is annotated."""
_NOT_FROM_STRANGERS = (
    "apps.limits.",
    "apps.llm.pricing",
    "promptcraft.asgi",
    "promptcraft.schema",
    "promptcraft.sentry",
    "promptcraft.server",
    "promptcraft.settings",
)
_AT_THEIR_DOORS = (
    "apps.accounts.families",
    "apps.accounts.hashing",
    "apps.accounts.identity",
    "apps.accounts.verification",
    "apps.chat.store",
)
"""Ask the database for everything, or wait."""
_ERRORS = (PromptCraftError, BrokenMessage, ValueError, SynchronousOnlyOperation)
"""The last is said to whoever asks the database on the event loop: the rest of it is measured at its door."""
_SIZE = 1_000
_THOROUGH = ("apps.templates.rules", "apps.templates.prompts")
"""Take thousands of instructions for a letter, and look at no more than some hundred or thousand of them."""
_THOROUGH_SIZE = 300
_THOROUGH_SHAPES = ("one word", "one word again and again", "lines", "line ends", "quotations", "placeholders")


def text_functions() -> Iterator[Growing]:
    """Yield each text of each function."""
    for module, function in _functions():
        name = f"{module}.{function.__name__}"
        thorough = module.startswith(_THOROUGH)
        parameters = inspect.signature(function).parameters.values()
        texts = [parameter for parameter in parameters if _is_text(str(parameter.annotation))]
        given = {
            parameter.name: _encoded(parameter, "write a post about dogs")
            if parameter in texts
            else _FILLED[str(parameter.annotation)]
            for parameter in parameters
            if parameter in texts or parameter.default is parameter.empty
        }
        positional = [one.name for one in parameters if one.name in given and one.kind is not one.KEYWORD_ONLY]
        call = partial(_called, function, positional)
        for parameter in texts:
            yield Growing(
                door=name,
                thing=parameter.name,
                size=_THOROUGH_SIZE if thorough else _SIZE,
                works={
                    shape: partial(_work, call, given, parameter, shape)
                    for shape in (_THOROUGH_SHAPES if thorough else SHAPES)
                },
            )


def _functions() -> Iterator[tuple[str, Callable[..., object]]]:
    for package in (apps, promptcraft):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            name = found.name
            if name.startswith((*_NOT_FROM_STRANGERS, *_AT_THEIR_DOORS)) or {"migrations", "management"} & {
                *name.split(".")
            }:
                continue
            module = importlib.import_module(name)
            for public in getattr(module, "__all__", ()):
                function = getattr(module, public)
                if inspect.isfunction(function) and function.__module__ == name and _needs_texts_alone(function):
                    yield name, function


def _needs_texts_alone(function: Callable[..., object]) -> bool:
    if inspect.iscoroutinefunction(function):
        return False
    annotated = {
        str(parameter.annotation)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.VAR_POSITIONAL
        and (parameter.default is parameter.empty or _is_text(str(parameter.annotation)))
    }
    texts = {*filter(_is_text, annotated)}
    return bool(texts) and annotated - texts <= {*_FILLED}


def _is_text(annotation: str) -> bool:
    return {*annotation.split(" | ")} <= _TEXTS and annotation != "None"


def _encoded(parameter: inspect.Parameter, text: str) -> str | bytes:
    return text.encode() if str(parameter.annotation).startswith("bytes") else text


def _work(
    call: Callable[[dict[str, Any]], None], given: dict[str, Any], grown: inspect.Parameter, shape: str, size: int
) -> Work:
    return partial(call, {**given, grown.name: _encoded(grown, SHAPES[shape](size))})


def _called(function: Callable[..., object], positional: Iterable[str], given: dict[str, Any]) -> None:
    named = dict(given)
    try:
        result = function(*[named.pop(name) for name in positional], **named)
        if isinstance(result, Iterator):
            for _ in result:
                pass
    except _ERRORS:
        pass

"""Every regular expression of ours, against texts that are made from the expression itself.

One that goes back over what it has read shows it on what nearly matches: all that leads to a repetition, the repetition
many times, and then what does not follow it. Expressions are found in the source, so that none is forgotten.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from apps.templates.rules.entities import compiled, find_entities
from apps.templates.rules.intent import preload
from tests.doors.growth.growing import Growing, Work

# sre_parse, by its name since 3.11.
_parser: Any = importlib.import_module("re._parser")

__all__ = ["Found", "found_patterns", "near_misses", "pattern_doors"]

_ROOT = Path(__file__).parents[3]
_SIZE = 128
_ANCHORED = frozenset({"match", "fullmatch"})
_USES = frozenset({"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"})
_FROM_OPERATORS = ("promptcraft/settings.py", "promptcraft/schema/")
_REPEATS = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_BEHIND = ("", "\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An expression, where it is, and whether it is ever looked for anywhere but at the beginning of a text."""

    where: str
    pattern: str
    is_bytes: bool
    flags: int
    anchored: bool


def pattern_doors(expressions: Path) -> Iterator[Growing]:
    """Yield every expression that `measure` has written into that file."""
    for line in expressions.read_text(encoding="utf-8").splitlines():
        found = Found(**json.loads(line))
        yield Growing(
            door=found.where,
            thing=repr(found.pattern)[:80],
            size=_SIZE,
            works={repr(miss): partial(_work, found, miss) for miss in near_misses(found.pattern, found.flags)},
        )


def found_patterns() -> list[Found]:
    """Return the expressions of all modules, in the order of their places."""
    preload()
    find_entities("a short post for customers by Friday")
    found: list[Found] = []
    for path in sorted((*_ROOT.glob("apps/**/*.py"), *_ROOT.glob("promptcraft/**/*.py"))):
        relative = path.relative_to(_ROOT).as_posix()
        if "migrations" not in path.parts and not relative.startswith(_FROM_OPERATORS):
            found += _found_in(path, relative)
    return found


def _found_in(path: Path, relative: str) -> Iterator[Found]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_of_re(node)]
    if not calls:
        return
    module = importlib.import_module(relative.removesuffix(".py").replace("/", "."))
    uses: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _USES:
            uses.setdefault(node.value.id, set()).add(node.attr)
    names = {id(value): name for name, value in vars(module).items() if isinstance(value, re.Pattern)}
    for pattern in {id(one): one for one in _patterns_of(vars(module))}.values():
        name = names.get(id(pattern), "")
        yield Found(
            where=f"{relative} {name}".strip(),
            pattern=_text(pattern.pattern),
            is_bytes=isinstance(pattern.pattern, bytes),
            flags=pattern.flags,
            anchored=bool(uses.get(name)) and uses[name] <= _ANCHORED,
        )
    for call in calls:
        method = ast.unparse(call.func).removeprefix("re.")
        if method in _USES:
            pattern_text = getattr(call.args[0], "value", None)
            if not isinstance(pattern_text, str | bytes):
                raise AssertionError(f"Compile the expression of line {call.lineno} of {relative} once, by a name.")
            yield Found(
                where=f"{relative}:{call.lineno}",
                pattern=_text(pattern_text),
                is_bytes=isinstance(pattern_text, bytes),
                flags=0,
                anchored=method in _ANCHORED,
            )


def _is_of_re(call: ast.Call) -> bool:
    return ast.unparse(call.func) in {f"re.{method}" for method in (*_USES, "compile")}


def _patterns_of(holder: Any, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    """Yield the compiled expressions of a module's globals, inside tuples, lists and mappings too."""
    if isinstance(holder, re.Pattern):
        yield holder
    elif depth < 4 and isinstance(holder, dict):
        for name, inner in holder.items():
            if not str(name).startswith("__"):
                yield from _patterns_of(inner, depth + 1)
    elif depth < 4 and isinstance(holder, tuple | list):
        if (
            holder
            and all(isinstance(one, str) for one in holder)
            and any("(?" in one or "\\b" in one for one in holder)
        ):
            # Compiled when they are first needed (`rules.entities`).
            yield from compiled(tuple(holder))
        for inner in holder:
            yield from _patterns_of(inner, depth + 1)


def _work(found: Found, miss: tuple[str, str, str], size: int) -> Work:
    before, repeated, behind = miss
    text: Any = before + repeated * (size // len(repeated)) + behind
    pattern: Any = found.pattern
    if found.is_bytes:
        text, pattern = text.encode("utf-8"), pattern.encode("latin-1")
    compiled_pattern: re.Pattern[Any] = re.compile(pattern, found.flags & ~re.UNICODE.value)
    return partial(compiled_pattern.fullmatch if found.anchored else compiled_pattern.search, text)


def _text(pattern: str | bytes) -> str:
    return pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern


# --- near misses


def near_misses(pattern: str, flags: int) -> list[tuple[str, str, str]]:
    """Return what leads to each repetition, what is repeated, and what does not follow."""
    tree = _parser.parse(pattern, flags & ~re.UNICODE.value)
    misses = dict.fromkeys(
        (before, repeated, behind) for before, repeated in _repetitions(tree, "") if repeated for behind in _BEHIND
    )
    return list(misses) or [("", "a", "\0")]


def _repetitions(items: Sequence[Any], before: str) -> Iterator[tuple[str, str]]:
    for operation, argument in items:
        name = str(operation)
        if name in _REPEATS:
            inner = argument[2]
            yield before, _sample(inner)
            for other in _others(inner):
                yield before, other
            yield from _repetitions(inner, before)
        else:
            for branch in _branches(name, argument):
                yield from _repetitions(branch, before)
        before += _sample([(operation, argument)])


def _branches(name: str, argument: Any) -> list[Any]:
    match name:
        case "SUBPATTERN":
            return [argument[3]]
        case "BRANCH":
            return list(argument[1])
        case "ASSERT" | "ASSERT_NOT":
            return [argument[1]]
        case "ATOMIC_GROUP":
            return [argument]
    return []


def _sample(items: Sequence[Any]) -> str:
    """Return a short text that items match, assertions aside."""
    return "".join(_sampled(str(operation), argument) for operation, argument in items)


def _sampled(name: str, argument: Any) -> str:
    match name:
        case "LITERAL":
            return chr(argument)
        case "NOT_LITERAL":
            return "a" if argument != ord("a") else "b"
        case "ANY":
            return "a"
        case "IN":
            return next(iter(_members(argument)))
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return _sample(argument[2]) * max(1, int(argument[0]))
        case "SUBPATTERN":
            return _sample(argument[3])
        case "BRANCH":
            return _sample(argument[1][0])
        case "ATOMIC_GROUP":
            return _sample(argument)
    return ""


def _others(items: Sequence[Any]) -> Iterator[str]:
    """Yield other texts that one repetition of items may match: members of its class, its other branches."""
    for operation, argument in items:
        match str(operation):
            case "IN":
                yield from _members(argument)[1:4]
            case "ANY" | "NOT_LITERAL":
                yield " "
            case "BRANCH":
                yield from (_sample(branch) for branch in argument[1][1:])
            case "SUBPATTERN":
                yield from _others(argument[3])


_CANDIDATES = "a1 \n\t,.-_/\"'`<{([:;#@éж写أ\0"


def _members(argument: Any) -> list[str]:
    """Return some characters of a class, at least one."""
    wanted = [character for character in _CANDIDATES if _is_in(argument, character)]
    if wanted:
        return wanted
    for operation, value in argument:
        if str(operation) == "LITERAL":
            return [chr(value)]
        if str(operation) == "RANGE":
            return [chr(value[0])]
    return ["a"]


_CATEGORIES = {
    "CATEGORY_DIGIT": str.isdigit,
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_WORD": lambda character: character.isalnum() or character == "_",
}


def _is_in(argument: Any, character: str) -> bool:
    negated, inside = False, False
    for operation, value in argument:
        match str(operation):
            case "NEGATE":
                negated = True
            case "LITERAL":
                inside = inside or value == ord(character)
            case "RANGE":
                inside = inside or value[0] <= ord(character) <= value[1]
            case "CATEGORY":
                name = str(value)
                plain = _CATEGORIES[name.replace("_NOT_", "_")](character)
                inside = inside or plain != ("_NOT_" in name)
    return inside != negated

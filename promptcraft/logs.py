"""One line for each log record, and the one line that each request leaves behind.

What a client wrote cannot end a line, and what it said does not get into one: exceptions are logged by their types and
places, never by their messages, which quote whatever they stumbled over.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import orjson

from promptcraft.instants import utc_milliseconds
from promptcraft.redaction import scrubbed, scrubbed_encoded

__all__ = ["REQUEST_ID", "REQUEST_LOGGER", "ConsoleFormatter", "JsonFormatter", "described", "one_line"]

REQUEST_LOGGER = logging.getLogger("promptcraft.request")
REQUEST_ID: ContextVar[str | None] = ContextVar("promptcraft.request_id", default=None)
"""The request that is being served in this context, for the lines that are written on the way."""

# Looked up for every record, and in none of our lines.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False

_OURS = "promptcraft"
_MOST_MESSAGE_CHARACTERS = 2_000
_MOST_FOREIGN_CHARACTERS = 200
_MOST_FRAMES = 40
_MOST_CAUSES = 5
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_CODES = ("errno", "sqlstate", "sqlite_errorname")
"""Attributes of exceptions that say more than the type and nothing of the data."""


class JsonFormatter(logging.Formatter):
    """Write a record as one line of JSON; `extra={"fields": {...}}` become its members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. Values that JSON does not know are written as their str()."""
        line: dict[str, Any] = {
            "time": utc_milliseconds(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": _message_of(record),
        }
        request_id = REQUEST_ID.get()
        if request_id is not None:
            line["request_id"] = request_id
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = described(record.exc_info[1])
        return scrubbed(_dumped(line))


class ConsoleFormatter(logging.Formatter):
    """Write a record for people: one line, then the places of its exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines."""
        text = one_line(f"{record.levelname} {record.name} {_message_of(record)}")
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}\n{described(record.exc_info[1])}"
        return scrubbed(text)


def _dumped(line: dict[str, Any]) -> str:
    with suppress(TypeError):
        data = orjson.dumps(line, default=str)
        if data.isascii():
            return data.decode()
    # Other characters are escaped, each and every one: some end a line, some turn one around.
    return json.dumps(line, default=str)


def one_line(text: str) -> str:
    """Write every control character, and every one that ends or turns a line, as an escape."""
    return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


def described(error: BaseException) -> str:
    """Say where an exception came from, its causes after it: files, lines, functions and types, no messages."""
    lines: list[str] = []
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None:
            break
        lines += ["Caused by:"] if lines else []
        lines.append("Traceback (most recent call last):")
        frames = traceback.StackSummary.extract(traceback.walk_tb(cause.__traceback__), lookup_lines=False)
        lines += [
            f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}' for frame in frames[-_MOST_FRAMES:]
        ]
        lines.append(_named(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n".join(lines)


def _named(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, BaseExceptionGroup):
        inner = ", ".join(sorted({type(one).__name__ for one in error.exceptions}))
        return f"{name} of {inner}"
    codes = [f"{code}={value}" for code in _CODES if isinstance(value := getattr(error, code, None), str | int)]
    return f"{name} ({', '.join(codes)})" if codes else name


def _message_of(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.name.partition(".")[0] == _OURS:
        return message[:_MOST_MESSAGE_CHARACTERS]
    # Others go on with the repr of what they held, asyncio with that of a task's exception. Scrubbed before it is cut:
    # a part of an encoded secret may not be known for one.
    return scrubbed_encoded(message.partition("\n")[0][:_MOST_MESSAGE_CHARACTERS])[:_MOST_FOREIGN_CHARACTERS]

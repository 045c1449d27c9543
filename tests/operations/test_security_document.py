"""What `SECURITY.md` says, held against the code."""

from __future__ import annotations

import ast
import math
import re
from datetime import timedelta

from django.conf import settings
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from apps.accounts.attempts import FAILURES_OF_ADDRESS, FAILURES_OF_NAME
from apps.accounts.families import REPLAY_WINDOW_S
from apps.accounts.hashing import HASHING, MOST_HASHING
from apps.accounts.memory import REMEMBERED_S
from apps.accounts.tokens import MOST_TOKEN_BYTES
from apps.chat import body
from apps.chat.engine.kept import MAX_READ_BYTES
from apps.chat.engine.log_memory import MAX_LOG_BYTES
from apps.core.store_bounds import CALL_S
from apps.core.work_queue import WAIT_S
from apps.limits.streams import MAX_READERS_PER_USER
from apps.llm.providers.push_answer import MOST_HEAD_BYTES as PROVIDER_HEAD_BYTES
from apps.llm.wire.request import MAX_DEPTH
from apps.llm.wire.sse import MAX_EVENT_BYTES
from apps.llm.wire.values import MAX_VALUES
from apps.templates.library.exporting import UNREAD
from apps.templates.sockets.registry import MOST_SOCKETS_OF_USER, MOST_UNKNOWN_OF_CALLER
from promptcraft.scope import MOST_HEAD_BYTES, MOST_HEADERS
from promptcraft.server import connection
from promptcraft.server.connection import GuardedProtocol
from promptcraft.server.frames import MOST_FRAMES_PER_S
from promptcraft.server.writing import UNTAKEN
from promptcraft.settings import ENVIRONMENT
from tests.server import ROOT

DOCUMENT = ROOT / "SECURITY.md"
KIB, MIB = 1024, 1024 * 1024
MOST_LINES = 140
"""More than that nobody reads."""


def bounds() -> dict[str, str]:
    section = DOCUMENT.read_text().split("\n## Bounds\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.split("\n") if line.startswith("| ")]
    return {what.strip(): bound.strip() for what, bound in rows[1:]}


def promises() -> dict[str, list[str]]:
    """Return the promises with the tests that they name."""
    section = DOCUMENT.read_text().split("\n## Promises\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split(" | ") for line in section.split("\n") if line.startswith("| ")]
    return {promise.strip(): re.findall(r"`([^`]+)`", tests) for promise, tests in rows if promise.strip() != "promise"}


def is_there(test: str) -> bool:
    """Tell whether there is a test of that name, `path::function` or `path::class::function`."""
    path, *names = test.split("::")
    file = ROOT / path
    if not (file.is_file() and names):
        return False
    found: ast.AST = ast.parse(file.read_text())
    for name in names:
        inside = [one for one in ast.iter_child_nodes(found) if getattr(one, "name", None) == name]
        if not inside:
            return False
        found = inside[0]
    return names[-1].startswith("test_")


def test_the_bounds_are_those_of_the_code() -> None:
    small_head = f"{connection.SMALL_HEAD_BYTES // KIB} KiB"
    assert bounds() == {
        "path, query and headers of a request": (
            f"{MOST_HEAD_BYTES // KIB} KiB, {MOST_HEADERS} headers, {GuardedProtocol.head_s:g} s"
        ),
        "requests that wait behind another on a connection": f"{HIGH_WATER_LIMIT // KIB} KiB, then nothing is read",
        f"heads until they are answered or their sockets close (over {small_head}), and requests that wait, together": (
            f"{connection.HEADS.most_bytes // MIB} MiB"
        ),
        "answers that their readers do not take, together; those that are kept no more and still read; exports that "
        "are not read": f"{UNTAKEN.most_bytes // MIB} MiB; {MAX_READ_BYTES // MIB} MiB; {UNREAD.most_bytes // MIB} MiB",
        "WebSockets of a user; of a network, before they say whose they are": (
            f"{MOST_SOCKETS_OF_USER}; {MOST_UNKNOWN_OF_CALLER}"
        ),
        "messages, pings and pongs of a WebSocket, in a second": f"{MOST_FRAMES_PER_S}",
        "readers of a user: `events/`, repeats of an `Idempotency-Key`": f"{MAX_READERS_PER_USER}",
        "body": (
            f"{body.MAX_BODY_BYTES // MIB} MiB, {body.MAX_BODY_WITH_IMAGES_BYTES // MIB} MiB with image parts of a "
            f"user who is logged in; {body.BODY_S:g} s, "
            f"and 1 s more for every {body.BODY_BYTES_PER_S // KIB} KiB that came"
        ),
        "bodies that arrive, wait, are not read yet, or have images and no answer yet (twice: as read, and as sent), "
        "together": (f"{body.MOST_HELD_BYTES // MIB} MiB"),
        "JSON": f"{MAX_DEPTH} levels, {MAX_VALUES} values",
        "a token": f"{MOST_TOKEN_BYTES // KIB} KiB",
        "work that waits for a thread": (
            f"{WAIT_S:g} s; "
            f"log-ins {HASHING.most_waiting}, of one name from one network {HASHING.most_waiting_of_share}"
        ),
        "a wait for the database": f"{math.ceil(CALL_S)} s",
        "a reader that takes nothing": f"{GuardedProtocol.stuck_s:g} s",
        "a provider's head, and one event of its stream": (
            f"{PROVIDER_HEAD_BYTES // KIB} KiB, {MAX_EVENT_BYTES // MIB} MiB"
        ),
        "an answer": f"{MAX_LOG_BYTES // MIB} MiB",
    }


def test_the_figures_of_the_promises_are_those_of_the_code() -> None:
    text = re.sub(r"\s+", " ", DOCUMENT.read_text())
    assert (FAILURES_OF_NAME.limit, FAILURES_OF_NAME.window_s) == (5, 60)
    assert "at most 5 a minute for one name" in text
    assert (FAILURES_OF_ADDRESS.limit, FAILURES_OF_ADDRESS.window_s) == (20, 60)
    assert "and 20 for one address" in text
    assert MOST_HASHING == 3
    assert "Three passwords are hashed at a time" in text
    assert f"used twice more than {REPLAY_WINDOW_S} s apart" in text
    assert settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"] == timedelta(minutes=15)
    assert "lives 15 minutes" in text
    assert REMEMBERED_S < 5
    assert "within 5 s" in text
    assert math.ceil(CALL_S) == 2
    assert "answers 503 within 2 s" in text


def test_every_promise_names_a_test_that_there_is() -> None:
    promised = promises()
    assert len(promised) > 25
    absent = [test for tests in promised.values() for test in tests if not is_there(test)]
    assert not absent
    assert all(promised.values())


def test_it_names_variables_that_there_are() -> None:
    text = DOCUMENT.read_text()
    assert text.count("\n") < MOST_LINES
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", text)) - {"DONE"}
    assert named
    assert named <= set(ENVIRONMENT)

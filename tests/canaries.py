"""Secrets and words of the tests, looked for where they must not be: every server of the suite is searched at its end.

A server reports to `reports()`, a Sentry of this process's own. What `search` finds is kept until `taken` is asked,
which `tests/conftest.py` does after every test.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import sys
import threading
import zlib
from collections.abc import Iterable, Mapping
from contextlib import closing
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["Canaries", "Reports", "reports", "search", "taken"]

_LEAST_CHARACTERS = 8
_LEAST_SAID_CHARACTERS = 16
"""A shorter text would be found in innocent ones."""
_MOST_SAID = 2_000
_MOST_REPORTS = 1_000
# Answers are kept to be read again.
_ANSWERS = {("chat_completion", name) for name in ("content", "reasoning_content", "refusal", "tool_calls")}
_EMAILS = {("auth_user", "email")}
_found: list[str] = []


class Canaries:
    """What one server was told: `secrets` may be nowhere, `said` only where answers are kept, `emails` with users."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = {secret for secret in secrets if len(secret) >= _LEAST_CHARACTERS}
        self.said: set[str] = set()
        self.emails: set[str] = set()

    def hear(self, body: Any) -> None:
        """Take note of the messages of a request and of the choices of an answer; at 2,000 texts no more are noted."""
        if not isinstance(body, Mapping):
            return
        messages = list(_list(body.get("messages")))
        messages += [choice.get("message") for choice in _list(body.get("choices")) if isinstance(choice, Mapping)]
        for message in messages:
            content = message.get("content") if isinstance(message, Mapping) else None
            parts = [part.get("text") for part in _list(content) if isinstance(part, Mapping)]
            for text in (content, *parts):
                if isinstance(text, str) and len(text) >= _LEAST_SAID_CHARACTERS and len(self.said) < _MOST_SAID:
                    self.said.add(text)

    def everything(self) -> set[str]:
        """Return all of them: the words as they are and as JSON writes them."""
        texts = self.secrets | self.said | self.emails
        return texts | {json.dumps(text)[1:-1] for text in texts}


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a server that was killed while it was answered; a report that cannot be read is told."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Reports:
    """A Sentry that keeps what it is sent, on a port of 127.0.0.1; at 1,000 envelopes the first ones go."""

    def __init__(self) -> None:
        kept: list[bytes] = []
        self.envelopes = kept

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                match self.headers.get("Content-Encoding"):
                    case "gzip":
                        body = gzip.decompress(body)
                    case "deflate":
                        body = zlib.decompress(body)
                kept.append(body)
                del kept[:-_MOST_REPORTS]
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.dsn = f"http://canary@127.0.0.1:{self._server.server_port}/1"


@cache
def reports() -> Reports:
    """Return the one of this process, started when it is first asked for."""
    return Reports()


def search(canaries: Canaries, *, name: str, output: str, database: Path) -> None:
    """Look for canaries in what a server printed, in every report so far and in its database, if that is SQLite."""
    texts = canaries.everything()
    _found.extend(f"{name}: {text!r} in the log" for text in texts if text in output)
    for envelope in tuple(reports().envelopes):
        report = envelope.decode(errors="replace")
        _found.extend(f"{name}: {text!r} in a report to Sentry" for text in texts if text in report)
    if database.is_file():
        _found.extend(f"{name}: {what}" for what in _in_database(canaries, database))


def taken() -> list[str]:
    """Return what was found since it was last asked."""
    found, _found[:] = sorted(set(_found)), []
    return found


def _in_database(canaries: Canaries, file: Path) -> list[str]:
    found = []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=1)) as database:
        try:
            tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                rows = database.execute(f'SELECT * FROM "{table}"')
                columns = [column[0] for column in rows.description]
                for row in rows:
                    for column, value in zip(columns, row, strict=True):
                        place = (table, column)
                        texts = canaries.secrets | (set() if place in _EMAILS else canaries.emails)
                        texts |= set() if place in _ANSWERS else canaries.said
                        held = value if isinstance(value, str) else str(value)
                        found += [f"{text!r} in {table}.{column}" for text in texts if text in held]
        except sqlite3.DatabaseError:
            # A test has broken or locked it, which is what that test is about.
            pass
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

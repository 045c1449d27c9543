"""The search that every server of the suite is put to finds what it looks for; one that breaks lets out nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.canaries import Canaries, Reports, reports, search, taken
from tests.contract.limit_fixtures import CALM, COMPLETIONS, PROMPT, Door, error_of, eventually, started
from tests.server import EMAIL, PASSWORD, USERNAME, ServerProcess
from tests.sse_client import open_stream
from tests.upstream import UpstreamServer, healthy

KEY = "sk-canary-key-7781"
SAID = "a prompt of which nothing may be seen"
TABLES = """
CREATE TABLE chat_completion (id TEXT, content TEXT, request_id TEXT);
CREATE TABLE auth_user (username TEXT, email TEXT, password TEXT);
"""


@pytest.fixture
def canaries() -> Canaries:
    canaries = Canaries([KEY, "short"])
    canaries.hear({"messages": [{"role": "user", "content": SAID}]})
    canaries.emails.add(EMAIL)
    return canaries


@pytest.fixture
def database(tmp_path: Path) -> Path:
    file = tmp_path / "db.sqlite3"
    with closing(sqlite3.connect(file)) as made:
        made.executescript(TABLES)
    return file


def write(file: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(statement, values)


class TestTheSearch:
    @pytest.fixture
    def found(self, canaries: Canaries, database: Path) -> Iterator[Callable[[str], list[str]]]:
        def look(output: str = "") -> list[str]:
            search(canaries, name="it", output=output, database=database)
            return taken()

        yield look
        assert taken() == []

    def test_of_nothing_finds_nothing(self, found: Callable[..., list[str]], database: Path) -> None:
        write(database, "INSERT INTO chat_completion VALUES ('1', ?, 'r')", f"{SAID} {EMAIL}")
        write(database, "INSERT INTO auth_user VALUES ('ada', ?, 'pbkdf2$x')", EMAIL)
        # A user may tell their own address to a model; an answer with it is an answer.
        assert found(f"a short line\n{SAID[:12]}") == [f"it: {EMAIL!r} in chat_completion.content"]
        write(database, "UPDATE chat_completion SET content = ?", SAID)
        assert found() == []

    @pytest.mark.parametrize("text", [KEY, SAID, EMAIL, json.dumps({"a": SAID})])
    def test_of_a_log(self, found: Callable[..., list[str]], text: str) -> None:
        assert found(f"first\nline {text} more") != []
        assert found() == []

    @pytest.mark.parametrize("text", [KEY, SAID, EMAIL])
    def test_of_a_database(self, found: Callable[..., list[str]], database: Path, text: str) -> None:
        write(database, "INSERT INTO chat_completion VALUES ('1', 'x', ?)", f"{text}-1")
        assert found() == [f"it: {text!r} in chat_completion.request_id"]

    def test_of_a_database_where_answers_are(self, found: Callable[..., list[str]], database: Path) -> None:
        write(database, "INSERT INTO chat_completion VALUES ('1', ?, 'r')", f"{SAID} {KEY}")
        assert found() == [f"it: {KEY!r} in chat_completion.content"]

    def test_of_reports(self, found: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
        other = Reports()
        monkeypatch.setattr("tests.canaries.reports", lambda: other)
        other.envelopes.append(f'{{}}\n{{"x":"{SAID}"}}'.encode())
        assert found() == [f"it: {SAID!r} in a report to Sentry"]

    def test_of_texts_in_parts_and_of_answers(self) -> None:
        canaries = Canaries([])
        canaries.hear({"messages": [{"content": [{"type": "text", "text": SAID}, {"type": "image_url"}]}, "x", None]})
        canaries.hear({"choices": [{"message": {"content": "an answer that is long"}}]})
        canaries.hear({"messages": "no list", "choices": 7})
        canaries.hear(["no object"])
        assert canaries.said == {SAID, "an answer that is long"}


def test_a_server_is_searched_when_it_ends() -> None:
    with ServerProcess(CALM | {"DEEPSEEK_API_KEY": KEY}) as server:
        token = server.token()
        write(server.database, "UPDATE auth_user SET last_name = ?", f"{token[-20:]} {token}")
        with server.log_path.open("a") as log:
            log.write(f"\n{KEY} {PASSWORD}\n")
    found = "\n".join(taken())
    assert f"{KEY!r} in the log" in found
    assert f"{PASSWORD!r} in the log" in found
    assert f"{token!r} in auth_user.last_name" in found


def test_an_error_that_told_a_secret_would_be_seen() -> None:
    server = ServerProcess(CALM)
    server.canaries.secrets.add(KEY)
    with pytest.raises(AssertionError, match=KEY):
        server._check_silent(json.dumps({"error": {"message": f"no {KEY}"}}).encode())
    server.remove()


BREAKING = "DROP TABLE accounts_refreshtoken; DROP TABLE accounts_refreshfamily; DROP TABLE chat_completion;"


@pytest.fixture(scope="module")
def broken() -> Iterator[Door]:
    """A server whose tables are gone, with a key of its own."""
    with UpstreamServer() as upstream:
        keys = {f"{vendor}_API_KEY": KEY for vendor in ("DEEPSEEK", "ZAI", "OPENAI")}
        server = ServerProcess(CALM | keys | {"LOG_LEVEL": "DEBUG"}, upstream=upstream)
        with started(server):
            door = Door(server, upstream)
            # Verified and remembered for some seconds, so that completions still begin.
            assert door.whole()[0] == 200
            with closing(sqlite3.connect(server.database, timeout=5)) as database:
                database.executescript(BREAKING)
            yield door


def test_what_breaks_is_reported_and_nothing_is_said(broken: Door) -> None:
    before = len(reports().envelopes)
    credentials = {"username": USERNAME, "password": PASSWORD}
    headers = {"X-Request-Id": "broken-1"}
    status, _, body = broken.call("/api/v2/auth/token/", None, json=credentials, headers=headers)
    assert (status, error_of(body)["code"]) == (503, "overloaded")
    eventually(lambda: len(reports().envelopes) > before, "a report")
    event = json.loads(reports().envelopes[-1].split(b"\n")[2])
    assert event["exception"]["values"][-1]["type"] == "OperationalError"
    assert event["tags"] == {"request_id": "broken-1"}
    assert "broken-1" in broken.server.output()
    assert "OperationalError" in broken.server.output()
    for text in (PASSWORD, KEY, EMAIL, USERNAME):
        assert text not in reports().envelopes[-1].decode()
        assert text not in json.dumps(body)


def test_an_answer_that_cannot_be_recorded_is_said_nowhere_else(broken: Door) -> None:
    """The whole of it, prompt and answer, is in the statement that fails."""
    answer = "canary answer that no table takes"
    broken.upstream.script("deepseek", healthy(answer))
    asked = {"messages": [*PROMPT, {"role": "user", "content": SAID}], "stream": True}
    with open_stream(
        broken.server.url(COMPLETIONS), json=asked, headers=broken.server.bearer(), timeout_s=20
    ) as stream:
        received = stream.read().decode()
    # Its token may be forgotten by now, on a slow machine.
    if stream.status == 200:
        assert answer.split()[1] in received
        assert "overloaded" in received
        assert "[DONE]" not in received
        eventually(lambda: "completions wait for the database" in broken.server.output(), "a line about it")
    for text in (answer, SAID, KEY):
        assert text not in broken.server.output()
        assert not any(text.encode() in envelope for envelope in reports().envelopes)

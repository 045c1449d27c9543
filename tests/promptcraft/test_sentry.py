"""Reports to Sentry, read as they leave: where it broke is in them, what was said is not."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.transport import Transport

from promptcraft import redaction
from promptcraft.logs import REQUEST_ID
from promptcraft.sentry import start_sentry

PROMPT = "canary prompt, as a user wrote it"
EMAIL = "canary-9917@canary.example"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.canary_signature-0001"
KEY = "sk-canary-key-of-sentry"
PASSWORD = "canary-password-5510"
CANARIES = (PROMPT, EMAIL, TOKEN, KEY, PASSWORD)


class Kept(Transport):
    """Keeps every envelope as its bytes."""

    def __init__(self) -> None:
        super().__init__({"dsn": "http://key@127.0.0.1:9/1"})
        self.sent: list[bytes] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.sent.append(envelope.serialize())


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    monkeypatch.setattr(redaction, "_hidden", (PASSWORD,))
    transport = Kept()
    start_sentry(dsn="http://key@127.0.0.1:9/1", release="1", environment="test", transport=transport)
    # Another test's request may have been served in this very context.
    before = REQUEST_ID.set(None)
    yield transport
    REQUEST_ID.reset(before)
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(None)


def broken(prompt: str) -> None:
    """Fail with everything in reach: locals, arguments, the message, the cause."""
    password, email = PASSWORD, EMAIL
    try:
        raise KeyError(f"{prompt} {email}")
    except KeyError as error:
        raise ValueError(f"no {prompt} for {email} with {TOKEN} {KEY} {password}") from error


def the_event(kept: Kept) -> dict[str, Any]:
    sentry_sdk.flush(timeout=2)
    (envelope,) = kept.sent
    event: dict[str, Any] = json.loads(envelope.split(b"\n")[2])
    return event


def assert_silent(kept: Kept) -> None:
    text = b"".join(kept.sent).decode()
    for canary in CANARIES:
        assert canary not in text
        assert json.dumps(canary)[1:-1] not in text
    # Nor in pieces: no word of theirs has anything to do with where it broke.
    assert "canary" not in text


@pytest.mark.parametrize("logger", ["promptcraft.errors", "asyncio", "django.db", "apps.anything"])
def test_an_error_that_was_logged(kept: Kept, logger: str) -> None:
    reset = REQUEST_ID.set("req_known")
    try:
        broken(PROMPT)
    except ValueError as error:
        logging.getLogger(logger).error("failed: %s", f"{PROMPT} {EMAIL}", exc_info=error, extra={"prompt": PROMPT})
    finally:
        REQUEST_ID.reset(reset)
    event = the_event(kept)
    assert_silent(kept)
    kinds = [value["type"] for value in event["exception"]["values"]]
    assert kinds == ["KeyError", "ValueError"]
    frames = event["exception"]["values"][1]["stacktrace"]["frames"]
    assert frames[-1]["function"] == "broken"
    assert frames[-1]["lineno"] > 0
    assert set(frames[-1]) <= {"filename", "function", "module", "lineno", "in_app"}
    assert event["tags"] == {"request_id": "req_known"}
    # Of our own lines the template, which is written here and not by a client; of others nothing.
    assert event.get("logentry", {}) == ({"message": "failed: %s"} if logger.startswith("promptcraft.") else {})


def test_whatever_else_an_integration_puts_in_is_left_out(kept: Kept) -> None:
    scope = sentry_sdk.get_isolation_scope()
    scope.set_user({"email": EMAIL, "username": PROMPT})
    scope.set_tag("prompt", PROMPT)
    scope.set_extra("body", PROMPT)
    scope.set_context("answer", {"text": PROMPT})
    scope.add_breadcrumb(message=PROMPT, data={"sql": EMAIL})
    scope.add_attachment(bytes=PROMPT.encode(), filename="prompt.txt")
    scope.set_transaction_name(PROMPT)
    try:
        sentry_sdk.capture_event(
            {
                "level": "error",
                "request": {"data": PROMPT, "headers": {"Authorization": f"Bearer {TOKEN}"}},
                "server_name": PROMPT,
                "modules": {PROMPT: "1"},
                "contexts": {"runtime": {"name": "CPython"}, "trace": {"data": PROMPT}},
                "message": PROMPT,
            }
        )
        event = the_event(kept)
    finally:
        scope.clear()
    assert set(event) <= {"event_id", "timestamp", "level", "platform", "release", "environment", "sdk", "contexts"}
    assert_silent(kept)


def test_only_errors_are_reported(kept: Kept) -> None:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING):
        logging.getLogger("promptcraft.anything").log(level, PROMPT)
    with sentry_sdk.start_transaction(name=PROMPT), sentry_sdk.start_span(op=PROMPT):
        pass
    sentry_sdk.flush(timeout=2)
    assert kept.sent == []


def test_a_report_that_cannot_be_built_is_not_sent(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> str:
        raise RuntimeError(text)

    monkeypatch.setattr("promptcraft.sentry.scrubbed_encoded", fail)
    logging.getLogger("promptcraft.errors").error("failed: %s", PROMPT)
    sentry_sdk.flush(timeout=2)
    assert kept.sent == []

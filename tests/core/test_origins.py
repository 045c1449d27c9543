"""Whose pages may read, and what is said of those that may not."""

from __future__ import annotations

import logging

import pytest

from apps.core.origins import RefusedOrigins, is_allowed_origin, is_origin_of
from promptcraft import settings as ours

LOCAL = ("http://localhost:5173", "https://localhost", "http://127.0.0.1:3000", "http://[::1]:8080", "http://localhost")
FOREIGN = (
    *("http://localhost.evil.example", "http://evil.example:5173", "http://127.0.0.1.evil.example", "null", ""),
    *("http://localhost:5173/path", "http://localhost:x", "http://127.0.0.10", "http://localhost\n", "ftp://localhost"),
)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "promptcraft.origins"]


@pytest.mark.parametrize("debug", [True, False])
def test_pages_of_this_machine_may_read_in_development_alone(debug: bool, settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]
    settings.CORS_ALLOWED_ORIGIN_REGEXES = ours.local_origins(debug)
    assert [is_allowed_origin(origin) for origin in LOCAL] == [debug] * len(LOCAL)
    assert not any(map(is_allowed_origin, FOREIGN))
    assert is_allowed_origin("https://app.example.org")


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("https://a.example", "a.example", True),
        ("http://A.example:80", "a.example:80", True),
        ("https://a.example:8443", "a.example", False),
        ("null", "null", False),
        ("http://[::1", "[::1", False),
        ("", "", False),
    ],
)
def test_a_page_of_our_own(origin: str, host: str, same: bool) -> None:
    assert is_origin_of(origin, host) is same


def test_an_origin_is_told_once_with_the_variable(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    refused = RefusedOrigins()
    for origin in ("https://a.example", "https://b.example:8443", "https://a.example"):
        refused.tell(origin)
    assert len(told(caplog)) == 2
    assert all("CORS_ALLOWED_ORIGINS" in line for line in told(caplog))
    assert "https://a.example" in told(caplog)[0]


@pytest.mark.parametrize(
    "text", ["", "null", "sk-secret-a1b2c3", "https://a.example/sk-secret", "https://" + "a" * 300]
)
def test_what_is_no_origin_is_not_told(caplog: pytest.LogCaptureFixture, text: str) -> None:
    RefusedOrigins().tell(text)
    assert told(caplog) == []


def test_so_many_are_told_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    refused = RefusedOrigins()
    for number in range(100):
        refused.tell(f"https://{number}.example")
    assert len(told(caplog)) == 32

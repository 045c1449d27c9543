"""REDIS_URL: the forms it takes, the one line about another, and its password, which is in no text."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.contract.settings_reader import ReadSettings
from tests.contract.test_configuration import SECRET
from tests.server import ROOT

GOOD = (
    "redis://cache.example",
    "redis://cache.example:6379/1",
    "redis://:secret%2Fword@cache.example:6379/0",
    "redis://user:secretword@[::1]:6379",
    "redis://cache.example?db=3",
    "rediss://user:secretword@cache.example:6380/2?ssl_ca_certs=/etc/ssl/cache.pem",
    "unix:///run/redis/redis.sock",
    "unix:///run/redis/redis.sock?db=1&password=secretword",
    "unix://user:secretword@/run/redis/redis.sock",
)
BAD = (
    "redis://",
    "redis:///1",
    "redis://cache.example:0",
    "redis://cache.example:port",
    "redis://cache.example/one",
    "redis://cache.example/0/1",
    "redis://cache.example?db=-1",
    "redis://cache.example?max_connections=3",
    "redis://cache.example?ssl_ca_certs=/etc/ssl/cache.pem",
    "redis://:pass#word@cache.example",
    "unix://",
    "unix://relative.sock",
    "unix:///",
    "http://cache.example",
    "cache.example:6379",
)
PASSWORDS = {
    "redis://:canary%2Fof%2Bthe%20url@cache.example:6379/0": ("canary%2Fof%2Bthe%20url", "canary/of+the url"),
    "unix:///run/redis.sock?password=canary%2Fof+the%2Burl": ("canary%2Fof+the%2Burl", "canary/of the+url"),
}
_SCRUB = """
import json, os, sys
import promptcraft.settings
from promptcraft.redaction import scrubbed
print(json.dumps([scrubbed(f"with {text}, it said") for text in json.load(sys.stdin)]))
"""


def environment(url: str) -> dict[str, str]:
    return {"DEBUG": "0", "SECRET_KEY": SECRET, "REDIS_URL": url}


def test_every_form_is_taken(read_settings: ReadSettings) -> None:
    for url, outcome in zip(GOOD, read_settings([environment(url) for url in GOOD]), strict=True):
        assert outcome.get("settings", {}).get("REDIS_URL") == url, outcome


def test_any_other_stops_the_start_with_a_line_that_names_it_and_hides_it(read_settings: ReadSettings) -> None:
    for url, outcome in zip(BAD, read_settings([environment(url) for url in BAD]), strict=True):
        line = outcome.get("stop")
        assert isinstance(line, str), url
        assert "REDIS_URL" in line
        assert line.count("\n") == 0
        # A bare scheme is in the example that the line gives.
        assert len(url) < 9 or url not in line


@pytest.mark.parametrize("url", PASSWORDS)
def test_the_password_is_hidden_as_it_is_written_and_as_it_is(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRUB],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment(url)},
        input=json.dumps(PASSWORDS[url]),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert json.loads(done.stdout) == ["with [redacted], it said"] * 2

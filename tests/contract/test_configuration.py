"""The environment: every variable's default, its honoured value, and the one line about a bad one."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from promptcraft.settings import ENVIRONMENT
from tests.contract.settings_reader import Outcome, ReadSettings
from tests.each import each
from tests.server import ROOT

SECRET = "only-for-tests-" + "x" * 40

# --- defaults and honoured values

DEFAULTS: dict[str, Any] = {
    "DEBUG": False,
    "ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]"],
    "CORS_ALLOWED_ORIGINS": [],
    "PROVIDER_CHAIN": ["deepseek", "zai", "openai", "mock"],
    "PROVIDER_CHAIN_NAMED": False,
    "CHAT_RATE_LIMIT": "5/m",
    "MAX_STREAMS_PER_USER": 5,
    "MAX_STREAMS": 4096,
    "CONNECT_TIMEOUT_S": 5,
    "FIRST_TOKEN_TIMEOUT_S": 60,
    "GAP_TIMEOUT_S": 45,
    "TOTAL_TIMEOUT_S": 600,
    "HEADER_HOLD_S": 8,
    "KEEPALIVE_INTERVAL_S": 15,
    "DISCONNECT_GRACE_S": 30,
    "STREAM_RETENTION_S": 600,
    "BREAKER_FAILURES": 5,
    "BREAKER_COOLDOWN_S": 30,
    "DRAIN_TIMEOUT_S": 25,
    "LEGACY_WEBSOCKETS": False,
    "SSE_ROLLOUT_PHASE": "on",
    "SSE_ROLLOUT_PERCENT": 0,
    "REGISTRATION_OPEN": False,
    "SENTRY_DSN": None,
    "METRICS_TOKEN": None,
    "REDIS_URL": None,
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "json",
    "PORT": 8000,
    "WEB_CONCURRENCY": 1,
    "SECRET_KEY": SECRET,
    "JWT_SIGNING_KEY": SECRET,
}
# What is set, and the settings that must come of it.
HONOURED: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"DEBUG": "1"}, {"DEBUG": True, "LOG_FORMAT": "console"}),
    ({"DEBUG": "true", "LOG_FORMAT": "json"}, {"DEBUG": True, "LOG_FORMAT": "json"}),
    ({"JWT_SIGNING_KEY": SECRET[::-1]}, {"SECRET_KEY": SECRET, "JWT_SIGNING_KEY": SECRET[::-1]}),
    ({"SECRET_KEY": "åbcdë" * 5}, {"SECRET_KEY": "åbcdë" * 5}),
    ({"DEBUG": "1", "SECRET_KEY": "x"}, {"SECRET_KEY": "x"}),
    ({"ALLOWED_HOSTS": "a.example, b.example"}, {"ALLOWED_HOSTS": ["a.example", "b.example"]}),
    ({"PROVIDER_CHAIN": "mock , zai"}, {"PROVIDER_CHAIN": ["mock", "zai"], "PROVIDER_CHAIN_NAMED": True}),
    ({"PROVIDER_CHAIN": ""}, {"PROVIDER_CHAIN_NAMED": False}),
    ({"CHAT_RATE_LIMIT": "3/2s"}, {"CHAT_RATE_LIMIT": "3/2s"}),
    ({"CHAT_RATE_LIMIT": "100/h"}, {"CHAT_RATE_LIMIT": "100/h"}),
    ({"MAX_STREAMS_PER_USER": "1", "MAX_STREAMS": "2"}, {"MAX_STREAMS_PER_USER": 1, "MAX_STREAMS": 2}),
    ({"CONNECT_TIMEOUT": "0.25"}, {"CONNECT_TIMEOUT_S": 0.25}),
    ({"FIRST_TOKEN_TIMEOUT": "1.5"}, {"FIRST_TOKEN_TIMEOUT_S": 1.5}),
    ({"GAP_TIMEOUT": "1e1"}, {"GAP_TIMEOUT_S": 10}),
    ({"TOTAL_TIMEOUT": "7"}, {"TOTAL_TIMEOUT_S": 7}),
    ({"HEADER_HOLD": "0.1"}, {"HEADER_HOLD_S": 0.1}),
    ({"KEEPALIVE_INTERVAL": "3"}, {"KEEPALIVE_INTERVAL_S": 3}),
    ({"DISCONNECT_GRACE": "0.5"}, {"DISCONNECT_GRACE_S": 0.5}),
    ({"STREAM_RETENTION": "9"}, {"STREAM_RETENTION_S": 9}),
    ({"BREAKER_FAILURES": "2", "BREAKER_COOLDOWN": "0.5"}, {"BREAKER_FAILURES": 2, "BREAKER_COOLDOWN_S": 0.5}),
    ({"DRAIN_TIMEOUT": "0.5"}, {"DRAIN_TIMEOUT_S": 0.5}),
    ({"LEGACY_WEBSOCKETS": "1", "REGISTRATION_OPEN": "1"}, {"LEGACY_WEBSOCKETS": True, "REGISTRATION_OPEN": True}),
    (
        {"LEGACY_WEBSOCKETS": "1", "SSE_ROLLOUT_PHASE": "percentage", "SSE_ROLLOUT_PERCENT": "25"},
        {"SSE_ROLLOUT_PHASE": "percentage", "SSE_ROLLOUT_PERCENT": 25},
    ),
    ({"METRICS_TOKEN": "m"}, {"METRICS_TOKEN": "m"}),
    ({"REDIS_URL": "redis://cache.example:6379/1"}, {"REDIS_URL": "redis://cache.example:6379/1"}),
    ({"LOG_LEVEL": "debug", "LOG_FORMAT": "console"}, {"LOG_LEVEL": "DEBUG", "LOG_FORMAT": "console"}),
    ({"PORT": "1", "WEB_CONCURRENCY": "2"}, {"PORT": 1, "WEB_CONCURRENCY": 2}),
    ({"CORS_ALLOWED_ORIGINS": "https://a.example"}, {"CORS_ALLOWED_ORIGINS": ["https://a.example"]}),
    # Process managers write "unset" like this.
    (dict.fromkeys(("CHAT_RATE_LIMIT", "PORT", "DEBUG", "SENTRY_DSN", "LOG_LEVEL", "MAX_STREAMS"), ""), DEFAULTS),
]
MALFORMED: dict[str, tuple[str, ...]] = {
    "SECRET_KEY": ("", "x", SECRET[:31], "ab" * 40, "ä" * 16),
    "JWT_SIGNING_KEY": ("weak", SECRET[:31], "k" * 40),
    "DEBUG": ("maybe", "2"),
    "CORS_ALLOWED_ORIGINS": ("*", "app.example.org", "https://app.example.org/path"),
    "DATABASE_URL": ("nonsense", "mysqlx://host/name", "postgres://host:port/name", "mysql://x/y", "oracle://x/y"),
    "REDIS_URL": ("localhost:6379", "http://cache.example"),
    "PROVIDER_CHAIN": ("deepsek", "zai,zai", "mock,anthropic", ",", "DeepSeek"),
    **{f"{vendor}_API_KEY": ("sk with spaces", "sk-\n", "sk-ä") for vendor in ("DEEPSEEK", "ZAI", "OPENAI")},
    **{
        f"{vendor}_BASE_URL": (
            "api.example",
            "ftp://api.example",
            "https://",
            "https://user:pass@api.example",
            "https://a:b/",
        )
        for vendor in ("DEEPSEEK", "ZAI", "OPENAI")
    },
    "CHAT_RATE_LIMIT": ("5", "5/x", "0/m", "5/0s", "5/00s", "-1/m", "5/m/m", "5 / m", "1.5/s", "five/m", "5/", "/m"),
    "MAX_STREAMS_PER_USER": ("0", "-1", "1.5", "many", "1e3"),
    "MAX_STREAMS": ("0", "x"),
    **dict.fromkeys(
        (
            "CONNECT_TIMEOUT",
            "FIRST_TOKEN_TIMEOUT",
            "GAP_TIMEOUT",
            "TOTAL_TIMEOUT",
            "HEADER_HOLD",
            "KEEPALIVE_INTERVAL",
            "DISCONNECT_GRACE",
            "STREAM_RETENTION",
            "BREAKER_COOLDOWN",
            "DRAIN_TIMEOUT",
        ),
        ("soon", "0", "-1", "nan", "inf", "1e999", "1,5", "5s"),
    ),
    "BREAKER_FAILURES": ("0", "x", "2.5"),
    "LEGACY_WEBSOCKETS": ("perhaps",),
    # The last two are well-formed, and would send clients to WebSockets that are off.
    "SSE_ROLLOUT_PHASE": ("half", "ON", "off", "percentage"),
    "SSE_ROLLOUT_PERCENT": ("-1", "101", "12.5", "10%"),
    "REGISTRATION_OPEN": ("perhaps",),
    "SENTRY_DSN": ("nonsense", "sentry.example/1", "https://sentry.example", "https://sentry.example/1"),
    "LOG_LEVEL": ("LOUD", "20"),
    "LOG_FORMAT": ("xml", "JSON"),
    "WORKBENCH_RATE_LIMIT": ("5", "5/x", "0/m", "-1/m", "five/m"),
    "PORT": ("0", "65536", "http", "-1"),
    "WEB_CONCURRENCY": ("0", "auto"),
    "TRUSTED_PROXIES": ("proxy.example", "10.0.0.0/99", "10.0.0.1-10.0.0.9"),
    "UPSTREAM_TRANSPORT": ("pigeon", "HTTPX"),
}
# A name of any form is a name.
FREE = {"ALLOWED_HOSTS", "METRICS_TOKEN", "DEEPSEEK_MODEL", "ZAI_MODEL", "OPENAI_MODEL"}
WRONG = [(name, value) for name, values in MALFORMED.items() for value in values]


@pytest.fixture(scope="module")
def outcomes(read_settings: ReadSettings) -> dict[str, list[Outcome]]:
    """What becomes of the defaults, of each honoured value and of each malformed one."""
    base = {"DEBUG": "0", "SECRET_KEY": SECRET}
    cases = [base, *(base | given for given, _ in HONOURED), *(base | {name: value} for name, value in WRONG)]
    read = read_settings(cases)
    return {"defaults": read[:1], "honoured": read[1 : 1 + len(HONOURED)], "malformed": read[1 + len(HONOURED) :]}


def test_every_variable_is_looked_at() -> None:
    known = set(MALFORMED) | FREE
    assert set(ENVIRONMENT) == known, "Give each variable a malformed value here, or say that any text will do."


@each("name", DEFAULTS)
def test_defaults(outcomes: dict[str, list[Outcome]], name: str) -> None:
    assert outcomes["defaults"][0]["settings"][name] == DEFAULTS[name]


@each("index", range(len(HONOURED)), ids=[" ".join(given) for given, _ in HONOURED])
def test_honoured(outcomes: dict[str, list[Outcome]], index: int) -> None:
    settings = outcomes["honoured"][index]["settings"]
    expected = HONOURED[index][1]
    assert {name: settings[name] for name in expected} == expected


@each("index", range(len(WRONG)), ids=[f"{name}={value!r}" for name, value in WRONG])
def test_malformed(outcomes: dict[str, list[Outcome]], index: int) -> None:
    name, value = WRONG[index]
    outcome = outcomes["malformed"][index]
    assert isinstance(outcome.get("stop"), str), outcome
    assert outcome["code"] == 3
    line = outcome["stop"]
    assert line.count("\n") == 0
    assert name in line
    assert not set("[]'") & set(line), "that is Python, not English"
    # Whatever stands where a key belongs may be one.
    assert not name.endswith(("_KEY", "_URL", "_DSN")) or len(value) < 10 or value not in line


def test_each_vendors_variables_reach_it(read_settings: ReadSettings) -> None:
    environment = {"SECRET_KEY": SECRET, "DEBUG": "0"}
    for vendor in ("DEEPSEEK", "ZAI", "OPENAI"):
        environment |= {
            f"{vendor}_API_KEY": f"sk-{vendor}",
            f"{vendor}_BASE_URL": f"https://{vendor.lower()}.example/v9",
            f"{vendor}_MODEL": f"{vendor.lower()}-model",
        }
    (outcome,) = read_settings([environment])
    for vendor in ("DEEPSEEK", "ZAI", "OPENAI"):
        provider = outcome["settings"]["PROVIDERS"][vendor.lower()]
        assert provider["api_key"] == f"sk-{vendor}"
        assert provider["base_url"] == f"https://{vendor.lower()}.example/v9"
        assert provider["model"] == f"{vendor.lower()}-model"


# --- development


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the settings, where an .env can be written."""
    copy = tmp_path_factory.mktemp("tree")
    (copy / "promptcraft").mkdir()
    shutil.copy(ROOT / "promptcraft" / "settings.py", copy / "promptcraft")
    return copy


class TestDotEnv:
    def test_is_read_in_development_only_and_the_environment_wins(
        self, read_settings: ReadSettings, tree: Path
    ) -> None:
        (tree / ".env").write_text("PORT=8123\nDEEPSEEK_API_KEY=sk-from-file\nPROVIDER_CHAIN=mock\n")
        secret = {"SECRET_KEY": SECRET}
        development, production, both = read_settings(
            [{"DEBUG": "1"}, {"DEBUG": "0"} | secret, {"DEBUG": "1", "PORT": "8456"}], tree
        )
        assert development["settings"]["PORT"] == 8123
        assert development["settings"]["PROVIDERS"]["deepseek"]["api_key"] == "sk-from-file"
        assert (development["settings"]["PROVIDER_CHAIN"], development["settings"]["PROVIDER_CHAIN_NAMED"]) == (
            ["mock"],
            True,
        )
        assert production["settings"]["PORT"] == 8000
        assert production["settings"]["PROVIDERS"]["deepseek"]["api_key"] is None
        assert both["settings"]["PORT"] == 8456

    def test_empty_is_unset_and_the_environments_empty_wins(self, read_settings: ReadSettings, tree: Path) -> None:
        (tree / ".env").write_text("PORT=\nDEEPSEEK_API_KEY=\nZAI_API_KEY=sk-from-file\nPROVIDER_CHAIN=\n")
        (read,) = read_settings([{"DEBUG": "1", "ZAI_API_KEY": ""}], tree)
        settings = read["settings"]
        assert (settings["PORT"], settings["PROVIDER_CHAIN_NAMED"]) == (8000, False)
        assert [settings["PROVIDERS"][name]["api_key"] for name in ("deepseek", "zai")] == [None, None]

    def test_may_turn_development_on(self, read_settings: ReadSettings, tree: Path) -> None:
        (tree / ".env").write_text("DEBUG=1\n")
        (read,) = read_settings([{}], tree)
        assert read["settings"]["DEBUG"] is True
        assert read["settings"]["SECRET_KEY"]

    @pytest.mark.skipif(os.name != "posix", reason="files of Windows have no such modes")
    def test_is_its_owners_alone_once_it_is_read(self, read_settings: ReadSettings, tree: Path) -> None:
        file = tree / ".env"
        file.write_text("DEEPSEEK_API_KEY=sk-from-file\n")
        file.chmod(0o644)
        read_settings([{"DEBUG": "0", "SECRET_KEY": SECRET}], tree)
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        read_settings([{"DEBUG": "1"}], tree)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_a_bad_line_is_named_as_any_other(self, read_settings: ReadSettings, tree: Path) -> None:
        (tree / ".env").write_text("GAP_TIMEOUT=soon\n")
        (read,) = read_settings([{"DEBUG": "1"}], tree)
        assert "GAP_TIMEOUT" in read["stop"]

    def test_the_example_copied_changes_nothing(self, read_settings: ReadSettings, tree: Path) -> None:
        (tree / ".env").unlink(missing_ok=True)
        without = read_settings([{"DEBUG": "1"}], tree)
        shutil.copy(ROOT / ".env.example", tree / ".env")
        assert read_settings([{"DEBUG": "1"}], tree) == without


def test_development_starts_without_a_secret_and_production_does_not(read_settings: ReadSettings) -> None:
    development, production, unset = read_settings([{"DEBUG": "1"}, {"DEBUG": "0"}, {"DEBUG": "", "SECRET_KEY": ""}])
    assert development["settings"]["SECRET_KEY"]
    assert "SECRET_KEY" in production["stop"]
    assert "SECRET_KEY" in unset["stop"]

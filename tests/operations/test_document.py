"""What `docs/operations.md` says, held against the code and the running service."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from configparser import ConfigParser
from contextlib import closing
from pathlib import Path

from django.conf import settings

from apps.chat.body import BODY_BYTES_PER_S, BODY_S
from apps.chat.engine.kept import MAX_KEPT, MAX_KEPT_BYTES
from apps.llm.chain import MAX_ATTEMPTS
from promptcraft.server.connection import GuardedProtocol
from promptcraft.settings import ENVIRONMENT
from tests.contract.limit_fixtures import COMPLETIONS, LIVE, Door, eventually
from tests.operations.conftest import documented_flags
from tests.operations.proxies import DOCUMENT, block, blocks

ROOT = DOCUMENT.parents[1]
# Variables of systemd, of uvicorn and of signals; figures of the code.
OTHERS = {"SIGTERM", "E001", "WEBSOCKET"}
# What a watchdog or a ping may be late by.
TICK_S = 1


def section(heading: str) -> str:
    return DOCUMENT.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(heading: str) -> list[list[str]]:
    lines = [line for line in section(heading).split("\n") if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_the_timeouts_nest():
    table = rows("Timeouts that must nest")
    assert len(table) > 8
    for who, what, limit_s, at_most_s, _ in table:
        if who == "platform":
            assert int(limit_s) >= int(at_most_s), what
        elif at_most_s:
            assert int(limit_s) > int(at_most_s), what


def test_the_timeouts_are_those_of_the_code_and_of_the_proxies():
    table = {
        f"{who}: {what}": (limit_s, at_most_s) for who, what, limit_s, at_most_s, _ in rows("Timeouts that must nest")
    }
    ping_s = settings.KEEPALIVE_INTERVAL_S + TICK_S
    assert float(table["client: the next byte of a stream"][1]) == ping_s
    assert float(table["router of a platform: the next byte of a stream"][1]) == ping_s
    assert float(table["router of a platform: the first byte of a stream"][1]) == settings.HEADER_HOLD_S + TICK_S
    assert float(table["server: the whole answer: `TOTAL_TIMEOUT`"][0]) == settings.TOTAL_TIMEOUT_S
    assert float(table["server: the first content: `FIRST_TOKEN_TIMEOUT`"][0]) == settings.FIRST_TOKEN_TIMEOUT_S
    assert float(table["server: the first content: `FIRST_TOKEN_TIMEOUT`"][1]) == settings.CONNECT_TIMEOUT_S
    assert float(table["server: the next content: `GAP_TIMEOUT`"][0]) == settings.GAP_TIMEOUT_S
    assert float(table["platform: the exit after SIGTERM"][1]) == settings.DRAIN_TIMEOUT_S + 5
    proxy_s, whole_s = table["proxy: the next byte from the server"]
    assert float(whole_s) == settings.TOTAL_TIMEOUT_S + TICK_S + 4
    attempts_s = MAX_ATTEMPTS * (settings.FIRST_TOKEN_TIMEOUT_S + TICK_S)
    assert float(table["server: the whole answer: `TOTAL_TIMEOUT`"][1]) == attempts_s
    nginx, haproxy = "".join(blocks("nginx")), block("haproxy")
    assert f"proxy_read_timeout {proxy_s}s;" in nginx
    assert f"worker_shutdown_timeout {table['proxy: running streams, after a reload'][0]}s;" in nginx
    assert f"timeout server {proxy_s}s\n" in haproxy
    assert f"timeout client {proxy_s}s\n" in haproxy
    assert table["client: a whole answer that is not streamed"][1] == proxy_s
    assert flag("--timeout-keep-alive") == table["server: the next request on an idle connection"][0]
    for kept in ("keepalive_timeout 60s;", "timeout http-keep-alive 60s"):
        assert kept in nginx + haproxy
    assert float(flag("--timeout-graceful-shutdown")) >= settings.DRAIN_TIMEOUT_S + 5


def test_the_code_has_the_defaults_that_the_text_names():
    for name, value in re.findall(r"`([A-Z_]+)` \(?(\d+)(?: s)?\b", DOCUMENT.read_text()):
        setting = getattr(settings, f"{name}_S", None) or getattr(settings, name)
        assert float(value) == setting, name


def test_the_bounds_of_what_is_kept():
    text = section("Processes and streams")
    assert f"at most {MAX_KEPT:,} of them and {MAX_KEPT_BYTES // 1024**2} MiB" in text


def test_the_bounds_of_slow_senders():
    text = " ".join(section("Proxies").split())
    assert f"a request's head after {GuardedProtocol.head_s:.0f} s" in text
    assert f"its body after {BODY_S:.0f} s and a second for every {BODY_BYTES_PER_S // 1024} KiB" in text


def flag(name: str) -> str:
    flags = documented_flags()
    return flags[flags.index(name) + 1]


def test_the_procfile_starts_it_alike():
    (web,) = (line for line in (ROOT / "Procfile").read_text().split("\n") if line.startswith("web:"))
    words = shlex.split(web)[1:]
    assert words[:5] == ["WEB_CONCURRENCY=1", "uvicorn", "promptcraft.asgi:application", "--host", "0.0.0.0"]
    assert words[5:7] == ["--port", "$PORT"]
    assert words[7:] == documented_flags()


def test_the_unit_can_be_read_and_outlasts_the_drain():
    unit = ConfigParser(strict=False, interpolation=None)
    # systemd's names have letters of both cases.
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(block("systemd"))
    service = unit["Service"]
    assert int(service["TimeoutStopSec"]) > settings.DRAIN_TIMEOUT_S + 5
    assert int(service["LimitNOFILE"]) > 2 * settings.MAX_STREAMS
    assert int(re.findall(r"worker_rlimit_nofile (\d+);", "".join(blocks("nginx")))[0]) > 2 * settings.MAX_STREAMS
    assert int(re.findall(r"worker_connections (\d+);", "".join(blocks("nginx")))[0]) > 2 * settings.MAX_STREAMS
    assert int(re.findall(r"maxconn (\d+)", block("haproxy"))[0]) > settings.MAX_STREAMS


def test_every_variable_exists():
    text = DOCUMENT.read_text()
    named = set(re.findall(r"`([A-Z][A-Z_]{3,})[`=]", text)) | set(
        re.findall(r"(?m)^([A-Z_]+)=", "".join(blocks("ini")))
    )
    named |= set(re.findall(r"\b([A-Z_]{4,})=", "".join(re.findall(r"config:set (.*)", text))))
    assert {"TRUSTED_PROXIES", "SECRET_KEY", "DEEPSEEK_API_KEY"} <= named
    assert not named - set(ENVIRONMENT) - OTHERS


def test_the_log_has_these_fields(door: Door):
    documented = {name for cells in rows("Logs") for name in re.findall(r"`(\w+)`", cells[0])}
    nested = {"end", "ttft_ms"}
    done = door.whole()[2]["id"]
    door.whole(model="no such model")
    door.call(LIVE, None)

    def lines() -> list[dict[str, object]]:
        logged = [json.loads(line) for line in door.server.output().split("\n") if line.startswith("{")]
        return [line for line in logged if line["logger"] == "promptcraft.request"]

    eventually(lambda: any(line.get("completion_id") == done for line in lines()), "the completion's line")
    seen = {name for line in lines() for name in line}
    assert documented - nested == seen
    (line,) = (line for line in lines() if line.get("completion_id") == done)
    assert (line["path"], line["status"], line["completion_status"]) == (COMPLETIONS, 200, "completed")
    attempts = line["attempts"]
    assert isinstance(attempts, list)
    assert [set(attempt) for attempt in attempts] == [{"provider", "end", "ttft_ms"}]


def test_the_back_up_is_whole(door: Door, tmp_path: Path):
    """Made while the service has the file open and its newest commits are in the write-ahead log."""
    stored = door.whole()[2]["id"]
    copy = tmp_path / "copy.sqlite3"
    command = shlex.split(block("backup"))
    assert command[0] == ".venv/bin/python"
    assert command[-2:] == ["/var/lib/promptcraft/db.sqlite3", "/var/backups/promptcraft.sqlite3"]
    command = [sys.executable, *command[1:-2], str(door.server.database), str(copy)]
    subprocess.run(command, check=True, timeout=30)
    assert door.server.database.with_name(f"{door.server.database.name}-wal").stat().st_size > 0
    assert sorted(tmp_path.iterdir()) == [copy]
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT status FROM chat_completion WHERE id = ?", [stored]).fetchone() == (
            "completed",
        )

"""The real server under load, with a window into its process, and the bench's load generator in front of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.native import Native, Plan
from benchmarks.targets import http_request
from benchmarks.watched import PATH
from tests.forked import HASHES_AS_USUAL
from tests.server import ServerProcess

needs_native = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler called cc"
)


class Watched:
    """A server process that tells how its loop fares; a target of the load generator."""

    name = "watched"

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.port = server.port
        self.pid: int | None = server.pid
        self._headers = server.bearer()

    def request(self, plan: Plan) -> bytes:
        return http_request("/api/v2/chat/completions/", plan, self._headers)

    def look(self, query: str = "") -> dict[str, Any]:
        with urllib.request.urlopen(self.server.url(f"{PATH}?{query}"), timeout=10) as answer:
            seen: dict[str, Any] = json.loads(answer.read())
        return seen


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Native]:
    native = Native(tmp_path_factory.mktemp("load"), load_cores=set(os.sched_getaffinity(0)))
    yield native
    native.stop()


@pytest.fixture(scope="module")
def watched(native: Native) -> Iterator[Watched]:
    environment = {
        "PROVIDER_CHAIN": "deepseek",
        "DEEPSEEK_API_KEY": "sk-load-canary-5521",
        "DEEPSEEK_BASE_URL": f"http://127.0.0.1:{native.upstream_port}/v1",
        "REGISTRATION_OPEN": "1",
        "FIRST_TOKEN_TIMEOUT": "60",
        "GAP_TIMEOUT": "60",
    }
    with ServerProcess({HASHES_AS_USUAL: "1", **environment}, application="benchmarks.watched:application") as server:
        yield Watched(server)

"""Servers of the migration guide: one that keeps streams, one that soon forgets them, and a Node that runs its code."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.limit_fixtures import add_user, started
from tests.frontend.code_blocks import write_modules
from tests.operations.programs import need_program
from tests.server import PASSWORD, ROOT, USERNAME, ServerProcess

GUIDE = ROOT / "docs" / "migration-websocket-to-sse.md"
_NODE_S = 60
_OLDEST_NODE = (20, 10)
_CALM = {"PROVIDER_CHAIN": "mock", "LEGACY_WEBSOCKETS": "1", "SSE_ROLLOUT_PHASE": "percentage"}


@dataclass(frozen=True)
class FrontEnd:
    """A page with the guide's code, in front of a server."""

    folder: Path
    node: tuple[str, ...]
    server: ServerProcess

    def run(self, scenario: str, *, user: str = USERNAME, **options: Any) -> Any:
        """Run a scenario of `drive.mjs` and return its outcome."""
        given = {
            "base": self.server.url(),
            "username": user,
            "password": PASSWORD,
            "tokens": {"access": self.server.token(user), "refresh": ""},
            **options,
        }
        done = subprocess.run(
            [*self.node, "drive.mjs", scenario],
            cwd=self.folder,
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=_NODE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stored(self, completion_id: str, user: str = USERNAME) -> dict[str, Any]:
        """Return a completion as the server has it."""
        status, _, completion = self.server.call(f"/api/v2/chat/completions/{completion_id}/", user=user)
        assert status == 200
        return dict(completion)

    def completions(self, user: str) -> list[dict[str, Any]]:
        """Return all completions of a user."""
        return list(self.server.call("/api/v2/chat/completions/?limit=100", user=user)[2]["data"])


@pytest.fixture(scope="package")
def node() -> tuple[str, ...]:
    """The command that runs the guide's code."""
    program = need_program("node", "nodejs")
    asked = [program, "-p", "process.versions.node + ' ' + typeof WebSocket"]
    version, socket = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=_NODE_S).stdout.split()
    if tuple(map(int, version.split(".")[:2])) < _OLDEST_NODE:
        reason = f"node {version} is too old for the guide's code, which needs 20.10"
        (pytest.fail if os.environ.get("CI", "").lower() == "true" else pytest.skip)(reason)
    # Node 20 has it behind a flag.
    return (program, "--no-warnings", *(["--experimental-websocket"] if socket == "undefined" else []))


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the guide's modules are."""
    folder = tmp_path_factory.mktemp("front-end")
    write_modules(GUIDE, folder, Path(__file__).parent)
    return folder


@pytest.fixture(scope="package")
def servers(node: tuple[str, ...]) -> Iterator[dict[str, ServerProcess]]:
    """The two, by their manner."""
    made = {"patient": ServerProcess(_CALM, library=True), "hasty": ServerProcess(_CALM | {"STREAM_RETENTION": "0.1"})}
    with started(*made.values()):
        yield made


@pytest.fixture
def page(folder: Path, node: tuple[str, ...], servers: dict[str, ServerProcess]) -> FrontEnd:
    """A page in front of a server that keeps streams."""
    return FrontEnd(folder, node, servers["patient"])


@pytest.fixture
def hasty_page(folder: Path, node: tuple[str, ...], servers: dict[str, ServerProcess]) -> FrontEnd:
    """A page in front of one that forgets them at once."""
    return FrontEnd(folder, node, servers["hasty"])


@pytest.fixture
def user(page: FrontEnd, request: pytest.FixtureRequest) -> str:
    """A user with no completions yet."""
    return add_user(page.server, f"user-{abs(hash(request.node.nodeid)):x}")

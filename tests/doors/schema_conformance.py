"""Ask every operation of the schema for what it describes and for what it does not, with schemathesis.

    python -m tests.doors.schema_conformance 200 --seed 7

takes minutes, and `test_schema_conformance.py` is a short form of it. `schemathesis.toml`, beside this file, says what
each operation may answer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.canaries import taken
from tests.server import ServerProcess
from tests.upstream import UpstreamServer

__all__ = ["ENVIRONMENT", "Conformance", "check_conformance"]

_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# Of providers that answer at once: the mock takes its time, and so do the faults that it rehearses.
ENVIRONMENT = {
    "REGISTRATION_OPEN": "1",
    "CHAT_RATE_LIMIT": "99999/s",
    "WORKBENCH_RATE_LIMIT": "99999/s",
    "MAX_STREAMS_PER_USER": "1000",
    "BREAKER_FAILURES": "100000",
    "FIRST_TOKEN_TIMEOUT": "1",
    "GAP_TIMEOUT": "1",
}


@dataclass(frozen=True)
class Conformance:
    """What a run found: whether all checks held, what it printed, how often each status came, faults in our log."""

    held: bool
    output: str
    statuses: Counter[int]
    faults: list[str]


def check_conformance(server: ServerProcess, *arguments: str, signed_in: bool, timeout_s: float) -> Conformance:
    """Run schemathesis over a server's document, with a token or without one."""
    log_before = len(server.output())
    configuration = _CONFIGURATION.read_text(encoding="utf-8")
    if signed_in:
        configuration += f'\n[auth.openapi.bearer]\nbearer = "{server.token()}"\n'
    with NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(configuration)
        file.flush()
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", file.name, "run"]
        command += [server.url("/api/v2/schema/"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    statuses, faults = _looked_at(server.output()[log_before:])
    return Conformance(done.returncode == 0, done.stdout + done.stderr, statuses, faults)


def _looked_at(log: str) -> tuple[Counter[int], list[str]]:
    """Return how often each status was answered, and the lines that tell of a fault of ours."""
    statuses: Counter[int] = Counter()
    faults = []
    for line in log.split("\n"):
        said = json.loads(line) if line.startswith("{") else {}
        if "status" in said:
            statuses[said["status"]] += 1
        if said.get("level") == "ERROR" or said.get("status", 0) >= 500:
            faults.append(line)
    return statuses, faults


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("count", type=int, nargs="?", default=100, help="examples for each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hours", type=float, default=1.0, help="when to give up")
    parser.add_argument("--signed-out", action="store_true")
    arguments = parser.parse_args()
    with UpstreamServer() as upstream, ServerProcess(ENVIRONMENT, upstream=upstream, library=True) as server:
        found = check_conformance(
            server,
            *("--max-examples", str(arguments.count), "--seed", str(arguments.seed)),
            signed_in=not arguments.signed_out,
            timeout_s=arguments.hours * 3600,
        )
    print(found.output, f"{found.statuses.total()} requests: {dict(sorted(found.statuses.items()))}", sep="\n")
    print(*found.faults, *taken(), sep="\n")
    return int(not found.held or bool(found.faults))


if __name__ == "__main__":
    sys.exit(_main())

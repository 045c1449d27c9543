"""Ask every operation of the schema for what it describes and for what it does not.

    python -m tests.doors.schema_fuzz 100 --program /somewhere/bin/schemathesis

takes [schemathesis](https://schemathesis.readthedocs.io), which is no dependency: install it where you like. Every
answer is of a status and a form that the schema lists, and none is a fault of ours.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter

from tests.canaries import taken
from tests.server import ServerProcess

__all__: list[str] = []

CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
)
"""Not its check of 5xx: the faults that `X-Mock-Scenario` rehearses are some, and ours are found in the log. Not that
everything else is refused: a header that nobody knows is ignored. Not its check of bodies, which takes a stream of
events for one JSON string, nor that whatever fits the schema is taken: no schema knows a common password."""
ENVIRONMENT = {
    "PROVIDER_CHAIN": "mock",
    "REGISTRATION_OPEN": "1",
    "CHAT_RATE_LIMIT": "99999/s",
    "MAX_STREAMS_PER_USER": "1000",
}


REHEARSED = {"all_providers_failed", "first_token_timeout", "stream_interrupted"}


def _looked_at(log: str) -> tuple[Counter[int], list[str]]:
    """Return how often each status was answered, and the lines that tell of a fault of ours."""
    statuses: Counter[int] = Counter()
    faults = []
    for line in log.split("\n"):
        said = json.loads(line) if line.startswith("{") else {}
        if "status" in said:
            statuses[said["status"]] += 1
        rehearsed = said.get("error_code") in REHEARSED
        if said.get("level") == "ERROR" or (said.get("status", 0) >= 500 and not rehearsed):
            faults.append(line)
    return statuses, faults


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("count", type=int, nargs="?", default=100, help="examples for each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", default=shutil.which("schemathesis") or "schemathesis")
    arguments = parser.parse_args()
    with ServerProcess(ENVIRONMENT) as server:
        command = [arguments.program, "run", server.url("/api/v2/schema/"), "--checks", ",".join(CHECKS)]
        command += ["--max-examples", str(arguments.count), "--seed", str(arguments.seed), "--request-timeout", "10"]
        command += ["-H", f"Authorization: {server.bearer()['Authorization']}"]
        done = subprocess.run(command, check=False)
        log = server.output()
    statuses, faults = _looked_at(log)
    print(f"{statuses.total()} requests: {dict(sorted(statuses.items()))}", *faults, *taken(), sep="\n")
    return done.returncode or int(bool(faults))


if __name__ == "__main__":
    sys.exit(_main())

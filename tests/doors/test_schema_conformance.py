"""The service does what its OpenAPI document says, and refuses what it does not: a bounded run of schemathesis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.doors.schema_conformance import ENVIRONMENT, check_conformance
from tests.server import ServerProcess
from tests.upstream import UpstreamServer
from tests.waiting import PROGRAM_HANG_S


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with UpstreamServer() as upstream, ServerProcess(ENVIRONMENT, upstream=upstream, library=True) as server:
        yield server


@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "signed out"])
def test_every_answer_is_described_and_every_bad_request_refused(server: ServerProcess, signed_in: bool) -> None:
    found = check_conformance(
        server,
        *("--max-examples", "2", "--phases", "examples,coverage,fuzzing"),
        # The same views as under /api/v2; the longer run asks them, too.
        *("--exclude-path-regex", "^/v1/"),
        signed_in=signed_in,
        timeout_s=PROGRAM_HANG_S,
    )
    assert found.held, found.output
    assert found.faults == []
    assert found.statuses[400] > 100 if signed_in else found.statuses[401] > 100
    assert found.statuses[200] > 10

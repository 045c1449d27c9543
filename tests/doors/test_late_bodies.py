"""A body of which nothing comes, under a server whose awaitables are its own."""

from __future__ import annotations

import json

from tests.contract.limit_fixtures import COMPLETIONS, send_raw
from tests.server import ServerProcess

LOG_IN = "/api/v2/auth/token/"


def test_it_is_408():
    with ServerProcess(server="granian", application="tests.doors.hasty_application:application") as server:
        signed = f"Authorization: {server.bearer()['Authorization']}\r\n"
        for path, authorization in ((COMPLETIONS, signed), (COMPLETIONS, ""), (LOG_IN, "")):
            head = f"POST {path} HTTP/1.1\r\nHost: here\r\n{authorization}Content-Type: application/json\r\n"
            with send_raw(server, f"{head}Content-Length: 5\r\n\r\n".encode()) as connection:
                received = b""
                while data := connection.recv(65_536):
                    received += data
            top, _, body = received.partition(b"\r\n\r\n")
            error = json.loads(body)["error"]
            # A completion asks who it is before it looks at the body.
            expected = (401, "missing_token") if path == COMPLETIONS and not authorization else (408, "request_timeout")
            assert (int(top.split()[1]), error["code"]) == expected
            assert b"\r\nx-request-id: " in top.lower()
        assert "Traceback" not in server.output()

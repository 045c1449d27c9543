"""Handshakes: who is let in, with which token, and what is said first."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests import forked
from tests.contract.limit_fixtures import COMPLETIONS, LIVE, send_raw, started
from tests.each import each
from tests.server import ServerName, ServerProcess
from tests.templates.sockets.client import CHAT, PROCESSING, SEARCH, Client
from tests.templates.sockets.conftest import ORIGIN
from tests.templates.workbench import Workbench

_IMPORTED = """
import sys, promptcraft.asgi
print(sorted({name.partition(".")[0] for name in sys.modules} & {"autobahn", "channels", "daphne", "twisted"}))
"""


def refused(server: ServerProcess, path: str = CHAT, **options: Any) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as caught:
        Client(server, path, **options)
    response = caught.value.response
    body = bytes(response.body or b"")
    return response.status_code, json.loads(body) if body.startswith(b"{") else {}


def answered(server: ServerProcess, written: str) -> str:
    """Send what is written, and return all that comes back until the server hangs up."""
    with send_raw(server, written.encode("latin-1")) as plain:
        said = b""
        while received := plain.recv(4096):
            said += received
    return said.decode("latin-1")


HANDSHAKE = (
    "GET /ws/prompt-chat/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class TestOff:
    @pytest.mark.parametrize(("flag", "imported"), [("0", "[]"), ("1", "['channels']")])
    def test_channels_is_not_imported(self, flag: str, imported: str, servers: dict[str, ServerProcess]):
        env = servers["rules"].env | {"LEGACY_WEBSOCKETS": flag}
        _, output, errors = forked.run(["-c", _IMPORTED], env)
        assert output.strip() == imported, errors

    @pytest.mark.parametrize("name", ["uvicorn", "daphne", "granian"])
    def test_handshake(self, name: ServerName):
        server = ServerProcess({"PROVIDER_CHAIN": "mock"}, name)
        with started(server):
            for path in (CHAT, PROCESSING, SEARCH, "/ws/tide/"):
                status, body = refused(server, path)
                assert status == 404
                if name != "daphne":
                    assert body["error"]["code"] == "not_found"


class TestRefused:
    @each("origin", ["https://evil.example", "null", "http://app.example.org", f"{ORIGIN}.evil.example"])
    def test_foreign_origin(self, either: Workbench, origin: str):
        status, body = refused(either.server, origin=origin)
        assert status == 403
        if body:
            assert body["error"]["code"] == "forbidden"
        assert "completing handshake" not in either.server.output()

    def test_unknown_path(self, either: Workbench):
        for path in ("/ws/tide/", "/ws/prompt-chat/more/"):
            status, body = refused(either.server, path)
            assert (status, body["error"]["code"]) == (404, "not_found")

    def test_path_of_http_answers_as_without_the_offer(self, either: Workbench):
        assert refused(either.server, LIVE)[0] == 200
        assert refused(either.server, COMPLETIONS)[1]["error"]["code"] == "missing_token"

    @each(
        "written",
        [
            HANDSHAKE.replace("GET", "POST"),
            HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"),
            HANDSHAKE.replace("websocket", "websocket, h2c"),
            HANDSHAKE.replace("Version: 13", "Version: 13\r\nUpgrade: h2c"),
            HANDSHAKE.replace("Version: 13", "Version: 13\r\nContent-Length: 5") + "hello",
            HANDSHAKE.replace("Version: 13", "Version: 13\r\nTransfer-Encoding: chunked") + "0\r\n\r\n",
            HANDSHAKE.replace("Connection: Upgrade", "Connection: keep-alive"),
        ],
        ids=["a method", "an old version", "a list", "two offers", "a length", "chunks", "no Connection"],
    )
    def test_what_is_no_handshake_is_a_request(self, either: Workbench, written: str):
        last = f"GET {LIVE} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        said = answered(either.server, written + last)
        assert (said.count('"not_found"'), said.count(" 404 "), " 101 " in said) == (1, 1, False)
        # Nothing of the connection belongs to a WebSocket: the next one on it is a request as well.
        assert said.endswith('{"status":"ok"}') is ("HTTP/1.0" not in written)

    def test_unknown_host(self):
        server = ServerProcess({"PROVIDER_CHAIN": "mock", "LEGACY_WEBSOCKETS": "1", "ALLOWED_HOSTS": "127.0.0.1"})
        with started(server):
            for lines in ("", "Host: b.example\r\n", "Host: 127.0.0.1\r\nHost: b.example\r\n"):
                said = answered(server, HANDSHAKE.replace("Host: 127.0.0.1\r\n", lines))
                assert said.startswith("HTTP/1.1 400 "), lines

    @each(
        ("written", "status", "code"),
        [
            (HANDSHAKE.replace("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", ""), 400, "invalid_value"),
            (HANDSHAKE.replace("Version: 13", "Version: 7"), 400, "invalid_value"),
            (HANDSHAKE.replace("\r\n\r\n", f"\r\nX-Long: {'x' * 9_000}\r\n\r\n"), 431, "head_too_large"),
            (HANDSHAKE.replace("/ws/prompt-chat/", "/ws/prompt-chat/?" + "x" * 9_000), 414, "head_too_large"),
            (HANDSHAKE.replace("/ws/prompt-chat/", "/ws/\xff/"), 400, None),
        ],
        ids=["no key", "an old version", "a long header", "a long path", "a path of no encoding"],
    )
    def test_broken_handshake(self, workbench: Workbench, written: str, status: int, code: str | None):
        said = answered(workbench.server, written)
        assert said.startswith(f"HTTP/1.1 {status} "), said[:200]
        if code is not None:
            assert json.loads(said.partition("\r\n\r\n")[2])["error"]["code"] == code
        assert "Traceback" not in workbench.server.output()


class TestAccepted:
    @each("path", [CHAT, CHAT[:-1], PROCESSING, SEARCH])
    def test_greeting(self, either: Workbench, path: str):
        with Client(either.server, path, origin=ORIGIN) as client:
            assert client.connection.subprotocol == "promptcraft.v1"
            deprecation = client.greeting.pop("deprecation")
            assert client.greeting == {"type": "connection_established"}
            headers = client.connection.response.headers  # type: ignore[union-attr]
            sunset = parsedate_to_datetime(headers["Sunset"])
            assert sunset.date().isoformat() == deprecation["sunset"]
            assert headers["Deprecation"].startswith("@")
            assert headers["Link"] == f'<{deprecation["successor"]}>; rel="successor-version"'
            assert either.server.call(deprecation["successor"])[0] != 404
            assert client.is_served()

    def test_page_of_this_very_host(self, either: Workbench):
        with Client(either.server, origin=f"http://127.0.0.1:{either.server.port}") as client:
            assert client.is_served()

    def test_token_in_the_first_message(self, either: Workbench):
        for subprotocols in ([], ["promptcraft.v1"], ["tide"]):
            with Client(either.server, subprotocols=subprotocols, greeted=False) as client:
                assert client.connection.subprotocol == ("promptcraft.v1" if "promptcraft.v1" in subprotocols else None)
                client.say("authenticate", token=either.server.token())
                assert client.next()["type"] == "connection_established"
                assert client.is_served()


class TestToken:
    @each("token", ["x", "a.b.c", "e30.e30.e30", "x" * 8_000])
    @each("way", ["subprotocol", "message"])
    def test_bad(self, either: Workbench, token: str, way: str):
        subprotocols = ["promptcraft.v1", f"bearer.{token}"] if way == "subprotocol" else []
        with Client(either.server, subprotocols=subprotocols, greeted=False) as client:
            if way == "message":
                client.say("authenticate", token=token)
            assert client.close_code() == 4401

    @each(
        "first",
        [
            "",
            "tide",
            "{}",
            '{"type": "ping"}',
            '{"type": "authenticate"}',
            '{"type": "authenticate", "token": 7}',
            b"x",
        ],
        ids=repr,
    )
    def test_anything_else_first(self, either: Workbench, first: Any):
        with Client(either.server, subprotocols=[], greeted=False) as client:
            client.connection.send(first)
            assert client.close_code() == 4401

    def test_silence(self, either: Workbench):
        with Client(either.server, subprotocols=[], greeted=False) as client:
            assert client.close_code() == 4401

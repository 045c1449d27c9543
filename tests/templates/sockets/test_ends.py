"""How connections end: the client's leaving, the token's death, a server that goes, a peer that takes nothing."""

from __future__ import annotations

import json
import sqlite3
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from websockets.exceptions import ConnectionClosed

from apps.templates.sockets.registry import MOST_SOCKETS_OF_USER
from apps.templates.sockets.session import TOO_MANY_PAUSE_S
from tests.contract.limit_fixtures import eventually, started
from tests.server import ServerProcess
from tests.templates.sockets.client import CHAT, SEARCH, Client, bare, frame, reset, short_token
from tests.templates.sockets.conftest import APPLICATION, ON
from tests.templates.workbench import Workbench
from tests.upstream import Answer, Gate, UpstreamServer, healthy
from tests.waiting import soon

PIECES = ("One ", "two ", "three ", "four")


def held(gate: Gate, after: int = 2) -> object:
    return healthy(answer=Answer(pieces=PIECES, reasoning=""), gate=gate, gate_after=after)


def active_streams(server: ServerProcess) -> int:
    active: int = server.call("/api/v2/chat/health/", user=None)[2]["streams"]["active"]
    return active


def ask(**members: object) -> bytes:
    return frame(json.dumps({"type": "chat_message", "request_id": "r-1", "message": "Wait.", **members}).encode())


class TestLeaving:
    @pytest.mark.parametrize("after", [0, 2])
    @pytest.mark.parametrize("manner", ["reset", "fin", "close frame"])
    def test_stops_the_completion(self, either: Workbench, manner: str, after: int):
        gate = Gate()
        either.upstream.script("deepseek", held(gate, after))  # type: ignore[arg-type]
        user = either.new_user()
        plain = bare(either.server, token=either.server.token(user))
        plain.sendall(ask())
        gate.wait_reached()
        if manner == "reset":
            reset(plain)
        else:
            if manner == "close frame":
                plain.sendall(frame(b"\x03\xe8", opcode=8))
            plain.close()
        either.soon_hung_up()
        eventually(lambda: active_streams(either.server) == 0, "no stream left")
        rows = eventually(lambda: either.completions(user), "a row")
        assert [row["status"] for row in rows] == ["cancelled"]

    def test_what_goes_on_is_found_again(self, workbench: Workbench):
        gate = Gate()
        workbench.upstream.script("deepseek", held(gate))  # type: ignore[arg-type]
        user = workbench.new_user()
        with Client(workbench.server, user=user) as client:
            client.say("chat_message", "r-1", message="Wait.", on_disconnect="continue")
            client.until("content_chunk")
        (row,) = workbench.completions(user)
        assert row["status"] == "in_progress"
        gate.release()
        path = f"/api/v2/chat/completions/{row['id']}/"
        eventually(lambda: workbench.server.call(path, user=user)[2]["status"] == "completed", "its end")

    def test_many_that_leave_free_all(self, workbench: Workbench):
        workbench.upstream.script("deepseek", held(Gate()))  # type: ignore[arg-type]
        for _ in range(5):
            plain = [bare(workbench.server) for _ in range(10)]
            for one in plain:
                one.sendall(ask() + ask(request_id="r-2"))
            eventually(lambda: active_streams(workbench.server) == 20, "all streams")
            for one in plain:
                reset(one)
            eventually(lambda: active_streams(workbench.server) == 0, "no stream left")


class TestToken:
    @pytest.mark.parametrize("streams", [False, True])
    def test_expires(self, either: Workbench, streams: bool):
        gate = Gate()
        either.upstream.script("deepseek", held(gate))  # type: ignore[arg-type]
        user = either.new_user()
        with Client(either.server, token=short_token(either.server, user, 2)) as client:
            began_at_s = time.time()
            if streams:
                client.say("chat_message", "r-1", message="Wait.")
                client.until("content_chunk")
            else:
                assert client.is_served()
            assert client.close_code() == 4401
            assert 0.5 < time.time() - began_at_s < 3.0
        if streams:
            either.upstream.wait_hung_up("deepseek")

    def test_log_out(self, workbench: Workbench):
        password = {"username": "tester", "password": "tide-table-at-six"}
        pair = workbench.server.call("/api/v2/auth/token/", user=None, json=password)[2]
        with (
            ThreadPoolExecutor(1) as pool,
            Client(workbench.server, token=pair["access"]) as client,
            Client(workbench.server) as other,
        ):
            assert client.is_served()
            status = workbench.server.call("/api/v2/auth/logout/", user=None, json={"refresh": pair["refresh"]})[0]
            assert status == 205
            closed = pool.submit(client.close_code)
            # Other processes' log-outs are noticed some seconds later.
            soon(closed.done, workbench.turn, "the end of the connection")
            assert closed.result() == 4401
            assert other.is_served()

    def test_user_who_is_disabled(self, workbench: Workbench):
        user = workbench.new_user()
        with Client(workbench.server, user=user) as client, Client(workbench.server) as other:
            with closing(sqlite3.connect(workbench.server.database, timeout=5)) as database, database:
                database.execute("UPDATE auth_user SET is_active = 0 WHERE username = ?", [user])
            assert client.close_code() == 4401
            assert other.is_served()


class TestDrain:
    def test_idle_and_busy(self, upstream: UpstreamServer):
        gate = Gate()
        server = ServerProcess(ON | {"DRAIN_TIMEOUT": "8"}, upstream=upstream, application=APPLICATION)
        with started(server):
            upstream.script("deepseek", held(gate))  # type: ignore[arg-type]
            with Client(server, SEARCH) as idle, Client(server) as busy:
                busy.say("chat_message", "r-1", message="Wait.")
                busy.until("content_chunk")
                server.terminate()
                assert idle.close_code() == 1012
                assert busy.ask("chat_message", "r-2", message="More.").error["code"] == "draining"
                gate.release()
                assert busy.until("chat_result")["content"] == "".join(PIECES)
                assert busy.close_code() == 1012
            assert server.wait() == 0
            assert "Traceback" not in server.output()

    def test_what_does_not_end_in_time(self, upstream: UpstreamServer):
        server = ServerProcess(ON | {"DRAIN_TIMEOUT": "1"}, upstream=upstream, application=APPLICATION)
        with started(server):
            upstream.script("deepseek", held(Gate()))  # type: ignore[arg-type]
            with Client(server) as busy:
                busy.say("chat_message", "r-1", message="Wait.")
                busy.until("content_chunk")
                server.terminate()
                assert busy.until("error")["error"]["code"] == "draining"
                assert busy.close_code() == 1012
            assert server.wait() == 0
            assert "Traceback" not in server.output()

    def test_daphne(self, upstream: UpstreamServer):
        server = ServerProcess(ON, "daphne", upstream=upstream, application=APPLICATION)
        with started(server):
            with Client(server) as idle:
                # It trips over HTTP connections that it has not let go of yet, and then says nothing to anybody.
                with pytest.raises(TimeoutError):
                    idle.next(3)
                server.terminate()
                assert idle.close_code() == 1012
            assert server.wait() == 0


class TestPeerThatTakesNothing:
    def test_costs_little_and_is_cut(self, workbench: Workbench):
        pieces = tuple(f"{number:06d} {'tide ' * 800}\n" for number in range(1_000))
        text_bytes = sum(map(len, pieces))
        workbench.upstream.script("deepseek", healthy(answer=Answer(pieces=pieces, reasoning="")))
        workbench.server.call("/api/v2/chat/completions/", json={"messages": [{"role": "user", "content": "x"}]})
        before = workbench.server.peak_resident_bytes()
        plain = bare(workbench.server, CHAT, receive_buffer_bytes=8_192)
        plain.sendall(ask())
        eventually(lambda: active_streams(workbench.server) == 0, "the completion's end")
        # The log has the text once, the row that is written at the end twice more.
        assert workbench.server.peak_resident_bytes() - before < 3 * text_bytes
        received = 0
        # It is cut before it can have all of it.
        eventually(lambda: not _is_open(workbench.server, plain.getsockname()[1]), "the cut")
        try:
            while piece := plain.recv(65_536):
                received += len(piece)
        except ConnectionResetError:
            pass
        assert received < text_bytes
        plain.close()

    def test_that_pings(self, workbench: Workbench):
        """Answers to pings that nobody reads are not kept."""
        plain = bare(workbench.server, CHAT, receive_buffer_bytes=8_192)
        plain.settimeout(0.5)
        before = workbench.server.resident_bytes()
        sent = 0
        try:
            while sent < 40_000_000:
                sent += plain.send(frame(b"x" * 125, opcode=9) * 1_000)
        except OSError:
            pass
        assert workbench.server.resident_bytes() - before < 10_000_000
        reset(plain)


def _is_open(server: ServerProcess, port: int) -> bool:
    """Tell whether the server has a connection to that port of its peer (Linux)."""
    with open("/proc/net/tcp") as table:
        ours, theirs = f":{server.port:04X}", f":{port:04X}"
        lines = [line.split() for line in table]
    # 01 is ESTABLISHED.
    return any(line[1].endswith(ours) and line[2].endswith(theirs) and line[3] == "01" for line in lines)


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(struct.pack(">H", code) + reason, opcode=8)


OWL = "🦉".encode()
BROKEN = {
    "no UTF-8": (frame(b'{"type":"ping"\xff}'), 1007),
    "a surrogate": (frame(b"\xed\xa0\x80"), 1007),
    "cut in a character": (frame(OWL[:3]), 1007),
    "cut in a character, goes on otherwise": (frame(OWL[:2], fin=False) + frame(b'x"}', opcode=0), 1007),
    "no UTF-8 in a later fragment": (frame(b"{", fin=False) + frame(b"\xff", opcode=0, fin=False), 1007),
    "a reason that is no UTF-8": (close_frame(1000, b"\xff\xfe"), 1007),
    "half a code": (frame(b"\x03", opcode=8), 1002),
    "a code that is none": (close_frame(999), 1002),
    "a reserved opcode": (frame(b"x", opcode=3), 1002),
    "a reserved control opcode": (frame(b"x", opcode=11), 1002),
    "a reserved bit": (b"\xc1\x81\0\0\0\0x", 1002),
    "no mask": (b"\x81\x02{}", 1002),
    "a fragment of nothing": (frame(b"x", opcode=0), 1002),
    "a message in another": (frame(b"x", fin=False) + frame(b"y"), 1002),
    "a ping in fragments": (frame(b"x", opcode=9, fin=False), 1002),
    "a request": (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", 1002),
}


class TestBrokenProtocol:
    @pytest.mark.parametrize("name", BROKEN)
    def test_is_closed_with_a_code_and_one_line(self, either: Workbench, name: str):
        sent, code = BROKEN[name]
        before = either.server.output()
        with bare(either.server) as plain:
            # A message that ends later than it is known to be broken.
            plain.sendall(sent + (frame(b'"}', opcode=0) if name.endswith("fragment") else b""))
            said = plain.recv(4096)
        assert said[:1] + said[2:4] == b"\x88" + struct.pack(">H", code)
        lines = either.server.output().removeprefix(before).splitlines()
        closed = [line for line in lines if f"closed with {code}" in line]
        assert (len(closed), "Traceback" in "".join(lines)) == (1, False)

    def test_a_character_may_be_cut_by_fragments(self, either: Workbench):
        with bare(either.server) as plain:
            plain.sendall(frame(b'{"type":"ping","request_id":"' + OWL[:2], fin=False))
            plain.sendall(frame(b"", opcode=0, fin=False) + frame(OWL[2:] + b'"}', opcode=0))
            assert OWL in plain.recv(4096)


class TestConnectionsOfAUser:
    def test_are_bounded(self, either: Workbench):
        server, one, other = either.server, either.new_user(), either.new_user()
        opened = [bare(server, token=server.token(one)) for _ in range(MOST_SOCKETS_OF_USER)]
        began_s = time.monotonic()
        late = [Client(server, path, user=one, greeted=False) for path in (CHAT, SEARCH)]
        late.append(Client(server, user=one, token=None))
        late[-1].say("authenticate", token=server.token(one))
        assert [client.close_code() for client in late] == [4429] * 3
        assert time.monotonic() - began_s >= TOO_MANY_PAUSE_S
        with Client(server, user=other) as client:
            assert client.is_served()
        # One that goes makes room for another.
        opened.pop().close()

        def is_let_in() -> bool:
            client = Client(server, user=one, greeted=False)
            try:
                first: str = client.next()["type"]
            except ConnectionClosed:
                return False
            return first == "connection_established"

        eventually(is_let_in, "room for another")
        for plain in opened:
            plain.close()

"""Attacks on the protocol's edge: where one message ends and the next one begins, and what a connection may hold."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
from contextlib import ExitStack

from tests.attack.results import Attack, NotTried, Result, attack, broken, held
from tests.attack.target import Target

__all__ = ["ATTACKS"]

_VERIFY = "/api/v2/auth/token/verify/"
_LIVE = "/api/v2/chat/health/live/"
_BODY = b'{"token":"nothing"}'
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_MIB = 1024 * 1024


def _post(target: Target, *more: str, body: bytes = _BODY, path: str = _VERIFY, version: str = "1.1") -> bytes:
    lines = [
        f"POST {path} HTTP/{version}",
        f"Host: {target.host}:{target.port}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _statuses(received: bytes) -> list[int]:
    return [int(status) for status in _STATUS.findall(received)]


@attack("an offer of another protocol with a request hidden in the body")
def upgrade_offers(target: Target) -> Result:
    """What is not served must not change where the message ends."""
    hidden = f"GET {_LIVE} HTTP/1.1\r\nHost: {target.host}\r\n\r\n".encode()
    expected = _statuses(target.raw(_post(target, body=hidden) + hidden)[0])
    if len(expected) != 1:
        raise NotTried(f"without an offer the answers are {expected}")
    for offer in ("h2c", "TLS/1.2", "websocket"):
        head = _post(
            target, "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {offer}", "HTTP2-Settings: AAMA", body=hidden
        )
        for at_once in (True, False):
            data, later = (head + hidden, b"") if at_once else (head, hidden)
            seen = _statuses(target.raw(data, later=later)[0])
            if seen != expected:
                return broken(f"Upgrade: {offer} is answered with {seen}, without it with {expected}")
    return held(f"three offers are ignored: {expected[0]} each time, and the body stays a body")


@attack("a body of 1 GiB that is declared and never sent")
def declared_length(target: Target) -> Result:
    """The head proves it."""
    head = _post(target).replace(f"Content-Length: {len(_BODY)}".encode(), b"Content-Length: 1073741824")
    received, closed = target.raw(head, wait_s=5.0)
    statuses = _statuses(received)
    if statuses != [413]:
        return broken(f"{statuses or 'no answer'} within 5 s")
    return held("413 at once" + (", and closed" if closed else ""))


@attack("codings and targets that hide where a request goes")
def odd_heads(target: Target) -> Result:
    """Each may mean one thing to a proxy and another to the server."""
    host = f"Host: {target.host}:{target.port}"
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (_BODY, b""))
    heads = {
        "Transfer-Encoding: gzip, chunked": (
            f"POST {_VERIFY} HTTP/1.1\r\n{host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".encode() + chunked,
            (400, 501),
        ),
        "two lengths": (_post(target, "Content-Length: 5") + _BODY, (400,)),
        "a length and chunks": (_post(target, "Transfer-Encoding: chunked") + chunked, (400,)),
        "no Host": (f"GET {_LIVE} HTTP/1.1\r\n\r\n".encode(), (400,)),
        "the target of another host": (
            f"GET http://elsewhere.example{_LIVE} HTTP/1.1\r\n{host}\r\n\r\n".encode(),
            (400, 404),
        ),
    }
    for what, (data, expected) in heads.items():
        statuses = _statuses(target.raw(data)[0])
        if len(statuses) != 1 or statuses[0] not in expected:
            return broken(f"{what}: {statuses or 'closed without an answer'}")
    return held(f"{len(heads)} of them are refused")


@attack("a chunked stream for an HTTP/1.0 client")
def old_version(target: Target) -> Result:
    """A client that knows no chunks would take their lengths for the answer."""
    if target.own is None or target.attacker is None:
        raise NotTried("a completion would be billed")
    body = json.dumps({"stream": True, "messages": [{"role": "user", "content": "Say hello"}]}).encode()
    token = f"Authorization: Bearer {target.token(target.attacker)}"
    head = _post(target, token, body=body, path="/api/v2/chat/completions/", version="1.0")
    received, closed = target.raw(head + body, quiet_s=5.0)
    answer, _, content = received.partition(b"\r\n\r\n")
    if _statuses(answer) != [200]:
        raise NotTried(f"the completion was answered with {_statuses(answer)}")
    if b"transfer-encoding" in answer.lower() or not closed or not content.startswith((b"id:", b"data:", b":")):
        return broken("it gets chunks, or the end is not told by closing")
    return held("the body goes on until the connection is closed")


@attack("requests that are sent and answers that are not read")
def unread_answers(target: Target) -> Result:
    """Answers that wait in the server are its memory."""
    if target.own is None:
        raise NotTried("the memory of a server cannot be seen from outside")
    before = target.own.server.resident_bytes()
    ask = f"GET /api/v2/schema/ HTTP/1.1\r\nHost: {target.host}\r\n\r\n".encode()
    with ExitStack() as connections:
        for _ in range(30):
            connection = connections.enter_context(target.socket())
            connection.sendall(ask * 2)
            connection.settimeout(0.2)
            try:
                connection.sendall(ask * (240 * 1024 // len(ask)))
            except TimeoutError:
                # It has stopped reading, which is right.
                continue
        target.calm_s()
        grown = target.own.server.resident_bytes() - before
    if grown > 200 * _MIB:
        return broken(f"30 connections made it grow by {grown // _MIB} MiB")
    return held(f"30 connections made it grow by {grown // _MIB} MiB")


@attack("hundreds of WebSockets of one user")
def many_sockets(target: Target) -> Result:
    """Each is memory, and a place that another user does not get."""
    if target.attacker is None:
        raise NotTried("needs a user: --user and --password")
    token, most, accepted = target.token(target.attacker), 400, 0
    with ExitStack() as connections:
        for _ in range(most):
            connection = connections.enter_context(target.socket())
            key = base64.b64encode(os.urandom(16)).decode()
            lines = [
                "GET /ws/search/ HTTP/1.1",
                f"Host: {target.host}:{target.port}",
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                f"Sec-WebSocket-Key: {key}",
                f"Sec-WebSocket-Protocol: promptcraft.v1, bearer.{token}",
            ]
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            said = _greeting(connection)
            if b"connection_established" not in said:
                break
            accepted += 1
        if not accepted:
            raise NotTried(f"no WebSocket is served here: {_statuses(said)}")
        if accepted == most:
            return broken(f"all of {most} are served")
    return held(f"{accepted} are served, the next one is closed")


def _greeting(connection: socket.socket) -> bytes:
    """Return what a WebSocket says at first: its head and the first message, or the frame that closes it."""
    said = b""
    while b"connection_established" not in said:
        received = connection.recv(4096)
        said += received
        _, end, frames = said.partition(b"\r\n\r\n")
        if not received or (end and (not said.startswith(b"HTTP/1.1 101") or frames.startswith(b"\x88"))):
            break
    return said


ATTACKS: tuple[Attack, ...] = (
    upgrade_offers,
    declared_length,
    odd_heads,
    old_version,
    unread_answers,
    many_sockets,
)

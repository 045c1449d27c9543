"""Exports that are too large for memory: sent piece by piece, no faster than they are read."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack

import pytest
import yaml

from apps.accounts.identity import Caller
from apps.templates.library import exporting
from apps.templates.library.portable import WRITERS, write_json, write_yaml
from apps.templates.models import Template, Version
from tests.server import ServerName, ServerProcess
from tests.sse_client import SseStream
from tests.templates.api import user_named

MIB = 1024 * 1024
VERSIONS = 12
"""Of a mebibyte each."""
UNREAD = 8
"""Exports that are asked for and not read."""
_LARGE, _DELETED = "large", "deleted"
_STORED = f"""
from django.contrib.auth import get_user_model
from apps.templates.models import Template, Version
owner = get_user_model().objects.get(username="tester")
for slug in ("{_LARGE}", "{_DELETED}"):
    template = Template.objects.create(owner=owner, slug=slug, title="Large", category="seo")
    for number in range({VERSIONS}):
        Version.objects.create(template=template, number=number + 1, text=chr(0x1f98a) * {MIB // 4}, note=str(number))
"""
TEXTS = ["plain", "two\nlines\n", "\n\n leading", "no: yes\n- 1\n", "\u2028 \U0001f98a \x07", "'\"\\ |", "1:30", ""]


@pytest.fixture(scope="module", params=["uvicorn", "daphne", "granian"])
def server(request) -> Iterator[ServerProcess]:
    name: ServerName = request.param
    with ServerProcess({"WORKBENCH_RATE_LIMIT": "100000/m"}, name) as process:
        process.manage("shell", "-v", "0", "-c", _STORED)
        yield process


def path_of(slug: str) -> str:
    return f"/api/v2/templates/{slug}/export/"


def asked(server: ServerProcess, slug: str = _LARGE) -> socket.socket:
    """Ask for an export over a connection that is read by nobody yet, and return it once the answer has begun."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", server.port))
    head = f"GET {path_of(slug)} HTTP/1.1\r\nHost: here\r\nAuthorization: {server.bearer()['Authorization']}\r\n"
    connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
    assert connection.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
    return connection


def rest_of(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(MIB):
        parts.append(part)
    return b"".join(parts)


def whole(stream: SseStream) -> bytes:
    with stream:
        assert stream.status == 200
        return stream.read()


def test_it_is_whole_and_costs_little_memory_however_slowly_it_is_read(server):
    # What the first one costs stays: code, caches, a thread's heap.
    written = json.loads(whole(server.open(path_of(_LARGE))))
    assert [one["number"] for one in written["versions"]] == [*range(1, VERSIONS + 1)]
    assert all(one["text"] == "\U0001f98a" * (MIB // 4) for one in written["versions"])
    before = server.peak_resident_bytes()
    with ExitStack() as stack:
        for _ in range(UNREAD):
            stack.enter_context(asked(server))
        # Pieces are made for all of them in turn: when this one has its last, the others would have theirs.
        assert len(whole(server.open(path_of(_LARGE)))) > VERSIONS * MIB
        grown = server.peak_resident_bytes() - before
    assert grown < UNREAD * VERSIONS * MIB // 2, grown // MIB


def test_one_that_is_deleted_meanwhile_is_no_file(server):
    with asked(server, _DELETED) as connection:
        assert server.call(f"/api/v2/templates/{_DELETED}/", method="DELETE")[0] == 204
        body = rest_of(connection)
    assert b"incomplete" in body[-200:]
    assert "Traceback" not in server.output()


class Exports:
    """Exports of two versions of half a mebibyte each, of which a reader has taken the first chunk."""

    def __init__(self) -> None:
        self.callers = {name: self._owner(name) for name in ("ada", "bob")}

    @staticmethod
    def _owner(name: str) -> Caller:
        owner = user_named(name)
        template = Template.objects.create(owner=owner, slug=name, title="Large", category="seo")
        for number in (1, 2):
            Version.objects.create(template=template, number=number, text="x" * (MIB // 2))
        return Caller(user_id=owner.pk, username=name)

    def made(self, name: str) -> AsyncGenerator[bytes]:
        """Return one that no reader has asked anything of yet."""
        content = exporting.export_begin(caller=self.callers[name], slug=name, form="json").content
        assert isinstance(content, AsyncGenerator)
        return content


@pytest.mark.django_db(transaction=True)
def test_pieces_that_are_not_read_are_bounded_and_who_has_most_of_them_gives_up(monkeypatch):
    monkeypatch.setattr(exporting.UNREAD, "most_bytes", 2 * MIB)
    exports = Exports()
    begun = [exports.made(name) for name in ("bob", "ada", "ada", "ada")]

    async def read() -> list[bytes]:
        firsts = [await anext(export) for export in begun]
        assert MIB < exporting.UNREAD.held_bytes <= 2 * MIB
        return [
            b"".join([first, *[chunk async for chunk in export]]) for first, export in zip(firsts, begun, strict=True)
        ]

    assert [b"incomplete" in file for file in asyncio.run(read())] == [False, False, False, True]
    assert exporting.UNREAD.held_bytes == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_begun", [True, False])
def test_of_an_export_whose_reader_leaves_nothing_is_held(is_begun):
    export = Exports().made("ada")

    async def leave() -> None:
        if is_begun:
            await anext(export)
        assert (exporting.UNREAD.held_bytes > 0) is is_begun
        await export.aclose()

    asyncio.run(leave())
    assert exporting.UNREAD.held_bytes == 0


@pytest.mark.parametrize("form", WRITERS)
def test_pieces_are_the_same_bytes_as_the_whole(form):
    head = {"slug": "a", "labels": {}, "tags": ["x"]}
    versions = [
        {"number": at, "note": text, "variables": [{"name": "x"}], "text": text} for at, text in enumerate(TEXTS, 1)
    ]
    writer = WRITERS[form]
    pieces = b"".join([writer.begin(head), *map(writer.version, versions), writer.end()])
    together = {**head, "versions": versions}
    assert pieces == (write_json if form == "json" else write_yaml)(together)
    assert (json.loads if form == "json" else yaml.safe_load)(pieces) == together

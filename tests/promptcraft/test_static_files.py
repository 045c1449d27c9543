"""Static files: served as they are, and nothing beside them."""

from __future__ import annotations

import json
import re
import socket
from contextlib import ExitStack
from pathlib import Path

from django.contrib.staticfiles import finders

from tests.doors.cost import measured, needs_proc, wait_until_idle
from tests.each import each

SCRIPT = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"


def test_a_file_is_served(client):
    answer = client.get(SCRIPT)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] in ("text/javascript", "text/javascript; charset=utf-8")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert re.fullmatch(r"req_[0-9a-f]{24}", answer.headers["X-Request-Id"])
    assert answer.content == Path(str(finders.find(SCRIPT.removeprefix("/static/")))).read_bytes()
    assert int(answer.headers["Content-Length"]) == len(answer.content) > 1_000_000


@needs_proc
def test_what_nobody_takes_is_not_read(server):
    request = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % SCRIPT.encode()
    with measured(server) as cost, ExitStack() as stack:
        for _ in range(30):
            plain_socket = stack.enter_context(socket.socket())
            plain_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            plain_socket.connect(("127.0.0.1", server.port))
            plain_socket.sendall(request)
            assert plain_socket.recv(15) == b"HTTP/1.1 200 OK"
        wait_until_idle(Path(f"/proc/{server.pid}"))
    # Whole, they are over 45 MB.
    assert cost.memory_bytes < 25_000_000


def test_an_unchanged_file_is_not_sent_again(client):
    changed = client.get(SCRIPT).headers["Last-Modified"]
    answer = client.get(SCRIPT, headers={"If-Modified-Since": changed})
    assert (answer.status_code, answer.content) == (304, b"")
    old = client.get(SCRIPT, headers={"If-Modified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"})
    assert old.status_code == 200


@each(
    "path",
    [
        "/static/",
        "/static",
        "/static/nothing.js",
        "/static/drf_spectacular_sidecar/",
        "/static/../promptcraft/settings.py",
        "/static/%2e%2e/%2e%2e/manage.py",
        "/static/..%2fmanage.py",
        "/static//etc/passwd",
        "/static/%2fetc/passwd",
        "/static/%00",
        "/static/a%00b.js",
        "/static/%FF",
        "/static/" + "x" * 300,
        "/static/<b>",
    ],
)
def test_what_is_no_file(server, path):
    with server.open(path, user=None, headers={"Accept": "text/html"}) as answer:
        body = answer.read()
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    assert json.loads(body)["error"]["code"] == "not_found"
    assert answer.headers["x-request-id"]


@each("method", ["POST", "PUT", "DELETE"])
def test_a_file_is_read_and_nothing_else(client, method):
    answer = client.request(method, SCRIPT)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_a_host_that_is_not_served_gets_no_file(client):
    assert client.get(SCRIPT, headers={"Host": "evil.example"}).status_code == 400

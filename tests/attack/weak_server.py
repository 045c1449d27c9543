"""A server that withstands little, for the tests of the attacks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["weak_server"]

_ANSWERS = {
    "/api/v2/auth/register/": (201, b"{}"),
    "/api/v2/auth/token/": (401, b"{}"),
    "/api/v2/auth/token/verify/": (401, b"{}"),
    "/api/v2/chat/health/live/": (200, b"{}"),
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        if "Upgrade" not in self.headers:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # Else the body is left, and read as the next request.
        self._answer()

    def _answer(self) -> None:
        status, body = _ANSWERS.get(self.path, (404, b"{}"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    # Of those that connect at once.
    request_queue_size = 128


@contextmanager
def weak_server() -> Iterator[str]:
    """Serve on a port of 127.0.0.1 and yield the URL."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()

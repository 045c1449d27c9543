"""A server that answers, or breaks off, as a test says: what a proxy does when ours is not well."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Origin"]

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_CUT = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n"


class Origin:
    """Accepts connections on a port and keeps the path of every request that came whole.

    `answers(path)` says whether a request is answered; if not, the connection is closed without a word. `/cut` gets a
    stream that breaks off. Leave the `with` block to end it.
    """

    def __init__(self, answers: Callable[[str], bool] = lambda path: True) -> None:
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.paths: list[str] = []
        self.connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self.connections:
            connection.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        received = b""
        try:
            while piece := connection.recv(65_536):
                received += piece
                head, ended, body = received.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                if not ended or len(body) < int(length[1] if length else 0):
                    continue
                path = head.split(b" ")[1].decode()
                self.paths.append(path)
                received = b""
                if path == "/cut":
                    connection.sendall(_CUT)
                if path == "/cut" or not self._answers(path):
                    break
                connection.sendall(_OK)
        except OSError:
            # The proxy has left.
            pass
        finally:
            connection.close()

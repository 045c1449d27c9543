"""An OpenAI-compatible upstream that does what the prompt's plan says, for several vendors told apart by the path."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from benchmarks.soak.plan import Plan, piece, plan_in

__all__ = ["SoakUpstream"]

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_REFUSALS = {
    "busy": (503, "Service Unavailable", {"error": {"message": "busy", "type": "server_error", "code": "overloaded"}}),
    "reject": (400, "Bad Request", {"error": {"message": "no", "type": "invalid_request_error", "code": "bad"}}),
}


class SoakUpstream:
    """Serves on 127.0.0.1 inside the running loop; use it in `async with`.

    `hung_up_at_s` has when the service left an answer before its end, by the seed of its plan.
    """

    def __init__(self) -> None:
        self.port = 0
        self.active = 0
        """Answers under way."""
        self.served = 0
        self.hung_up_at_s: dict[int, float] = {}
        self.finished: set[int] = set()
        """The seeds of answers that ended by themselves."""
        self._connections: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> SoakUpstream:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._server.close()
        for writer in tuple(self._connections):
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def connections(self) -> int:
        """How many the service has open."""
        return len(self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                vendor = head.split(b"/", 2)[1].decode()
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                body = json.loads(await reader.readexactly(length))
                self.active += 1
                try:
                    await self._answer(plan_in(body["messages"][-1]["content"]), vendor, reader, writer)
                finally:
                    self.active -= 1
                    self.served += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # It has left.
        finally:
            self._connections.discard(writer)
            writer.transport.abort()

    async def _answer(
        self, plan: Plan, vendor: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        fault = plan.fault if vendor in plan.failing else "none"
        if fault in _REFUSALS:
            status, reason, error = _REFUSALS[fault]
            content = json.dumps(error).encode()
            head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
            writer.write(head.encode() + b"\r\n" + content)
            return
        # It says nothing more until it is answered: whatever comes, or ends, is the service leaving.
        left = asyncio.ensure_future(reader.read(1))
        try:
            writer.write(_HEAD)
            for number in range(plan.tokens):
                if fault != "none" and number == plan.at:
                    await self._fail(fault, left, writer)
                    break
                await asyncio.wait((left,), timeout=plan.interval_ms / 1000)
                if left.done() or writer.transport.is_closing():
                    break
                writer.write(_event({"content": piece(plan, number)}))
                await writer.drain()
            else:
                # Before the end is sent: the next request's first byte is not to be taken for a leave.
                await _let_go(left)
                if left.cancelled() and not writer.transport.is_closing():
                    writer.write(_event({}, finish="stop") + _usage(plan))
                    writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
                    await writer.drain()
                    self.finished.add(plan.seed)
                    return
            raise ConnectionResetError("the answer is over, and so is its connection")
        except ConnectionError:
            if fault in ("none", "stall"):
                self.hung_up_at_s.setdefault(plan.seed, time.monotonic())
            raise
        finally:
            await _let_go(left)

    async def _fail(self, fault: str, left: asyncio.Future[bytes], writer: asyncio.StreamWriter) -> None:
        if writer.transport.is_closing():
            return
        if fault == "reset":
            writer.transport.abort()
        elif fault == "error":
            error = {"error": {"message": "it broke", "type": "server_error", "code": "server_error"}}
            writer.write(_chunk(b"data: " + json.dumps(error).encode() + b"\n\n") + b"0\r\n\r\n")
        elif fault == "no_finish":
            writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        elif fault == "stall":
            await asyncio.wait((left,), timeout=120)
        # cut: nothing more, and the connection ends with an end of file.
        if fault != "reset":
            await writer.drain()
            writer.close()


async def _let_go(left: asyncio.Future[bytes]) -> None:
    left.cancel()
    await asyncio.wait((left,))
    if not left.cancelled():
        left.exception()


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _data({"id": "soak", "object": "chat.completion.chunk", "created": 1, "model": "soak", "choices": [choice]})


def _usage(plan: Plan) -> bytes:
    counts = {"prompt_tokens": 9, "completion_tokens": plan.tokens, "total_tokens": 9 + plan.tokens}
    chunk = {"id": "soak", "object": "chat.completion.chunk", "created": 1, "model": "soak", "choices": []}
    return _data({**chunk, "usage": counts})


def _data(chunk: dict[str, Any]) -> bytes:
    return _chunk(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)

"""One connection of the simulator: bytes in, requests out, scripts played, the peer's leaving noticed."""

from __future__ import annotations

import array
import asyncio
import fcntl
import socket
import struct
import termios
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.upstream.framing import response
from tests.upstream.journal import Exchange, Journal, Tokens
from tests.upstream.request import BadRequest, RawRequest, RequestParser, UpstreamRequest
from tests.upstream.scenario import Scenario

__all__ = ["UpstreamConnection"]

Choose = Callable[[RawRequest, int], tuple[UpstreamRequest, Scenario]]


class UpstreamConnection(asyncio.Protocol):
    """Plays one script for each request, in order; the peer's FIN or RST cancels the one being played.

    The write buffer's limit is 0: a `send` returns when the kernel has the bytes, so that a slow peer holds the
    script back and the simulator's memory stays small.
    """

    def __init__(self, journal: Journal, choose: Choose, live: set[UpstreamConnection]) -> None:
        self._journal = journal
        self._choose = choose
        self._live = live
        self._parser = RequestParser()
        self._requests: deque[RawRequest] = deque()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._hung_up: tuple[float, str] | None = None
        self._ours = False
        self._exchange = 0
        self._prompt_tokens = 0
        self._bytes_received = 0
        self._request_count = 0

    # -- asyncio.Protocol ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        self._number = self._journal.open_connection()
        self._live.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._bytes_received += len(data)
        try:
            requests = self._parser.feed(data)
        except (BadRequest, ValueError):
            self._transport.write(response(400, b'{"error":{"message":"not HTTP/1.1"}}', [("connection", "close")]))
            self.fin()
            return
        if requests:
            self._request_count += len(requests)
            self._requests.extend(requests)
            self._arrived.set()
        self._journal.update_connection(self._number, bytes_received=self._bytes_received, requests=self._request_count)

    def eof_received(self) -> bool:
        self._peer_left("fin")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._peer_left("rst")
        self._writable.set()
        self._live.discard(self)
        self._journal.update_connection(self._number, closed_at_s=time.monotonic())
        self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _peer_left(self, how: str) -> None:
        if self._hung_up is not None or self._ours:
            return
        self._hung_up = (time.monotonic(), how)
        self._journal.update_connection(self._number, hung_up_at_s=self._hung_up[0], hung_up_how=how)
        self._task.cancel()

    # -- Wire ------------------------------------------------------------------------------------------

    async def send(self, data: bytes, *, tokens: int = 0, usage: Tokens | None = None) -> None:
        """Send bytes and wait until the kernel has them."""
        self._note_sent(len(data), tokens, usage)
        if data:
            self._transport.write(data)
            await self._writable.wait()
            # A script that never has to wait would otherwise never see its peer leave.
            await asyncio.sleep(0)

    def _note_sent(self, size_bytes: int, tokens: int, usage: Tokens | None) -> None:
        exchange = self._journal.exchange(self._exchange)
        if exchange is None:
            return
        now_s = time.monotonic()
        changes: dict[str, object] = {}
        if size_bytes:
            changes["first_byte_at_s"] = exchange.first_byte_at_s or now_s
            changes["last_byte_at_s"] = now_s
            changes["bytes_sent"] = exchange.bytes_sent + size_bytes
        if tokens:
            # A prompt is billed with the first token made of it.
            changes["prompt_tokens"] = self._prompt_tokens
            changes["completion_tokens"] = exchange.completion_tokens + tokens
        if usage is not None:
            changes |= {"usage": usage, "prompt_tokens": usage.prompt, "completion_tokens": usage.completion}
        if changes:
            self._journal.update_exchange(self._exchange, **changes)

    async def delivered(self) -> None:
        """Wait until the peer's kernel has acknowledged every byte sent."""
        await self._writable.wait()
        plain_socket = self._transport.get_extra_info("socket")
        # The kernel offers no event for this.
        while _unacknowledged_bytes(plain_socket):  # noqa: ASYNC110
            await asyncio.sleep(0.0005)

    async def until_peer_leaves(self) -> None:
        """Wait to be cancelled."""
        await asyncio.get_running_loop().create_future()

    def fin(self) -> None:
        """Close in order."""
        self._ours = True
        self._transport.close()

    def rst(self) -> None:
        """Close with a reset: lingering for 0 s throws the connection away."""
        self._ours = True
        plain_socket = self._transport.get_extra_info("socket")
        plain_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    # -- the server's ----------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Drop the connection and wait for its script to end."""
        self._ours = True
        self._task.cancel()
        self._transport.abort()
        await asyncio.wait([self._task])

    async def _serve(self) -> None:
        while not self._transport.is_closing():
            while not self._requests:
                self._arrived.clear()
                await self._arrived.wait()
            raw = self._requests.popleft()
            number = self._journal.next_number()
            request, scenario = self._choose(raw, number)
            async with self._recorded(request, scenario):
                for step in scenario.steps(request):
                    await step.play(self)
                    if self._ours:
                        break
            if raw.wants_close:
                self.fin()

    @asynccontextmanager
    async def _recorded(self, request: UpstreamRequest, scenario: Scenario) -> AsyncIterator[None]:
        self._exchange = request.number
        self._prompt_tokens = request.prompt_tokens
        self._journal.open_exchange(
            Exchange(
                number=request.number,
                connection=self._number,
                vendor=request.vendor,
                endpoint=request.endpoint,
                method=request.raw.method,
                path=request.raw.path,
                headers=request.raw.headers,
                body=request.raw.body,
                json=request.json,
                scenario=scenario.name,
                received_at_s=time.monotonic(),
            )
        )
        try:
            yield
        except asyncio.CancelledError:
            left_at_s, how = self._hung_up or (time.monotonic(), "stopped")
            self._journal.update_exchange(request.number, hung_up_at_s=left_at_s, hung_up_how=how)
            raise
        except Exception as error:  # a fault of the test's script: kept for `close` to raise, never swallowed
            self._journal.note_script_error(request.number, scenario.name, error)
            self.rst()
        else:
            self._journal.update_exchange(request.number, finished_at_s=time.monotonic())


def _unacknowledged_bytes(plain_socket: socket.socket) -> int:
    if plain_socket.fileno() < 0:
        return 0
    count = array.array("i", [0])
    fcntl.ioctl(plain_socket.fileno(), termios.TIOCOUTQ, count)
    return count[0]

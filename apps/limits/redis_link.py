"""The one connection of a process to Redis: commands in the order they were given, and never a wait over 250 ms."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import Connection, parse_url
from redis.exceptions import NoScriptError

from apps.limits.redis_scripts import Script

__all__ = ["CALL_S", "Command", "RedisLink", "RedisLost"]

CALL_S = 0.25
"""What a call may take in all: its turn, a connection if there is none, the answer."""
_MAX_BATCH = 256
"""Commands that go out together; more would hold up the event loop for milliseconds."""
_MAX_QUEUE = 20_000
_TURNS = 5
"""Turns of the event loop in which an answer that came in time is read, where the loop itself was late."""


class RedisLost(Exception):
    """Redis did not do what was asked of it in time, or said that it will not. What was asked may yet happen."""


@dataclass(slots=True)
class Command:
    """Words for Redis. `script` is loaded if Redis does not know it; without a reply nobody waits."""

    words: tuple[str | int, ...]
    script: Script | None = None
    reply: asyncio.Future[Any] | None = None
    asked_at: float = 0.0


class RedisLink:
    """Sends what has gathered while the last batch was under way as the next one, over one connection.

    So commands happen in the order they were given, whoever waits for which. Anything but an answer in time, from a
    refused connection to an error reply, ends the connection: everybody who waits gets RedisLost and `on_lost` gets
    the cause and the commands that nobody waited for, sent or not. So does a queue over its bound. The next command
    makes a new connection. The owner closes it.

    The time of a call begins when it is sent, or when it has to wait for another: a busy event loop is none of Redis's
    doing.
    """

    def __init__(
        self, url: str, on_lost: Callable[[Exception, Sequence[Command]], None], *, call_s: float = CALL_S
    ) -> None:
        arguments: dict[str, Any] = dict(parse_url(url))
        self._connection_class: Any = arguments.pop("connection_class", Connection)
        # Our own deadline is the only one, and nothing is tried twice behind our back.
        self._arguments = arguments | {
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "driver_info": None,
        }
        self._on_lost = on_lost
        self._call_s = call_s
        self._connection: Any = None
        self._queue: deque[Command] = deque()
        self._batch: Sequence[Command] = ()
        self._flushing: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def send(self, *words: str | int, script: Script | None = None) -> None:
        """Have a command done in its turn, and wait for nothing. With a script the words are its keys and arguments."""
        self._put(_command(words, script))

    async def call(self, *words: str | int, script: Script | None = None) -> Any:
        """Have a command done in its turn and return its reply. Raises RedisLost, at the latest after `call_s`."""
        command = _command(words, script)
        command.reply = asyncio.get_running_loop().create_future()
        self._put(command)
        reply = await command.reply
        if isinstance(reply, RedisLost):
            raise reply
        return reply

    def drop(self, cause: Exception) -> None:
        """End the connection and fail everybody who waits."""
        undone = self._end(str(cause))
        self._on_lost(cause, [command for command in undone if command.reply is None])

    async def aclose(self) -> None:
        """End the connection; what is not done stays undone."""
        self._end("closed")
        if self._closing:
            await asyncio.wait(self._closing)

    def _end(self, why: str) -> list[Command]:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        connection, self._connection = self._connection, None
        if connection is not None:
            closing = asyncio.get_running_loop().create_task(connection.disconnect(nowait=True))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        undone = [*self._batch, *self._queue]
        self._batch = ()
        self._queue.clear()
        for command in undone:
            _settle(command, RedisLost(why))
        return undone

    def _put(self, command: Command) -> None:
        loop = asyncio.get_running_loop()
        command.asked_at = loop.time()
        self._queue.append(command)
        if len(self._queue) > _MAX_QUEUE:
            self.drop(OverflowError("too many commands wait for Redis"))
        elif self._flushing is None:
            self._flushing = loop.create_task(self._flush())

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), _MAX_BATCH))]
                self._batch = batch
                deadline = loop.call_at(asked_at + self._call_s, self._overdue, batch, _TURNS)
                try:
                    await self._exchange(batch)
                finally:
                    deadline.cancel()
                self._batch = ()
                if self._queue:
                    asked_at = self._queue[0].asked_at
            self._flushing = None
        except Exception as error:
            # Whatever went wrong: refused, cut, unwilling, or nonsense.
            self._flushing = None
            self.drop(error)

    def _overdue(self, batch: Sequence[Command], turns: int) -> None:
        if self._batch is batch:
            if turns:
                asyncio.get_running_loop().call_soon(self._overdue, batch, turns - 1)
            else:
                self.drop(TimeoutError("Redis takes too long"))

    async def _exchange(self, batch: Sequence[Command]) -> None:
        if self._connection is None:
            self._connection = self._connection_class(**self._arguments)
            await self._connection.connect()
        unknown = await self._round(batch)
        if unknown:
            scripts = {command.script.sha1: command.script for command in unknown if command.script is not None}
            loads = [Command(("SCRIPT LOAD", script.text)) for script in scripts.values()]
            if await self._round([*loads, *unknown]):
                raise RedisLost("Redis forgets its scripts at once")

    async def _round(self, batch: Sequence[Command]) -> list[Command]:
        """Send and read. Returns what is to be done again, in its order, because a script was not known."""
        connection = self._connection
        packed = connection.pack_commands([command.words for command in batch])
        await connection.send_packed_command(packed, check_health=False)
        again: list[Command] = []
        for command in batch:
            try:
                _settle(command, await connection.read_response())
            except NoScriptError:
                again.append(command)
            else:
                # What undoes a command must come after it.
                if again and command.reply is None:
                    again.append(command)
        return again


def _command(words: tuple[str | int, ...], script: Script | None) -> Command:
    if script is None:
        return Command(words)
    return Command(("EVALSHA", script.sha1, script.keys, *words), script)


def _settle(command: Command, reply: Any) -> None:
    if command.reply is not None and not command.reply.done():
        command.reply.set_result(reply)

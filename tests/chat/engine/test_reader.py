"""Readers: live, behind, late, stuck and silent, with an injected clock and a send that can be held."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.chat.engine import log_memory
from apps.chat.engine import reader as reader_module
from apps.chat.engine.log import Frame
from apps.chat.engine.log_memory import MemoryLog
from apps.chat.engine.reader import STUCK_AFTER_S, Reader
from apps.llm.wire import json
from apps.llm.wire.sse import DONE, PING, Decoder
from tests.waiting import HANG_S

FRAME = Frame(b'{"content":"', b'"}', "content")


def say(log: MemoryLog, text: bytes) -> None:
    log.append_text(FRAME, text)
    log.tell()


class Peer:
    """The other side of `send`: takes messages, or holds them until released. An empty first one flushes a head."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.said = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, message: Any) -> None:
        await self.open.wait()
        if message["body"] or "more_body" not in message:
            self.messages.append(dict(message))
            self.said.set()

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages)


async def settle() -> None:
    """Let every ready task run."""
    for _ in range(5):
        await asyncio.sleep(0)


def text_of(body: bytes) -> str:
    payloads = [payload for payload in Decoder().feed(body) if payload != b"[DONE]"]
    return "".join(json.loads(payload)["content"] for payload in payloads)


async def test_what_was_told_at_once_goes_out_at_once_in_one_message():
    log, peer = MemoryLog(), Peer()
    task = asyncio.ensure_future(Reader(log).drive(peer.send))
    await settle()
    for word in (b"a", b"b", b"c"):
        log.append_text(FRAME, word)
    assert peer.messages == []
    log.tell()
    assert len(peer.messages) == 1
    assert peer.messages[0]["body"].count(b"id: ") == 3
    assert peer.messages[0]["more_body"] is True
    log.append_text(FRAME, b"d")
    log.close(DONE)
    await task
    assert len(peer.messages) == 2
    assert peer.messages[1]["body"].endswith(b"\n\n" + DONE)
    assert "more_body" not in peer.messages[1]


async def test_what_arrives_while_the_peer_is_slow_goes_out_in_one_message():
    log, peer = MemoryLog(), Peer()
    task = asyncio.ensure_future(Reader(log).drive(peer.send))
    await settle()
    peer.open.clear()
    for word in (b"a", b"b", b"c"):
        say(log, word)
    peer.open.set()
    await settle()
    assert [message["body"].count(b"id: ") for message in peer.messages] == [1, 2]
    log.close(DONE)
    await task
    assert text_of(peer.body) == "abc"


async def test_a_send_that_fails_ends_the_drive():
    log = MemoryLog()

    async def broken(message: Any) -> None:
        raise OSError("gone")

    task = asyncio.ensure_future(Reader(log).drive(broken))
    await settle()
    say(log, b"a")
    say(log, b"b")
    with pytest.raises(OSError, match="gone"):
        await task


async def test_a_send_that_fails_after_a_wait_ends_the_drive():
    log, peer = MemoryLog(), Peer()

    async def broken(message: Any) -> None:
        await peer.open.wait()
        raise OSError("gone")

    peer.open.clear()
    task = asyncio.ensure_future(Reader(log).drive(broken))
    await settle()
    say(log, b"a")
    peer.open.set()
    with pytest.raises(OSError, match="gone"):
        await task


async def test_a_send_that_is_cut_short_is_unwound():
    log, unwound = MemoryLog(), []

    async def held(message: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            unwound.append(message)

    task = asyncio.ensure_future(Reader(log).drive(held))
    await settle()
    say(log, b"a")
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle()
    assert len(unwound) == 1


async def test_a_reader_with_nothing_to_say_yet_has_its_head_sent():
    log, sent = MemoryLog(), []

    async def send(message: Any) -> None:
        sent.append(message)

    task = asyncio.ensure_future(Reader(log).drive(send))
    await settle()
    assert sent == [{"type": "http.response.body", "body": b"", "more_body": True}]
    log.close(DONE)
    await task
    assert sent[1:] == [{"type": "http.response.body", "body": DONE}]


async def test_a_closed_log_is_one_message():
    log, peer = MemoryLog(), Peer()
    say(log, b"a")
    say(log, b"b")
    log.close(DONE)
    await Reader(log).drive(peer.send)
    assert [message["body"] for message in peer.messages] == [b'id: 2\ndata: {"content":"ab"}\n\n' + DONE]


async def test_a_slow_reader_is_not_told_again_what_it_has_read(monkeypatch):
    monkeypatch.setattr(reader_module, "QUEUE_BYTES", 500)
    log, peer = MemoryLog(), Peer()
    task = asyncio.ensure_future(Reader(log).drive(peer.send))
    await settle()
    peer.open.clear()
    for _ in range(100):
        say(log, b"word ")
    log.append_text(FRAME, b"usage")
    peer.open.set()
    await settle()
    log.close(DONE)
    await task
    assert text_of(peer.body) == "word " * 100 + "usage"


async def test_a_slow_reader_costs_its_queue_and_misses_nothing(monkeypatch):
    monkeypatch.setattr(reader_module, "QUEUE_BYTES", 500)
    log, peer = MemoryLog(), Peer()
    reader = Reader(log)
    task = asyncio.ensure_future(reader.drive(peer.send))
    await settle()
    say(log, b"start ")
    await settle()
    peer.open.clear()
    say(log, b"held ")
    await settle()
    for number in range(1_000):
        say(log, b"%d " % number)
        assert reader._queued_bytes <= 500 + 64
    peer.open.set()
    log.close(DONE)
    await task
    assert text_of(peer.body) == "start held " + "".join(f"{number} " for number in range(1_000))


@given(st.lists(st.sampled_from(["append", "take", "big"]), max_size=80), st.integers(0, 5))
def test_any_interleaving_gives_each_event_once(steps, after):
    async def run() -> None:
        log = MemoryLog()
        said = []
        for number in range(after):
            say(log, b"early%d" % number)
        reader = Reader(log, after=after)
        taken = b""
        for number, step in enumerate(steps):
            if step == "take":
                taken += reader.take()
            else:
                text = f"{number}," * (20_000 if step == "big" else 1)
                said.append(text)
                say(log, text.encode())
        log.close(DONE)
        while not reader.at_end:
            taken += reader.take()
        reader.close()
        assert text_of(taken) == "".join(said)

    asyncio.run(run())


async def test_a_ping_after_silence_only():
    log, peer = MemoryLog(), Peer()
    reader = Reader(log)
    before = time.monotonic()
    task = asyncio.ensure_future(reader.drive(peer.send))
    await settle()
    after = time.monotonic()
    reader.beat(before + 14.9, keepalive_interval_s=15)
    await settle()
    assert peer.messages == []
    reader.beat(after + 15.0, keepalive_interval_s=15)
    await settle()
    assert peer.body == PING
    log.close(DONE)
    await task
    assert peer.body == PING + DONE


async def test_a_stuck_reader_is_detached():
    log, peer = MemoryLog(), Peer()
    gone: list[Reader] = []
    loop = asyncio.get_running_loop()
    reader = Reader(log, now=loop.time(), on_close=gone.append)
    peer.open.clear()
    task = asyncio.ensure_future(reader.drive(peer.send))
    say(log, b"a")
    await settle()
    reader.beat(loop.time() + STUCK_AFTER_S - 1, keepalive_interval_s=15)
    await settle()
    assert not task.done()
    reader.beat(loop.time() + STUCK_AFTER_S + 1, keepalive_interval_s=15)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone == [reader]


async def test_cancelling_leaves_the_log_and_tells():
    log, peer = MemoryLog(), Peer()
    gone: list[Reader] = []
    reader = Reader(log, on_close=gone.append)
    task = asyncio.ensure_future(reader.drive(peer.send))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    say(log, b"a")
    reader.close()
    assert gone == [reader]
    assert peer.messages == []


async def test_its_slot_is_given_back_once():
    log, given_back = MemoryLog(), []
    reader = Reader(log, give_back=lambda: given_back.append(1))
    task = asyncio.ensure_future(reader.drive(Peer().send))
    await settle()
    assert not given_back
    log.close(DONE)
    await task
    reader.close()
    assert given_back == [1]


class Crowd:
    """More readers of a log than are sent each event at once."""

    def __init__(self, log: MemoryLog) -> None:
        self.peers = [Peer() for _ in range(log_memory._FEW + 1)]
        self.tasks = [asyncio.ensure_future(Reader(log).drive(peer.send)) for peer in self.peers]


async def test_a_crowd_is_sent_what_came_meanwhile_in_one_message():
    log = MemoryLog()
    crowd = Crowd(log)
    await settle()
    for word in (b"a", b"b", b"c"):
        say(log, word)
    assert [peer.messages for peer in crowd.peers] == [[]] * len(crowd.peers)
    said = [asyncio.ensure_future(peer.said.wait()) for peer in crowd.peers]
    await asyncio.wait_for(asyncio.gather(*said), HANG_S)
    assert [[message["body"].count(b"id: ") for message in peer.messages] for peer in crowd.peers] == [[3]] * len(said)
    say(log, b"d")
    log.close(DONE)
    await asyncio.gather(*crowd.tasks)
    for peer in crowd.peers:
        assert text_of(peer.body) == "abcd"
        assert len(peer.messages) == 2


@given(st.lists(st.sampled_from(["say", "say", "big", "join", "leave", "wait"]), max_size=60))
def test_a_crowd_that_comes_and_goes_gets_each_event_once(steps):
    async def run() -> None:
        log = MemoryLog()
        peers: list[tuple[Peer, asyncio.Task[None], int]] = []
        said: list[str] = []
        for number, step in enumerate(steps):
            if step == "join":
                for _ in range(3):
                    peer = Peer()
                    task = asyncio.ensure_future(Reader(log, after=len(said)).drive(peer.send))
                    peers.append((peer, task, len(said)))
            elif step == "leave" and peers:
                _, task, _ = peers.pop(number % len(peers))
                task.cancel()
            elif step == "wait":
                await settle()
            else:
                said.append(f"{number}," * (20_000 if step == "big" else 1))
                say(log, said[-1].encode())
        log.close(DONE)
        for peer, task, after in peers:
            await task
            assert text_of(peer.body) == "".join(said[after:])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(log_memory, "_HOLD_S", 0)
        asyncio.run(asyncio.wait_for(run(), HANG_S))

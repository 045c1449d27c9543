"""The log in memory: whatever was appended comes back, from any point, each event once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.chat.engine import log_memory
from apps.chat.engine.log import Frame, LogFull
from apps.chat.engine.log_memory import MemoryLog
from apps.llm.wire import json
from apps.llm.wire.sse import DONE, Decoder

FRAMES = [Frame(b'{"content":"', b'"}', "content"), Frame(b'{"reasoning":"', b'"}', "reasoning")]
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 1), st.text(min_size=1, max_size=30)),
        st.tuples(st.just(-1), st.dictionaries(st.just("odd"), st.integers(), min_size=1)),
    ),
    max_size=60,
)


class Listener:
    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.ends = 0

    def push(self, events: bytes) -> None:
        self.events.append(events)

    def hold(self, events: bytes) -> None:
        self.events.append(events)

    def flush(self) -> None:
        self.ends += 1


def fill(log: MemoryLog, events: list) -> None:
    for frame, value in events:
        if frame < 0:
            log.append(json.dumps(value))
        else:
            log.append_text(FRAMES[frame], json.dumps_text(value))
            if len(value) % 2:
                log.tell()
    log.tell()


def joined(payloads: list[bytes]) -> list:
    """Payloads as (key, value) with neighbouring texts of one kind joined: what merging must not change."""
    out: list = []
    for payload in payloads:
        ((key, value),) = json.loads(payload).items()
        if key != "odd" and out and out[-1][0] == key:
            out[-1] = (key, out[-1][1] + value)
        else:
            out.append((key, value))
    return out


def payloads_of(sse: bytes) -> tuple[list[int], list[bytes]]:
    ids = [int(line[4:]) for line in sse.split(b"\n") if line.startswith(b"id: ")]
    return ids, Decoder().feed(sse)


def replay_all(log: MemoryLog, after: int, limit_bytes: int) -> bytes:
    out = b""
    while after < log.last_id:
        data, last = log.replay(after, limit_bytes)
        assert last > after
        out, after = out + data, last
    return out


@given(EVENTS, st.data(), st.sampled_from([1, 50, 10_000]))
def test_replay_after_any_event_is_the_rest(events, data, limit_bytes):
    log = MemoryLog()
    live = Listener()
    log.subscribe(live)
    fill(log, events)
    after = data.draw(st.integers(0, len(events)))
    ids, payloads = payloads_of(replay_all(log, after, limit_bytes))
    assert ids == sorted(set(ids))
    assert all(after < one <= log.last_id for one in ids)
    assert joined(payloads) == joined(Decoder().feed(b"".join(live.events))[after:])
    if after < log.last_id:
        assert ids[-1] == log.last_id


@given(EVENTS)
def test_live_events_have_every_id_once_and_payloads_agree(events):
    log = MemoryLog()
    live = Listener()
    log.subscribe(live)
    fill(log, events)
    ids, payloads = payloads_of(b"".join(live.events))
    assert ids == list(range(1, len(events) + 1))
    frames = {frame.kind: frame for frame in FRAMES}
    said = [frames[kind].head + data + frames[kind].tail if kind else data for kind, data in log.parts()]
    assert joined(said) == joined(payloads)


def test_a_long_run_is_cut_into_events_that_clients_can_take():
    log = MemoryLog()
    for _ in range(3_000):
        log.append_text(FRAMES[0], b"x" * 100)
    _, payloads = payloads_of(replay_all(log, 0, 1 << 20))
    assert max(map(len, payloads)) < 40 * 1024
    assert sum(len(json.loads(payload)["content"]) for payload in payloads) == 300_000


def test_two_thousand_events_cost_little_besides_their_text():
    log = MemoryLog()
    for _ in range(2_000):
        log.append_text(FRAMES[0], b"twenty characters ok")
    assert log.size_bytes < 2_000 * 28


def test_its_bound(monkeypatch):
    monkeypatch.setattr(log_memory, "MAX_LOG_BYTES", 100)
    log = MemoryLog()
    log.append(b"x" * 60)
    with pytest.raises(LogFull):
        log.append_text(FRAMES[0], b"y" * 41)
    assert log.last_id == 1
    log.append_text(FRAMES[0], b"y" * 40)


def test_its_bound_of_changes_between_kinds(monkeypatch):
    monkeypatch.setattr(log_memory, "MAX_LOG_RUNS", 4)
    log = MemoryLog()
    for place in range(4):
        log.append_text(FRAMES[place % 2], b"y")
    log.append_text(FRAMES[1], b"y")
    for append in (lambda: log.append_text(FRAMES[0], b"y"), lambda: log.append(b"{}")):
        with pytest.raises(LogFull):
            append()
    assert log.last_id == 5


def test_how_it_ended_has_room_in_a_full_one(monkeypatch):
    monkeypatch.setattr(log_memory, "MAX_LOG_RUNS", 2)
    monkeypatch.setattr(log_memory, "MAX_LOG_BYTES", 2)
    log = MemoryLog()
    for frame in FRAMES:
        log.append_text(frame, b"y")
    log.make_room()
    log.append_text(FRAMES[0], b"the end")
    log.append(b"{}")
    assert [data for _, data in log.parts()] == [b"y", b"y", b"the end", b"{}"]


def test_closing_tells_once_and_keeps_the_first_terminal():
    log = MemoryLog()
    live = Listener()
    log.subscribe(live)
    log.close(DONE)
    log.close(b"")
    assert (log.terminal, live.ends) == (DONE, 1)
    with pytest.raises(RuntimeError):
        log.append(b"{}")


def test_unsubscribing_twice_is_fine():
    log = MemoryLog()
    live = Listener()
    log.subscribe(live)
    log.unsubscribe(live)
    log.unsubscribe(live)
    log.append(b"{}")
    assert live.events == []

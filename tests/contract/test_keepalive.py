"""Contract 3: the keep-alive, one line and no more, and who must survive it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator

import httpx

from tests.contract.stream_fixtures import COMPLETIONS, PROMPT, Relay, events_of
from tests.sse_answer import collect
from tests.upstream import Answer, Gate, Scenario, healthy

INTERVAL_S = 0.5
PIECES = ("One ", "two\u2028\u0085 ", "three")
BODY = {"messages": PROMPT, "stream": True, "stream_options": {"include_usage": True}}


def silent(gate: Gate, after: int = 1) -> Scenario:
    return healthy(answer=Answer(pieces=PIECES, reasoning=""), gate=gate, gate_after=after)


def test_is_one_line_after_the_interval(hasty: Relay):
    gate = Gate()
    hasty.upstream.script("deepseek", silent(gate))
    with hasty.begin() as stream:
        (first,) = events_of(stream, 1)
        lines = stream.lines()
        pings = [next(lines), next(lines)]
        gate.release()
        rest = b"".join(line.data + b"\n" for line in lines)
    assert [ping.data for ping in pings] == [b": ping", b": ping"]
    times_s = [first.at_s, *(ping.at_s for ping in pings)]
    for earlier_s, later_s in zip(times_s, times_s[1:], strict=False):
        assert later_s - earlier_s > INTERVAL_S / 2
    # No blank line behind it: the next event follows at once.
    assert re.match(rb"(: ping\n)*id: 2\ndata: ", rest)
    assert rest.endswith(b"\n\ndata: [DONE]\n\n")


def test_every_reader_has_its_own(hasty: Relay):
    gate = Gate()
    hasty.upstream.script("deepseek", silent(gate))
    with hasty.begin() as first:
        completion_id = events_of(first, 1)[0].json()["id"]
        with hasty.events(completion_id, 1) as second:
            assert next(second.lines()).data == b": ping"
            assert next(first.lines()).data == b": ping"
            gate.release()
            assert collect(first).text == collect(second).text == "".join(PIECES[1:])


def test_talking_stream_has_none(hasty: Relay):
    pieces = tuple(f"{number} " for number in range(30))
    hasty.upstream.script("deepseek", healthy(answer=Answer(pieces=pieces, reasoning=""), delay_s=0.03))
    began_at_s = time.monotonic()
    with hasty.begin() as stream:
        answer = collect(stream)
    assert time.monotonic() - began_at_s > INTERVAL_S
    assert answer.text == "".join(pieces)
    gaps_s = [later.at_s - earlier.at_s for earlier, later in zip(answer.events, answer.events[1:], strict=False)]
    # One before the first event would be that of a head that was held.
    pings = [comment for comment in stream.comments if comment.at_s > answer.events[0].at_s]
    assert pings == [] or max(gaps_s) > INTERVAL_S / 2


class NaiveDecoder:
    """As httpx-sse and openai-python decode: a blank line dispatches whenever anything at all is held.

    https://github.com/openai/openai-python/blob/main/src/openai/_streaming.py, `SSEDecoder.decode`
    """

    def decode(self, lines: Iterable[str]) -> Iterator[str]:
        data: list[str] = []
        last_id: str | None = None
        for line in lines:
            if not line:
                if data or last_id is not None:
                    yield "\n".join(data)
                    data = []
                continue
            if line.startswith(":"):
                continue
            name, _, value = line.partition(":")
            if name == "data":
                data.append(value.removeprefix(" "))
            elif name == "id":
                last_id = value.removeprefix(" ")
            else:
                raise AssertionError(f"not a line of an event: {line!r}")


def test_naive_decoders_see_no_empty_event(hasty: Relay):
    """`iter_lines` also splits at U+0085 and U+2028, and an id is held for ever: any blank line too many shows."""
    gate = Gate()
    hasty.upstream.script("deepseek", silent(gate))
    url = hasty.server.url(COMPLETIONS)
    with (
        httpx.Client(trust_env=False) as client,
        client.stream("POST", url, json=BODY, headers=hasty.headers()) as answer,
    ):
        lines = answer.iter_lines()
        seen = []
        for line in lines:
            seen.append(line)
            if line == ": ping":
                gate.release()
        events = list(NaiveDecoder().decode(seen))
    assert ": ping" in seen
    assert all(events)
    assert events[-1] == "[DONE]"
    texts = [part for event in events[:-1] for part in re.findall(r'"content":"([^"]*)"', event)]
    assert "".join(texts) == "One two\\u2028\\u0085 three"

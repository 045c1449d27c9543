"""Contract 5: a reader slower than the provider costs bounded memory, slows nobody, and loses nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.contract.stream_fixtures import Relay, events_of
from tests.sse_answer import collect
from tests.upstream import Answer, healthy

PIECES = tuple(f"{number:06d} {'tide ' * 3_200}\n" for number in range(650))
TEXT = "".join(PIECES)
READERS = 3
"""Unbounded queues would hold the text once for each."""


def test_those_that_read_nothing_cost_little_and_get_everything(relay: Relay):
    assert len(TEXT) > 10_000_000
    relay.upstream.script("zai", healthy(answer=Answer(pieces=PIECES, reasoning="")))
    # What one such answer takes in passing, for its row and its JSON, is there to be used again.
    relay.whole(model="glm-4.7")
    before = relay.server.peak_resident_bytes()
    first = relay.begin(model="glm-4.7", receive_buffer_bytes=8192)
    completion_id = first.headers["x-promptcraft-completion-id"]
    slow = [first]
    slow += [relay.events(completion_id, receive_buffer_bytes=8192) for _ in range(READERS - 1)]
    # The provider was not slowed: it has said everything, although nobody has read anything.
    relay.upstream.wait_for(lambda journal: any(one.vendor == "zai" and one.usage for one in journal))
    relay.wait_stored(completion_id)
    held_bytes = relay.server.peak_resident_bytes() - before
    # One copy for all of them. The half is the allocator's; one more copy for each would be three times the text.
    assert held_bytes < 1.5 * len(TEXT)

    # Others are served meanwhile as if they were alone.
    with relay.begin() as quick:
        assert collect(quick).done

    with ThreadPoolExecutor(READERS) as pool:
        answers = list(pool.map(collect, slow))
    for stream, answer in zip(slow, answers, strict=True):
        stream.close()
        assert answer.text == TEXT
        assert (answer.finishes, answer.done, answer.ended) == (["stop"], True, "clean")
        assert answer.ids[-1] == len(PIECES) + 1


def test_reader_that_stops_and_goes_on(relay: Relay):
    """It falls behind, is merged forward, catches up and is live again; a quick one is not held by it."""
    # More than any server and kernel hold for it.
    pieces = tuple(f"{number:04d} {'x' * 16_000}\n" for number in range(450))
    relay.upstream.script("zai", healthy(answer=Answer(pieces=pieces, reasoning="")))
    with relay.begin(model="glm-4.7", receive_buffer_bytes=8192) as slow:
        (event,) = events_of(slow, 1)
        with relay.events(event.json()["id"]) as quick:
            assert collect(quick).text == "".join(pieces)
        rest = collect(slow)
    assert event.json()["choices"][0]["delta"]["content"] + rest.text == "".join(pieces)
    assert rest.ids[-1] == len(pieces) + 1
    assert len(rest.ids) < len(pieces)

"""Feeds one attempt a plain text stream, and does nothing else: for counting the instructions of an event.

    valgrind --tool=callgrind --callgrind-out-file=/dev/null python -m benchmarks.feed 4000

Counts of one machine and one build of Python can be compared, however busy it is; the difference between two numbers
of events is what the events cost. `PYTHONHASHSEED=0` keeps it the same from run to run.
"""

from __future__ import annotations

import asyncio
import sys
import time

from apps.chat.engine.exchange import Exchange
from apps.chat.engine.log_memory import MemoryLog
from apps.chat.engine.record import Attempt
from apps.chat.engine.stamp import Stamp
from apps.llm.providers.mock import MockProvider

_EVENT = (
    b'data: {"id":"chatcmpl-t1","object":"chat.completion.chunk","created":1790000001,"model":"gpt-6-luna",'
    b'"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}],"usage":null}\n\n'
)
_FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


async def feed(events: int, *, alike: bool) -> int:
    """Feed so many events, a read for each, and return the id of the last; unlike ones are parsed each."""
    log = MemoryLog()
    exchange = Exchange(
        provider=MockProvider(),
        attempt=Attempt(provider="mock", model="mock", started_at=0, started_monotonic=0),
        stamp=Stamp(log, completion_id="chatcmpl-1", created=1),
        log=log,
        clock=time.monotonic,
        on_first_content=lambda: None,
    )
    for number in range(events):
        event = _EVENT % (b" word%d" % number)
        exchange.feed(event if alike else event.replace(b"1790000001", b"%d" % (1790000001 + number)))
    exchange.feed(_FINISH)
    return log.last_id


if __name__ == "__main__":
    print(asyncio.run(feed(int(sys.argv[1]), alike="unlike" not in sys.argv)))

"""Ask for completions with strange bodies, thousands of them: `python -m tests.doors.body_fuzz 200000 --seed 1`.

Every answer is a whole one, an error in the envelope, and never a 5xx.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

__all__ = ["Found", "fuzz"]

COMPLETIONS = "/api/v2/chat/completions/"
_AT_ONCE = 32


class Found(AssertionError):
    """A body that was not answered as it should be; the message holds the seed's number and the body."""


async def fuzz(count: int, *, seed: int, authorization: str, first: int = 0) -> Counter[int]:
    """Ask `count` times, some at once, and return how often each status came. Raises Found."""
    statuses: Counter[int] = Counter()
    numbers = iter(range(first, first + count))

    async def work() -> None:
        for number in numbers:
            statuses[await _one(f"{seed}:{number}", authorization)] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())
    return statuses


async def _one(name: str, authorization: str) -> int:
    from tests.doors.in_process import ask
    from tests.doors.strange_bodies import strange_body, strange_headers

    chance = random.Random(name)
    body = strange_body(chance)
    headers = strange_headers(chance) | {b"authorization": authorization.encode()}
    cuts = sorted(chance.randint(0, len(body)) for _ in range(chance.choice((0, 0, 0, 1, 3))))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    try:
        try:
            answer = await ask(COMPLETIONS, headers=headers, pieces=pieces)
        except TimeoutError:
            # A machine that stood still for ten seconds looks the same; a body that hangs will hang again.
            answer = await ask(COMPLETIONS, headers=headers, pieces=pieces, timeout_s=60)
    except Exception as error:
        raise Found(f"{name}: {type(error).__name__} for {body[:2000]!r} {headers}") from error
    problem = _problem(answer.status, answer.headers.get("content-type", ""), answer.body)
    if problem:
        raise Found(f"{name}: {problem}: {answer.status} {answer.body[:500]!r} for {body[:2000]!r} {headers}")
    return answer.status


def _problem(status: int, content_type: str, body: bytes) -> str | None:
    if status not in (200, 400, 409, 413, 415):
        return "a status that no body deserves"
    if content_type.startswith("text/event-stream"):
        # Some scenarios break off, which they say.
        whole = body.endswith(b"data: [DONE]\n\n") or b'"finish_reason":"error"' in body
        return None if status == 200 and whole else "a stream that does not end"
    document = json.loads(body)
    if status == 200:
        return None if document["object"] == "chat.completion" else "no completion"
    error = document["error"]
    return None if error["message"] and error["code"] and error["request_id"] else "no envelope"


async def _by_hand(count: int, seed: int, first: int, authorization: str) -> Counter[int]:
    from apps.chat.runtime import stop_runtime
    from tests.doors.in_process import quick_mock, running

    with running(quick_mock()):
        try:
            return await fuzz(count, seed=seed, first=first, authorization=authorization)
        finally:
            await stop_runtime()


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first body, to see one again")
    arguments = parser.parse_args()

    import django
    from django.conf import settings
    from django.core.management import call_command

    with tempfile.TemporaryDirectory() as directory:
        settings.DATABASES["default"]["NAME"] = str(Path(directory) / "db.sqlite3")
        settings.CHAT_RATE_LIMIT = "999999/s"
        settings.MAX_STREAMS_PER_USER = 1000
        settings.STREAM_RETENTION_S = 1.0
        # One token for all of it, however slow the machine is.
        settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"] = timedelta(days=1)
        django.setup()
        call_command("migrate", verbosity=0, interactive=False)
        import promptcraft.asgi  # noqa: F401 - it sets up the log
        from tests.doors.in_process import bearer

        # A line for each request would be most of the work.
        logging.getLogger("promptcraft").setLevel(logging.WARNING)
        began_at_s = time.monotonic()
        statuses = asyncio.run(_by_hand(arguments.count, arguments.seed, arguments.first, bearer()))
        print(f"{statuses.total()} bodies in {time.monotonic() - began_at_s:.1f} s: {dict(sorted(statuses.items()))}")
    return 0


if __name__ == "__main__":
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptcraft.settings")
    sys.exit(_main())

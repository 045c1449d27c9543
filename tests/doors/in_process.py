"""The whole application in this process, called as a server would call it: for what takes thousands of requests."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User

from apps.accounts.families import family_open
from apps.chat import runtime
from apps.chat.engine.supervisor import Supervisor
from apps.llm.breaker import BreakerPolicy, ProcessBreaker
from apps.llm.chain import Chain
from apps.llm.providers.base import Provider
from apps.llm.providers.mock import MockProvider
from tests.waiting import HANG_S

__all__ = ["Answer", "ask", "bearer", "quick_mock", "running"]


@dataclass(slots=True)
class Answer:
    """What was sent. `whole`: the last message has come."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False


def bearer() -> str:
    """Return the Authorization header of a new user. Asks the database."""
    user = User.objects.create(username=f"user-{uuid.uuid4().hex}", password="!")
    return f"Bearer {family_open(user=user).access}"


def quick_mock() -> MockProvider:
    """Return the mock, without its pauses."""
    return MockProvider(first_token_s=0, token_gap_s=0, slow_first_token_s=0, long_gap_s=0)


@contextmanager
def running(*providers: Provider) -> Iterator[Supervisor]:
    """Start the runtime in the running loop, with these providers; what it does to signals is undone at the end.

    The caller ends it inside the loop, with `stop_runtime`.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        supervisor = runtime.start_runtime()
        clock = asyncio.get_running_loop().time
        breakers = {provider.name: ProcessBreaker(BreakerPolicy(), clock) for provider in providers}
        supervisor.chain = Chain(providers, breakers)
        yield supervisor
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


async def ask(
    path: str,
    *,
    method: str = "POST",
    headers: Mapping[bytes, bytes] | Sequence[tuple[bytes, bytes]] = (),
    pieces: Sequence[bytes] = (b"",),
    query: bytes = b"",
    ends: bool = True,
    timeout_s: float = HANG_S,
    client: str = "127.0.0.1",
) -> Answer:
    """Send a request and return its answer. `pieces` are the body's messages; without `ends` more never come.

    Raises TimeoutError if the answer is not whole in time, and whatever the application raises.
    """
    from promptcraft.asgi import application

    sent = list(headers.items() if isinstance(headers, Mapping) else headers)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"localhost"), *sent],
        "client": (client, 4711),
        "server": ("127.0.0.1", 8000),
    }
    answer = Answer()
    messages = [
        {"type": "http.request", "body": piece, "more_body": not ends or index + 1 < len(pieces)}
        for index, piece in enumerate(pieces)
    ]
    messages.reverse()

    async def receive() -> Mapping[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")
            answer.whole = not message.get("more_body", False)

    async with asyncio.timeout(timeout_s):
        await application(scope, receive, send)
    assert answer.whole, (answer.status, answer.body[:200])
    return answer

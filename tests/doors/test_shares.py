"""While one user has as much to do as they like, through any door, another is served. Nothing here measures time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from copy import copy
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.accounts import identity
from apps.accounts.addresses import network_of_headers
from apps.accounts.families import family_open, family_revoke
from apps.accounts.hashing import HASHING, hashing_share
from apps.accounts.tokens import TokenPair
from apps.chat import body as bodies
from apps.chat.body import CALLER
from apps.core import loop_turns
from apps.core.loop_turns import LOOP_TURNS
from apps.core.work_queue import user_share
from apps.llm.errors import Code, ServiceUnavailable
from apps.templates.workload import IMPORTS, WORKBENCH
from promptcraft.database import DATABASE
from tests.doors.in_process import Answer
from tests.doors.persons import API, PASSWORD, Person, held
from tests.waiting import HANG_S, ends_at_once

pytestmark = [pytest.mark.usefixtures("runtime"), pytest.mark.django_db(transaction=True)]

HERE = "127.0.0.1"
CHAT = {"messages": [{"role": "user", "content": "When does the tide turn?"}]}
TEMPLATE = {"title": "A tide table", "category": "planning", "text": "When does the tide turn?"}
LARGE = [TEMPLATE | {"description": "tide " * 100}] * 40
"""To import, and more than is small."""


@pytest.fixture
async def ann(settings: Any) -> Person:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return await sync_to_async(Person)("ann")


@pytest.fixture
async def bob(settings: Any) -> Person:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return await sync_to_async(Person)("bob")


def told(answers: list[Answer]) -> Counter[int]:
    """Count the statuses; each refusal says when to come again."""
    for answer in answers:
        if answer.status in (429, 503):
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert json.loads(answer.body)["error"]["retry_after"] == int(answer.headers["retry-after"])
    return Counter(answer.status for answer in answers)


async def refused_but_for(crowd: list[asyncio.Task[Answer]], waiting: int) -> None:
    """Have all of a crowd leave; those that had an answer were refused, which all are that found no place in line."""
    refused = [one for one in crowd if one.done()]
    assert len(refused) >= len(crowd) - waiting
    for one in crowd:
        one.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    assert set(told([one.result() for one in refused])) <= {429}


async def everything_of(person: Person) -> list[int]:
    """Use each door, and return the statuses."""
    refresh = {"refresh": person.pair.refresh}
    answers = [
        await person.log_in(),
        await person.ask("auth/me/"),
        await person.ask("auth/token/refresh/", refresh, known=False),
        await person.ask("templates/search/?q=rivers"),
        await person.ask("templates/"),
        await person.ask("prompts/intent/", {"query": "a blog post about rivers"}),
        await person.ask("prompts/optimize/", {"prompt": "write something about rivers"}),
        await person.ask("prompts/generate/", {"prompt": "Write about rivers.", "stream": False}),
        await person.ask("chat/completions/", CHAT),
        await person.ask("chat/completions/"),
    ]
    assert all(answer.status < 300 for answer in answers), [(one.status, one.body[:200]) for one in answers]
    return [answer.status for answer in answers]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("prompts/intent/", {"query": "a blog post about rivers"}),
        ("prompts/optimize/", {"prompt": "write something about rivers"}),
        ("templates/search/?q=rivers", None),
        ("templates/", None),
        ("templates/import/", [TEMPLATE]),
        ("templates/import/", LARGE),
    ],
)
async def test_a_crowd_at_the_workbench(ann: Person, bob: Person, path: str, body: object) -> None:
    """150 at once of one user, whose work never ends: their line is full, and nobody else's is touched."""
    await ann.ask("auth/me/")
    queue = IMPORTS if body is LARGE else WORKBENCH
    async with held((queue, user_share(ann.user.pk))):
        crowd = [asyncio.create_task(ann.ask(path, body)) for _ in range(150)]
        await everything_of(bob)
        # Of the one whose crowd it is, too: chat and log-in wait for nothing of the workbench's.
        assert (await ann.ask("chat/completions/", CHAT)).status == 200
        assert (await ann.log_in()).status == 200
        await refused_but_for(crowd, queue.most_waiting_of_share)


async def test_large_imports_leave_the_workbench_and_small_ones_to_others(ann: Person) -> None:
    await ann.ask("auth/me/")
    async with held((IMPORTS, user_share(-1)), (IMPORTS, user_share(-2))):
        assert told([await ann.ask("templates/import/", LARGE)]) == {503: 1}
        assert (await ann.ask("templates/import/", [TEMPLATE])).status == 201
        assert (await ann.ask("templates/search/?q=rivers")).status == 200


async def test_a_crowd_that_logs_in(ann: Person, bob: Person, settings: Any) -> None:
    """80 at once with one account's right password, from the address that all others come from, too."""
    settings.REGISTRATION_OPEN = True
    async with held((HASHING, hashing_share(HERE, "ann"))):
        crowd = [asyncio.create_task(ann.log_in()) for _ in range(80)]
        await everything_of(bob)
        new = {"username": "eve", "email": "eve@example.org", "password": PASSWORD}
        assert (await bob.ask("auth/register/", new, known=False)).status == 201
        assert told(await asyncio.gather(*crowd)) == {429: 80}
    assert (await ann.log_in()).status == 200


async def test_a_crowd_at_the_database(ann: Person, bob: Person) -> None:
    await ann.ask("auth/me/")
    async with held((DATABASE, user_share(ann.user.pk)), (DATABASE, ann.signed_share)):
        crowd = [asyncio.create_task(ann.ask("chat/completions/")) for _ in range(50)]
        crowd += [asyncio.create_task(ann.ask("auth/me/")) for _ in range(50)]
        refresh = {"refresh": ann.pair.refresh}
        crowd += [asyncio.create_task(ann.ask("auth/token/refresh/", refresh, known=False)) for _ in range(50)]
        await everything_of(bob)
        assert set(told(await asyncio.gather(*crowd))) == {429}


async def test_health_is_in_no_line(ann: Person, bob: Person) -> None:
    """Nor do those who ask for it wait for each other."""
    everything = [(queue, user_share(number)) for queue in (DATABASE, WORKBENCH) for number in range(-4, 0)]
    async with held(*everything, (HASHING, user_share(-1)), (HASHING, user_share(-2))):
        for path in ("chat/health/", "chat/health/live/", "chat/health/ready/"):
            assert told(await asyncio.gather(*(ann.ask(path, known=False) for _ in range(60)))) == {200: 60}
        assert (await bob.ask("templates/")).status in (429, 503)


async def test_when_all_threads_are_taken_it_is_503(ann: Person) -> None:
    await ann.ask("auth/me/")
    async with held(*((WORKBENCH, user_share(-number)) for number in range(1, 5))):
        assert told([await ann.ask("templates/")]) == {503: 1}
    assert (await ann.ask("templates/")).status == 200


class TestTheWindowOfTheWorkbench:
    LIMIT = 6

    @pytest.fixture(autouse=True)
    def _narrow(self, runtime: None, settings: Any) -> None:
        settings.WORKBENCH_RATE_LIMIT = f"{self.LIMIT}/m"

    async def test_counts_all_of_it_together(self, ann: Person, bob: Person) -> None:
        asked: list[tuple[str, object]] = [
            ("templates/", None),
            ("templates/search/?q=rivers", None),
            ("templates/none-of-this-name/", None),
            ("prompts/intent/", {"query": "a blog post about rivers"}),
            ("prompts/intent/", {}),
            ("prompts/optimize/", {"prompt": "write something about rivers"}),
        ]
        for number, (path, body) in enumerate(asked):
            answer = await ann.ask(path, body)
            assert answer.headers["ratelimit-policy"] == f'"workbench";q={self.LIMIT};w=60'
            assert answer.headers["ratelimit"] == f'"workbench";r={self.LIMIT - 1 - number};t=60'
            assert answer.headers["x-ratelimit-remaining"] == str(self.LIMIT - 1 - number)
        for path, body in (*asked, ("prompts/generate/", {"prompt": "Write about rivers."})):
            refused = await ann.ask(path, body)
            assert told([refused]) == {429: 1}
            assert json.loads(refused.body)["error"]["code"] == "rate_limited"
            assert refused.headers["x-ratelimit-remaining"] == "0"
        assert (await ann.ask("chat/completions/", CHAT)).headers["ratelimit-policy"].startswith('"chat";')
        assert (await bob.ask("templates/")).status == 200

    async def test_a_completion_of_the_workbench_is_in_both(self, ann: Person) -> None:
        answer = await ann.ask("prompts/generate/", {"prompt": "Write about rivers.", "stream": False})
        assert answer.headers["ratelimit-policy"].startswith(f'"workbench";q={self.LIMIT};w=60, "chat";q=')
        assert answer.headers["ratelimit"].startswith(f'"workbench";r={self.LIMIT - 1};t=60, "chat";r=')
        assert answer.headers["x-ratelimit-limit"] == str(self.LIMIT), "the one with fewer left"

    async def test_what_is_not_counted(self, ann: Person) -> None:
        for _ in range(2 * self.LIMIT):
            assert (await ann.ask("templates/", known=False)).status == 401
            assert (await ann.ask("templates/", method="OPTIONS")).status == 204
            assert (await ann.ask("prompts/intent/")).status == 405
        async with held((WORKBENCH, user_share(ann.user.pk))):
            assert told(await asyncio.gather(*(ann.ask("templates/") for _ in range(self.LIMIT)))) == {429: self.LIMIT}
        answer = await ann.ask("templates/")
        assert (answer.status, answer.headers["x-ratelimit-remaining"]) == (200, str(self.LIMIT - 1))


async def handshake(client: str, token: str = "") -> int:
    """Ask for a WebSocket, and return the status that refuses it: none is served here."""
    from promptcraft.asgi import application

    offered = [(b"sec-websocket-protocol", f"promptcraft.v1, bearer.{token}".encode())] if token else []
    scope = {
        "type": "websocket",
        "path": "/ws/search/",
        "headers": [(b"host", b"localhost"), *offered],
        "client": (client, 4711),
        "extensions": {"websocket.http.response": {}},
    }
    statuses: list[int] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Mapping[str, Any]) -> None:
        statuses.extend([message["status"]] if message["type"] == "websocket.http.response.start" else [])

    await application(scope, receive, send)
    (status,) = statuses
    return status


async def test_handshakes_wait_in_the_line_of_their_user_or_network(ann: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loop_turns, "_MOST_WAITING", 0)
    # Known from now on.
    assert (await ann.ask("auth/me/")).status == 200
    for caller in (network_of_headers("192.0.2.1", ()), ann.user.pk):
        await asyncio.sleep(0)
        await LOOP_TURNS.wait("somebody else")
        await LOOP_TURNS.wait(caller)
        assert await handshake("192.0.2.1", ann.pair.access if caller == ann.user.pk else "") == 503
        # Others begin at once, and are told that there is nothing.
        assert await handshake("192.0.2.9") == 404


HEALTH = "/api/v2/chat/health/"
KIB = 1024


class Visitor:
    """Whoever asks from one address, and where they wait: their network has had its request of this turn."""

    ADDRESS = "192.0.2.1"

    def __init__(self) -> None:
        assert LOOP_TURNS.begins("somebody else")
        assert LOOP_TURNS.begins(network_of_headers(self.ADDRESS, ()))

    def scope(self, path: str, **headers: str) -> dict[str, Any]:
        sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return {"type": "http", "path": path, "headers": sent, "client": (self.ADDRESS, 4711)}

    def is_at_once(self, path: str = f"{API}models/", **headers: str) -> bool:
        from promptcraft.asgi import _wait_turn

        self.last = self.scope(path, **headers)
        return ends_at_once(_wait_turn(self.last, path))

    def waits(self, **headers: str) -> asyncio.Task[None]:
        """Ask, and return the task that waits for the turn."""
        from promptcraft.asgi import _wait_turn

        return asyncio.create_task(_wait_turn(self.scope(f"{API}models/", **headers), f"{API}models/"))


async def test_no_path_is_a_line_of_its_own(ann: Person):
    visitor = Visitor()
    for name in ("17/", "live/17/", "LIVE/", "../"):
        assert not visitor.is_at_once(f"{HEALTH}{name}"), name
    # Health has one more, whichever of the three is asked. Bodies are held on the account of the network all the same.
    assert visitor.is_at_once(HEALTH)
    assert visitor.last[CALLER] == network_of_headers(visitor.ADDRESS, ())
    assert not visitor.is_at_once(f"{HEALTH}live/")
    assert not visitor.is_at_once(f"{HEALTH}ready/")


async def test_no_header_is_a_line_of_its_own(ann: Person):
    assert (await ann.ask("auth/me/")).status == 200
    await asyncio.sleep(0)
    visitor, bearer = Visitor(), f"Bearer {ann.pair.access}"
    # Where the network has a request of this turn left.
    visitor.ADDRESS = "198.51.100.1"
    assert visitor.is_at_once(authorization=bearer)
    assert not visitor.is_at_once(authorization=bearer)
    assert not visitor.is_at_once(authorization=bearer, sec_websocket_protocol="bearer.x")


async def test_a_signature_is_enough_to_pass_a_line_of_the_network(ann: Person):
    identity._memory.clear()
    visitor = Visitor()
    for wrong in ("", "Bearer ", "Bearer x.y.z", f"Basic {ann.pair.access}", f"Bearer {ann.pair.refresh}"):
        assert not visitor.is_at_once(authorization=wrong), wrong
    assert visitor.is_at_once(authorization=f"Bearer {ann.pair.access}")
    # Its log-in may have ended: bodies are not held on its user's account.
    assert visitor.last[CALLER] == network_of_headers(visitor.ADDRESS, ())


@pytest.fixture
async def ended(ann: Person) -> TokenPair:
    """A log-in of ann's that has ended, whose tokens are signed; she has another one."""
    pair = ann.pair
    await sync_to_async(family_revoke)(refresh=pair.refresh)
    ann.pair = await sync_to_async(family_open)(user=ann.user)
    identity._memory.clear()
    return pair


async def test_a_crowd_with_an_ended_log_in_is_not_in_its_users_line(ann: Person, ended: TokenPair):
    assert (await ann.ask("auth/me/")).status == 200
    await asyncio.sleep(0)
    visitor, bearer = Visitor(), f"Bearer {ann.pair.access}"
    crowd = [visitor.waits(authorization=f"Bearer {ended.access}") for _ in range(40)]
    await asyncio.sleep(0)
    assert visitor.is_at_once(authorization=bearer)
    assert visitor.last[CALLER] == ann.user.pk
    await asyncio.gather(*crowd)


async def test_a_log_in_that_nobody_has_looked_at_takes_turns_with_an_ended_one(ann: Person, ended: TokenPair):
    visitor = Visitor()
    crowd = [visitor.waits(authorization=f"Bearer {ended.access}") for _ in range(40)]
    await visitor.waits(authorization=f"Bearer {ann.pair.access}")
    assert sum(one.done() for one in crowd) < 10
    await asyncio.gather(*crowd)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("auth/token/verify/", "token"),
        ("auth/token/refresh/", "refresh"),
        ("auth/logout/", "refresh"),
        ("auth/me/", ""),
    ],
)
async def test_a_crowd_with_an_ended_log_in_takes_no_place_of_its_users(
    ann: Person, ended: TokenPair, path: str, field: str
):
    """Their work never ends, at any door that takes a token."""
    assert (await ann.ask("auth/me/")).status == 200
    thief = copy(ann)
    thief.pair = ended
    async with held((DATABASE, thief.signed_share)):
        body = {field: ended.refresh} if field else None
        crowd = [asyncio.create_task(thief.ask(path, body, known=not field)) for _ in range(20)]
        async with asyncio.timeout(HANG_S):
            while not DATABASE._turns.waiting_of(thief.signed_share):  # noqa: ASYNC110 - the queue tells nobody
                await asyncio.sleep(0)
        assert (await ann.ask("chat/completions/")).status == 200
        assert (await ann.ask("auth/me/")).status == 200
        await refused_but_for(crowd, DATABASE.most_waiting_of_share)


async def test_what_came_of_a_body_that_waits_for_its_turn_is_counted(ann: Person, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bodies._HELD, "most_bytes", 600 * KIB)
    visitor = Visitor()
    # The first begins at once.
    begun, without = visitor.waits(content_length="100"), visitor.waits()
    small, large = visitor.waits(content_length="10"), visitor.waits(content_length="1000000")
    chunked, refused = visitor.waits(transfer_encoding="chunked"), visitor.waits(content_length="1000000")
    await asyncio.sleep(0)
    assert bodies._HELD.held_bytes == 10 + 512 * KIB
    with pytest.raises(ServiceUnavailable) as caught:
        await refused
    assert caught.value.code is Code.OVERLOADED
    await asyncio.gather(begun, without, small, large, chunked)
    assert bodies._HELD.held_bytes == 0

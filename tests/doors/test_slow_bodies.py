"""A body has its time, all bodies together have their memory; what is too late or too much is answered, not kept."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User

from apps.chat import body as bodies
from apps.chat.body import BODY_S, CALLER, MAX_BODY_BYTES, Body, answer_first
from apps.chat.runtime import get_supervisor
from apps.core import loop_turns
from apps.core.loop_turns import LOOP_TURNS
from apps.core.work_queue import user_share
from apps.llm.wire.openai import parse_request
from promptcraft.database import DATABASE
from promptcraft.handler import _is_known
from tests.chat.reading import read_body
from tests.doors.in_process import ask, bearer
from tests.waiting import HANG_S

KIB = 1024
COMPLETIONS = "/api/v2/chat/completions/"
SCOPE: dict[str, Any] = {"headers": []}


def piece(data: bytes, *, more: bool = True) -> Mapping[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


class Dripping:
    """A client that sends a byte at every interval, for ever."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self.sent_bytes = 0

    async def __call__(self) -> Mapping[str, Any]:
        come = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(self._interval_s, come.set_result, None)
        await come
        self.sent_bytes += 1
        return piece(b"a")


async def silence() -> Mapping[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.1)


@pytest.mark.usefixtures("hasty")
class TestTime:
    async def test_a_body_that_does_not_come_is_late(self) -> None:
        assert await read_body(SCOPE, silence) == Body(data=b"", late=True, unread=True)

    async def test_a_drip_does_not_prolong_it(self) -> None:
        drip = Dripping(0.01)
        assert await asyncio.wait_for(read_body(SCOPE, drip), 2) == Body(data=b"", late=True, unread=True)
        assert drip.sent_bytes < 50

    async def test_bytes_that_come_in_number_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A megabyte over a slow line takes longer than any body that says little."""
        monkeypatch.setattr(bodies, "BODY_BYTES_PER_S", 100 * KIB)
        sent = 0

        async def uplink() -> Mapping[str, Any]:
            nonlocal sent
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.03)
            sent += 1
            return piece(b"a" * 10 * KIB, more=sent < 8)

        body = await read_body(SCOPE, uplink)
        assert body == Body(data=b"a" * 80 * KIB)

    @pytest.mark.usefixtures("runtime")
    @pytest.mark.parametrize("path", [COMPLETIONS, "/api/v2/auth/token/", "/static/x"])
    async def test_it_is_answered_with_408_and_the_connection_ends(self, path: str) -> None:
        authorization = await sync_to_async(bearer)()
        answer = await ask(path, headers={b"authorization": authorization.encode()}, pieces=[b"{"], ends=False)
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        error = json.loads(answer.body)["error"]
        assert (error["code"], error["type"], error["retryable"]) == ("request_timeout", "invalid_request_error", True)

    @pytest.mark.usefixtures("runtime")
    async def test_a_late_one_with_a_key_is_not_taken_for_another_body(self) -> None:
        headers = {b"authorization": (await sync_to_async(bearer)()).encode(), b"idempotency-key": b"k"}
        good = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()
        assert (await ask(COMPLETIONS, headers=headers, pieces=[good])).status == 200
        assert (await ask(COMPLETIONS, headers=headers, pieces=[good[:9]], ends=False)).status == 408
        again = await ask(COMPLETIONS, headers=headers, pieces=[good])
        assert (again.status, again.headers["idempotent-replay"]) == (200, "true")


class TestTurns:
    """While others ask, a piece of a body begins in a turn of the loop, however many are there."""

    @staticmethod
    def ready(pieces: int) -> tuple[list[int], Any]:
        asked = [0]

        async def receive() -> Mapping[str, Any]:
            asked[0] += 1
            return piece(b"a" * KIB, more=asked[0] < pieces)

        return asked, receive

    @staticmethod
    async def most_in_a_turn(work: Any, asked: list[int]) -> int:
        for caller in ("ann", "mal"):
            LOOP_TURNS.begins(caller)
        working = asyncio.ensure_future(work)
        most = 0
        while not working.done():
            before = asked[0]
            await asyncio.sleep(0)
            most = max(most, asked[0] - before)
        await working
        return most

    async def test_one_is_read(self) -> None:
        asked, receive = self.ready(50)
        # The first comes with its request, whose turn it was.
        assert await self.most_in_a_turn(read_body({**SCOPE, CALLER: "mal"}, receive), asked) <= 2
        assert asked == [50]

    async def test_one_is_dropped_behind_an_answer(self) -> None:
        async def send(message: Mapping[str, Any]) -> None:
            pass

        asked, receive = self.ready(50)
        _, send_first = answer_first({CALLER: "mal"}, receive, send)
        answer = send_first({"type": "http.response.body", "body": b"no"})
        assert await self.most_in_a_turn(answer, asked) <= 2
        assert asked == [50]

    async def test_where_too_many_wait_it_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loop_turns, "_MOST_OF_CALLER", 1)
        _, receive = self.ready(50)
        for caller in ("ann", "mal"):
            LOOP_TURNS.begins(caller)
        # One begins, and one is all that may wait.
        others = [asyncio.ensure_future(LOOP_TURNS.wait("mal")) for _ in range(2)]
        answer = await asyncio.ensure_future(read_body({**SCOPE, CALLER: "mal"}, receive))
        await asyncio.gather(*others)
        assert answer == Body(data=b"", crowded=True, unread=True)
        assert bodies._HELD.held_bytes == 0


def test_ten_seconds_are_given() -> None:
    assert BODY_S == 10


class TestMemory:
    async def test_what_is_arriving_is_bounded_for_all_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bodies._HELD, "most_bytes", 1000 * KIB)
        go_on = asyncio.Event()

        def sender(size_bytes: int, *, ends: bool = False) -> Any:
            messages = [piece(b"a" * size_bytes), piece(b"", more=False)]

            async def receive() -> Mapping[str, Any]:
                if len(messages) == 1 and not ends:
                    await go_on.wait()
                return messages.pop(0)

            return receive

        reads = [asyncio.ensure_future(read_body(SCOPE, sender(300 * KIB))) for _ in range(3)]
        await asyncio.sleep(0)
        assert await read_body(SCOPE, sender(310 * KIB)) == Body(data=b"", crowded=True, unread=True)
        # Another's is taken, and the largest of who holds most makes room for it.
        assert await read_body({**SCOPE, CALLER: "ann"}, sender(200 * KIB, ends=True)) == Body(data=b"a" * 200 * KIB)
        # Small ones are taken meanwhile.
        small = asyncio.ensure_future(read_body(SCOPE, sender(60 * KIB)))
        await asyncio.sleep(0)
        assert not small.done()
        go_on.set()
        taken = sorted(len(body.data) for body in await asyncio.gather(*reads, small) if body)
        assert taken == [0, 60 * KIB, 300 * KIB, 300 * KIB]
        # And the room is free again.
        assert bodies._HELD.held_bytes == 0
        assert await read_body(SCOPE, sender(300 * KIB)) == Body(data=b"a" * 300 * KIB)

    async def test_a_body_is_counted_until_it_is_let_go_of(self) -> None:
        messages = [piece(b"a" * KIB), piece(b"a" * KIB, more=False)]

        async def receive() -> Mapping[str, Any]:
            return messages.pop(0)

        body = await bodies.read_body(SCOPE, receive)
        assert body is not None
        assert bodies._HELD.held_bytes == len(body.data) == 2 * KIB
        body.let_go()
        assert bodies._HELD.held_bytes == len(body.data) == 0

    async def test_one_that_is_late_at_the_same_moment_is_no_fault_of_who_needs_room(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its time is over already when its room is wanted: it ends by itself, in the next turn of the loop."""
        loop = asyncio.get_running_loop()
        over_s = loop.time() + 0.2
        monkeypatch.setattr(bodies, "BODY_S", 0.1)
        monkeypatch.setattr(bodies, "BODY_BYTES_PER_S", 1e12)
        monkeypatch.setattr(bodies._HELD, "most_bytes", 1000 * KIB)
        another = bodies._HELD.open("ann", lambda: None)
        messages = [piece(b"a" * 700 * KIB)]

        async def receive() -> Mapping[str, Any]:
            return messages.pop() if messages else await silence()

        made_room = loop.create_future()

        def needs_room() -> None:
            another.hold(400 * KIB)
            made_room.set_result(None)

        def stand_still() -> None:
            while loop.time() < over_s:
                continue

        # All three are due when the loop goes on; the body's own clock is the first, and its task comes behind them.
        loop.call_at(over_s - 0.19, stand_still)
        loop.call_at(over_s, needs_room)
        assert await bodies.read_body(SCOPE, receive) == Body(data=b"", crowded=True, unread=True)
        assert made_room.done()
        assert bodies._HELD.held_bytes == another.size_bytes == 400 * KIB
        another.close()

    @pytest.mark.parametrize("end", ["disconnect", "overflow", "late", "cancel"])
    async def test_the_room_is_given_back_on_every_way_out(self, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bodies, "BODY_S", 0.05)
        monkeypatch.setattr(bodies, "BODY_BYTES_PER_S", 1e12)
        monkeypatch.setattr(bodies, "_DISCARD_S", 0.01)
        messages: list[Mapping[str, Any]] = [piece(b"a" * 500 * KIB)]
        more: dict[str, list[Mapping[str, Any]]] = {
            "disconnect": [{"type": "http.disconnect"}],
            "overflow": [piece(b"a" * MAX_BODY_BYTES)],
        }
        messages += more.get(end, [])

        async def receive() -> Mapping[str, Any]:
            return messages.pop(0) if messages else await silence()

        reading = asyncio.ensure_future(read_body(SCOPE, receive))
        if end == "cancel":
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert bodies._HELD.held_bytes == 500 * KIB
            reading.cancel()
        await asyncio.wait({reading})
        assert bodies._HELD.held_bytes == 0

    async def test_what_is_handed_over_is_its_new_owners_to_end(self) -> None:
        held = bodies._HELD.open("caller", lambda: None)
        body, told = Body(data=b"a", held=held), []
        held.hold(1)
        async with bodies.ended_at_bound(held):
            assert body.hand_over() is held
            held.on_given_up = lambda: told.append("new owner")
        body.let_go()
        assert bodies._HELD.held_bytes == 1
        held.give_up()
        assert (told, bodies._HELD.held_bytes) == (["new owner"], 0)

    @pytest.mark.usefixtures("runtime")
    async def test_what_makes_room_gets_a_503(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bodies._HELD, "most_bytes", 100 * KIB)
        headers = {b"authorization": (await sync_to_async(bearer)()).encode()}
        for path in (COMPLETIONS, "/api/v2/auth/token/"):
            answer = await ask(path, headers=headers, pieces=[b"a" * 101 * KIB], ends=False)
            assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "overloaded")
            assert answer.headers["connection"] == "close"
            assert int(answer.headers["retry-after"]) >= 1

    async def test_only_completions_may_hold_images(self) -> None:
        image = b'{"image_url":"' + b"a" * MAX_BODY_BYTES
        messages = [piece(image, more=False)]

        async def receive() -> Mapping[str, Any]:
            return messages[0]

        assert await read_body(SCOPE, receive, images=False) == Body(data=b"", overflowed=True)
        assert (await read_body(SCOPE, receive)) == Body(data=image)


PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 2 * MAX_BODY_BYTES}}
WITH_IMAGE = json.dumps({"messages": [{"role": "user", "content": [PART]}]}).encode()


def cut(body: bytes) -> list[bytes]:
    return [body[start : start + 256 * KIB] for start in range(0, len(body), 256 * KIB)]


@pytest.mark.usefixtures("runtime")
class TestLargeOnes:
    async def test_are_read_of_those_alone_who_are_logged_in(self) -> None:
        signed, ended = await sync_to_async(bearer)(), await sync_to_async(bearer)()
        await sync_to_async(lambda: User.objects.latest("pk").delete())()
        statuses = []
        for authorization in (signed, "", "Bearer x.y.z", f"{signed[:-4]}AAAA", ended):
            for declared in ({b"content-length": b"%d" % len(WITH_IMAGE)}, {b"transfer-encoding": b"chunked"}):
                headers = {b"authorization": authorization.encode(), b"content-type": b"application/json", **declared}
                answer = await ask(COMPLETIONS, headers=headers, pieces=cut(WITH_IMAGE))
                statuses.append((answer.status, answer.headers.get("connection")))
        # Of the others the first MiB at the most: their connections end.
        assert statuses == [(200, None)] * 2 + [(401, "close")] * 8

    async def test_are_on_the_account_of_a_user_who_was_not_known_before(self) -> None:
        scope: dict[str, Any] = {"headers": [(b"authorization", (await sync_to_async(bearer)()).encode())]}
        scope[CALLER] = "network"
        assert await _is_known(scope)
        assert scope[CALLER] == (await sync_to_async(User.objects.latest)("pk")).pk

    async def test_who_waits_for_an_answer_holds_none(self) -> None:
        headers = {
            b"authorization": (await sync_to_async(bearer)()).encode(),
            b"idempotency-key": b"k",
            b"x-mock-scenario": b"stall",
        }
        asking = [asyncio.ensure_future(ask(COMPLETIONS, headers=headers, pieces=cut(WITH_IMAGE))) for _ in range(3)]
        held = bodies._HELD
        async with asyncio.timeout(HANG_S):
            while not held.held_bytes:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0)
            while held.held_bytes:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert [one.done() for one in asking] == [False] * 3
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def test_one_whose_answer_has_not_begun_makes_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        held, supervisor = bodies._HELD, get_supervisor()
        (mock,) = supervisor.chain.providers
        monkeypatch.setattr(mock, "_slow_first_token_s", HANG_S)
        monkeypatch.setattr(held, "most_bytes", len(WITH_IMAGE) * 5 // 2)
        headers = {b"authorization": (await sync_to_async(bearer)()).encode()}
        silent = {**headers, b"x-mock-scenario": b"slow_first_token"}
        larger = [*cut(WITH_IMAGE), b" " * KIB]
        waiting = asyncio.ensure_future(ask(COMPLETIONS, headers=silent, pieces=larger))
        async with asyncio.timeout(HANG_S):
            while not supervisor.slots.active:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0)
        assert held.held_bytes == parse_request(WITH_IMAGE).memory_bytes(len(WITH_IMAGE) + KIB)
        assert (await ask(COMPLETIONS, headers=headers, pieces=cut(WITH_IMAGE))).status == 200
        refused = await waiting
        assert (refused.status, json.loads(refused.body)["error"]["code"]) == (503, "overloaded")
        assert (held.held_bytes, supervisor.slots.active) == (0, 0)

    async def test_one_that_its_view_has_not_read_makes_room(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The first look at a token asks the database, for which requests may have to wait."""
        headers = {b"authorization": (await sync_to_async(bearer)()).encode()}
        over = threading.Event()
        threads = DATABASE._idle_threads
        busy = [asyncio.ensure_future(DATABASE.run(user_share(-number), over.wait)) for number in range(threads)]
        waiting = asyncio.ensure_future(ask(COMPLETIONS, headers=headers, pieces=cut(WITH_IMAGE)))
        try:
            async with asyncio.timeout(HANG_S):
                while bodies._HELD.held_bytes < len(WITH_IMAGE):  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0)
            monkeypatch.setattr(bodies._HELD, "most_bytes", len(WITH_IMAGE))
            another = bodies._HELD.open("ann", lambda: None)
            another.hold(1)
            answer = await waiting
            assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "overloaded")
            assert bodies._HELD.held_bytes == 1
            another.close()
            # Its client has not left.
            statuses = [
                vars(record)["fields"]["status"] for record in caplog.records if record.name == "promptcraft.request"
            ]
            assert statuses == [503]
        finally:
            over.set()
            await asyncio.gather(*busy)

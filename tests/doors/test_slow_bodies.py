"""A body has its time, all bodies together have their memory; what is too late or too much is answered, not kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.chat import body as bodies
from apps.chat.body import BODY_S, CALLER, MAX_BODY_BYTES, Body, read_body
from tests.doors.in_process import ask, bearer

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


def test_ten_seconds_are_given() -> None:
    assert BODY_S == 10


class TestMemory:
    async def test_what_is_arriving_is_bounded_for_all_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bodies._ARRIVING, "most_bytes", 1000 * KIB)
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
        assert bodies._ARRIVING.held_bytes == 0
        assert await read_body(SCOPE, sender(300 * KIB)) == Body(data=b"a" * 300 * KIB)

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
            assert bodies._ARRIVING.held_bytes == 500 * KIB
            reading.cancel()
        await asyncio.wait({reading})
        assert bodies._ARRIVING.held_bytes == 0

    @pytest.mark.usefixtures("runtime")
    async def test_what_makes_room_gets_a_503(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bodies._ARRIVING, "most_bytes", 100 * KIB)
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

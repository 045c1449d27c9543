"""The clients of a soak: each worker opens one stream after the other, does something with it, and checks it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from benchmarks.soak.client import Answer, Client, Exchange
from benchmarks.soak.plan import Plan, random_plan
from benchmarks.soak.upstream import SoakUpstream
from benchmarks.soak.users import User

__all__ = ["Churn"]

_PATH = "/api/v2/chat/completions/"
_MOST_FAULTS = 50
"""Faults kept in words; the rest are counted."""
_MOST_LOOKS = 10
_STUCK_BYTES = 4096
_CLOSED_WITHIN_S = 1.0
"""What the contract promises for the upstream of a client that leaves, and of a cancel."""
_CLOSED_GRACE_S = 4.0
"""What a loaded machine may add to it before it counts as a fault; what was over the promise is counted apart."""

Turn = Callable[["Churn", User, Plan], Awaitable[None]]


class Churn:
    """What all workers share: the plans' seeds, what was done, what was wrong."""

    def __init__(
        self, client: Client, upstream: SoakUpstream, *, seed: int, longest_s: float, stuck_s: float, away_s: float
    ) -> None:
        self.turns: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.first_faults: list[str] = []
        self.tokens = 0
        self.slow_to_close = 0
        self.slowest_close_s = 0.0
        self.gone_s = 2.0
        """How long a client that takes nothing keeps its connection; past 60 s the service ends it."""
        self._client = client
        self._upstream = upstream
        self._chance = random.Random(seed)
        self._longest_s = longest_s
        self._stuck_s = stuck_s
        self._away_s = away_s
        self._next_seed = seed * 1_000_000

    @property
    def names(self) -> tuple[str, ...]:
        """All that a client may do."""
        return tuple(_TURNS)

    async def work(self, user: User, until_s: float) -> None:
        """Open streams until then, and end the last one as it was meant to end."""
        names, weights = [*_TURNS], [weight for _, weight in _TURNS.values()]
        while time.monotonic() < until_s:
            await self.turn(self._chance.choices(names, weights)[0], user)

    async def turn(self, name: str, user: User) -> None:
        """Do one thing once."""
        self._next_seed += 1
        plan = random_plan(self._chance, self._next_seed, self._longest_s)
        self.turns[name] += 1
        try:
            await _TURNS[name][0](self, user, plan)
        except (OSError, ValueError, KeyError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.fault(name, plan, f"{type(error).__name__}: {error}")

    def fault(self, name: str, plan: Plan, what: str) -> None:
        """Keep one fault."""
        self.faults[name] += 1
        if len(self.first_faults) < _MOST_FAULTS:
            self.first_faults.append(f"{name}: {what} ({plan})")

    # --- what turns are made of

    async def _open(
        self, user: User, plan: Plan, *, key: str = "", receive_buffer_bytes: int = 0, **fields: object
    ) -> Exchange:
        body = {"messages": [{"role": "user", "content": str(plan)}], "stream": True, "on_interrupt": "error", **fields}
        exchange = await self._client.open(
            "POST",
            _PATH,
            token=user.access,
            body=body,
            headers={"Idempotency-Key": key} if key else None,
            receive_buffer_bytes=receive_buffer_bytes,
        )
        await exchange.read_head()
        return exchange

    async def _follow(self, user: User, completion_id: str, after: int) -> Exchange:
        exchange = await self._client.open("GET", f"{_PATH}{completion_id}/events/?after={after}", token=user.access)
        await exchange.read_head()
        exchange.answer.completion_id = completion_id
        exchange.answer.last_id = after
        return exchange

    def _ended(self, answer: Answer) -> str:
        return f"ended with {answer.finish}, done {answer.done}, clean {answer.clean}, error {answer.error_code}"

    def _complete(self, name: str, plan: Plan, answer: Answer, text: str | None = None) -> None:
        """Check that a stream is whole: every byte, one finish, [DONE]."""
        text = answer.text if text is None else text
        problems = list(answer.faults)
        if answer.status != 200:
            problems.append(f"status {answer.status}")
        elif text != plan.text:
            problems.append(f"{len(text)} characters instead of {len(plan.text)}, or others")
        elif (answer.finish, answer.done, answer.clean) != ("stop", True, True):
            problems.append(self._ended(answer))
        self.tokens += plan.tokens
        self._say(name, plan, problems)

    def _part(
        self, name: str, plan: Plan, answer: Answer, *, finish: str | None, done: bool, clean: bool = True
    ) -> None:
        """Check that a stream is a true beginning and ends as it was made to."""
        problems = list(answer.faults)
        if answer.status != 200:
            problems.append(f"status {answer.status}")
        elif not plan.text.startswith(answer.text):
            problems.append("text that is no beginning of the plan's")
        elif (answer.finish, answer.done, answer.clean) != (finish, done, clean):
            problems.append(self._ended(answer))
        self._say(name, plan, problems)

    def _say(self, name: str, plan: Plan, problems: list[str]) -> None:
        for problem in problems:
            self.fault(name, plan, problem)

    async def _closed_upstream(self, name: str, plan: Plan, since_s: float) -> None:
        """Check that the upstream of an answer that nobody wants was let go of."""
        deadline_s = since_s + _CLOSED_WITHIN_S + _CLOSED_GRACE_S
        while plan.seed not in self._upstream.hung_up_at_s:
            if plan.seed in self._upstream.finished:
                # The client was so slow that there was nothing left to leave.
                return
            if time.monotonic() > deadline_s:
                self.fault(name, plan, "the upstream was not let go of")
                return
            await asyncio.sleep(0.02)
        took_s = self._upstream.hung_up_at_s.pop(plan.seed) - since_s
        self.slowest_close_s = max(self.slowest_close_s, took_s)
        if took_s > _CLOSED_WITHIN_S:
            self.slow_to_close += 1

    # --- the turns

    async def read(self, user: User, plan: Plan) -> None:
        """Read an answer to its end."""
        exchange = await self._open(user, plan)
        self._complete("read", plan, await exchange.read_to_end())

    async def whole(self, user: User, plan: Plan) -> None:
        """Ask without streaming."""
        exchange = await self._open(user, plan, stream=False)
        data = await exchange.body()
        exchange.close()
        if exchange.answer.status != 200 or not data:
            self.fault("whole", plan, f"status {exchange.answer.status}")
            return
        exchange.answer.take_whole(data)
        self._complete("whole", plan, exchange.answer)

    async def leave(self, user: User, plan: Plan) -> None:
        """Leave in the middle: with a goodbye or without."""
        plan = _long_enough(plan)
        exchange = await self._open(user, plan)
        read = await exchange.read_events(self._chance.randrange(1, plan.tokens // 2 + 1))
        if self._chance.random() < 0.5:
            exchange.close()
        else:
            exchange.reset()
        self._part("leave", plan, exchange.answer, finish=None, done=False, clean=False)
        if read:
            await self._closed_upstream("leave", plan, time.monotonic())

    async def leave_early(self, user: User, plan: Plan) -> None:
        """Leave before the first event, the head unread or not even there."""
        plan = replace(_long_enough(plan), interval_ms=400)
        body = {"messages": [{"role": "user", "content": str(plan)}], "stream": True}
        exchange = await self._client.open("POST", _PATH, token=user.access, body=body)
        await asyncio.sleep(self._chance.random() * 0.1)
        exchange.close()
        # The request may have been let go of before it reached the upstream: nothing is to be seen there then.
        self._upstream.hung_up_at_s.pop(plan.seed, None)

    async def cancel(self, user: User, plan: Plan) -> None:
        """Cancel from another connection."""
        plan = _long_enough(plan)
        exchange = await self._open(user, plan)
        await exchange.read_events(self._chance.randrange(1, plan.tokens // 2 + 1))
        since_s = time.monotonic()
        status, _ = await self._client.call(
            "POST", f"{_PATH}{exchange.answer.completion_id}/cancel/", token=user.access
        )
        answer = await exchange.read_to_end()
        if status != 200:
            self.fault("cancel", plan, f"the cancel answered {status}")
        self._part("cancel", plan, answer, finish="cancelled", done=True)
        await self._closed_upstream("cancel", plan, since_s)

    async def resume(self, user: User, plan: Plan) -> None:
        """Lose the connection, come back, and read on."""
        exchange = await self._open(user, plan, on_disconnect="continue")
        first = exchange.answer
        await exchange.read_events(self._chance.randrange(1, plan.tokens + 1))
        if first.done:
            exchange.close()
            self._complete("resume", plan, first)
            return
        exchange.reset()
        left_at_s = time.monotonic()
        await asyncio.sleep(self._chance.random() * self._away_s)
        following = await self._follow(user, first.completion_id, first.last_id)
        if following.answer.status not in (200, 204):
            away_s = time.monotonic() - left_at_s
            self.fault("resume", plan, f"{following.answer.status} after {away_s:.1f} s, {first.events} events read")
        second = await following.read_to_end()
        if second.status == 204:
            second.status, second.finish, second.done, second.clean = 200, first.finish, True, True
        second.finish = second.finish or first.finish
        self._complete("resume", plan, second, first.text + second.text)

    async def tabs(self, user: User, plan: Plan) -> None:
        """Follow one answer from two connections."""
        exchange = await self._open(user, plan)
        following = await self._follow(user, exchange.answer.completion_id, 0)
        for answer in await asyncio.gather(exchange.read_to_end(), following.read_to_end()):
            self._complete("tabs", plan, answer)

    async def replay(self, user: User, plan: Plan) -> None:
        """Ask twice with one key: while it runs, or when it has finished."""
        key = f"soak-{plan.seed}"
        first = await self._open(user, plan, key=key)
        if self._chance.random() < 0.5:
            answers = [await first.read_to_end(), await (await self._open(user, plan, key=key)).read_to_end()]
        else:
            second = await self._open(user, plan, key=key)
            answers = list(await asyncio.gather(first.read_to_end(), second.read_to_end()))
        if answers[1].headers.get("idempotent-replay") != "true":
            self.fault("replay", plan, "the second was not a replay")
        for answer in answers:
            self._complete("replay", plan, answer)

    async def stuck(self, user: User, plan: Plan) -> None:
        """Take nothing for a while, far more than any buffer behind, and then take it all."""
        plan = replace(plan, tokens=250, interval_ms=4, size=4000)
        exchange = await self._open(user, plan, receive_buffer_bytes=_STUCK_BYTES)
        await exchange.read_events(1)
        await asyncio.sleep(self._stuck_s)
        self._complete("stuck", plan, await exchange.read_to_end())

    async def gone(self, user: User, plan: Plan) -> None:
        """Take nothing, and never again."""
        plan = replace(plan, tokens=250, interval_ms=4, size=4000)
        exchange = await self._open(user, plan, receive_buffer_bytes=_STUCK_BYTES)
        await exchange.read_events(1)
        await asyncio.sleep(self.gone_s)
        exchange.reset()
        self._part("gone", plan, exchange.answer, finish=None, done=False, clean=False)

    async def cut(self, user: User, plan: Plan) -> None:
        """Have the upstream break off."""
        kind = self._chance.choice(("cut", "reset", "error", "no_finish", "stall"))
        plan = replace(plan, fault=kind, at=self._chance.randrange(1, plan.tokens), failing=("deepseek",))  # type: ignore[arg-type]
        answer = await (await self._open(user, plan)).read_to_end()
        self._part("cut", plan, answer, finish="error", done=False)
        if answer.events and answer.error_code is None:
            self.fault("cut", plan, "no error in the stream")
        self._upstream.hung_up_at_s.pop(plan.seed, None)

    async def failover(self, user: User, plan: Plan) -> None:
        """Have the first provider fail before any content."""
        plan = replace(plan, fault=self._chance.choice(("busy", "cut", "error")), failing=("deepseek",))
        answer = await (await self._open(user, plan)).read_to_end()
        if answer.headers.get("x-promptcraft-provider") != "openai":
            self.fault("failover", plan, f"status {answer.status} of {answer.headers.get('x-promptcraft-provider')}")
        self._complete("failover", plan, answer)

    async def refuse(self, user: User, plan: Plan) -> None:
        """Have every provider fail, or the request refused."""
        kind = self._chance.choice(("busy", "reject"))
        plan = replace(plan, fault=kind, failing=("deepseek", "openai"))  # type: ignore[arg-type]
        exchange = await self._open(user, plan)
        await exchange.body()
        exchange.close()
        if exchange.answer.status != {"busy": 502, "reject": 400}[kind]:
            self.fault("refuse", plan, f"status {exchange.answer.status}")

    async def look(self, user: User, plan: Plan) -> None:
        """List, and look at one."""
        status, page = await self._look_at(user, "?limit=5")
        if status == 200 and page["data"]:
            status, _ = await self._look_at(user, f"{page['data'][0]['id']}/")
        if status != 200:
            self.fault("look", plan, f"status {status}")

    async def _look_at(self, user: User, what: str) -> tuple[int, Any]:
        """Ask again as told where too much of the user's waits for the database, as on a busy machine; ten times."""
        for _ in range(_MOST_LOOKS):
            status, body = await self._client.call("GET", f"{_PATH}{what}", token=user.access)
            if status != 429:
                break
            await asyncio.sleep(body["error"]["retry_after"])
        return status, body


_TURNS: dict[str, tuple[Turn, float]] = {
    "read": (Churn.read, 34),
    "whole": (Churn.whole, 8),
    "leave": (Churn.leave, 14),
    "leave_early": (Churn.leave_early, 3),
    "cancel": (Churn.cancel, 9),
    "resume": (Churn.resume, 9),
    "tabs": (Churn.tabs, 4),
    "replay": (Churn.replay, 6),
    "stuck": (Churn.stuck, 1),
    "gone": (Churn.gone, 0.3),
    "cut": (Churn.cut, 7),
    "failover": (Churn.failover, 3),
    "refuse": (Churn.refuse, 2),
    "look": (Churn.look, 3),
}


def _long_enough(plan: Plan) -> Plan:
    """Return a plan that cannot end by itself before its client has done what it means to do."""
    return replace(plan, tokens=max(plan.tokens, 4 + 6000 // plan.interval_ms))

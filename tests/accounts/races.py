"""Seeded races over the services of refresh families: several tabs, several families, thieves, and what must hold.

    python -m tests.accounts.races --count 10000

runs them on the database of the environment, which it migrates first. Each thread has a connection of its own, as each
worker process would. A seed decides who takes part and when each sets off; who wins is up to the machine.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from apps.accounts.tokens import TokenPair

__all__ = ["ENDS", "Broken", "crowd", "race"]

MOST_AT_ONCE = 8
ENDS = ("none", "theft", "log_out", "disabled", "password", "deleted", "none", "none")
"""What befalls the family while its last refreshes run; most live on."""


class Broken(AssertionError):
    """A race ended as none may; the message names its seed."""


@dataclass
class Race:
    """One family of one user, and everything that was answered for it."""

    seed: int
    user: User
    pool: ThreadPoolExecutor
    random: random.Random
    answers: dict[str, set[TokenPair]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, holds: object, what: str) -> None:
        """Raise `Broken` unless something holds."""
        if not holds:
            raise Broken(f"seed {self.seed}: {what}")

    def refresh(self, token: str) -> TokenPair | None:
        """Refresh and note the answer; None if it was refused."""
        from apps.accounts.families import token_rotate
        from apps.llm.errors import AuthenticationFailed

        try:
            pair = token_rotate(refresh=token)
        except AuthenticationFailed:
            with self.lock:
                self.refused[token] += 1
            return None
        with self.lock:
            self.answers.setdefault(token, set()).add(pair)
        return pair

    def together(self, *works: Callable[[], Any]) -> list[Any]:
        """Run works side by side, each setting off at a seeded moment of the first millisecond."""
        start, never = threading.Barrier(len(works)), threading.Event()

        def run(work: Callable[[], Any], delay_s: float) -> Any:
            start.wait(20)
            never.wait(delay_s)
            return work()

        delays = [self.random.choice((0.0, self.random.uniform(0, 0.001))) for _ in works]
        futures = [self.pool.submit(run, work, delay) for work, delay in zip(works, delays, strict=True)]
        return [future.result(60) for future in futures]


def race(seed: int, pool: ThreadPoolExecutor) -> str:
    """Run one race and return how its family ended. Raises Broken. The pool has at least MOST_AT_ONCE threads."""
    from django.contrib.auth.models import User

    from apps.accounts.families import family_open

    own = random.Random(seed)
    user = User.objects.create(username=f"racer-{seed}-{uuid.uuid4().hex[:8]}", password=f"!{uuid.uuid4().hex}")
    this = Race(seed=seed, user=user, pool=pool, random=own)
    first = family_open(user=user)
    held = [first]
    for _ in range(own.randint(1, 3)):
        held.append(_round(this, held))
    _lives(this, held)
    end = own.choice(ENDS)
    if end != "none":
        _end(this, held, end)
    User.objects.filter(pk=user.pk).delete()
    return end


def _round(this: Race, held: list[TokenPair]) -> TokenPair:
    """Several tabs refresh the newest token, some an older one, some go on at once; others do other things."""
    from apps.accounts.families import expired_purge, family_open, family_revoke, token_owner
    from apps.accounts.tokens import verify_access, verify_refresh

    newest = held[-1]

    def tab() -> None:
        this.refresh(newest.refresh)

    def late_tab() -> None:
        this.refresh(this.random.choice(held).refresh)

    def hasty_tab() -> None:
        pair = this.refresh(newest.refresh)
        if pair is not None:
            this.refresh(pair.refresh)

    def reader() -> None:
        this.check(token_owner(verify_access(newest.access)), "a living access token was refused")
        this.check(token_owner(verify_refresh(newest.refresh)), "a living refresh token was refused")

    def other_log_in() -> None:
        other = family_open(user=this.user)
        this.check(this.refresh(other.refresh), "a fresh log-in was refused")
        family_revoke(refresh=other.refresh)

    def purge() -> None:
        from django.utils import timezone

        expired_purge(now=timezone.now())

    tabs = [tab] * this.random.randint(2, 4)
    others = this.random.choices((late_tab, hasty_tab, reader, other_log_in, purge), k=this.random.randint(0, 3))
    works = [*tabs, *others]
    this.random.shuffle(works)
    this.together(*works)
    head = newest
    while head.refresh in this.answers:
        this.check(len(this.answers[head.refresh]) == 1, "one token, two successors")
        (head,) = this.answers[head.refresh]
    return head


def _lives(this: Race, held: list[TokenPair]) -> None:
    """One chain, nobody refused, everybody answered alike."""
    from apps.accounts.families import token_owner
    from apps.accounts.models import RefreshFamily, RefreshToken
    from apps.accounts.tokens import verify_access, verify_refresh

    this.check(not this.refused, f"refused without a reason: {sum(this.refused.values())}")
    claims = verify_refresh(held[0].refresh)
    this.check(RefreshFamily.objects.get(pk=claims.family_id).revoked_at is None, "the family died")
    rows = {row.jti: row for row in RefreshToken.objects.filter(family=claims.family_id)}
    row, seen = rows[claims.jti], 1
    while row.successor is not None:
        row, seen = rows[row.successor], seen + 1
    this.check(seen == len(rows), f"{len(rows)} tokens, {seen} of them in the chain")
    head = held[-1]
    this.check(row.jti == verify_refresh(head.refresh).jti, "the chain ends in a token that nobody holds")
    this.check(row.rotated_at is None, "the last token is used")
    this.check(token_owner(verify_access(head.access)), "the last access token is dead")


def _end(this: Race, held: list[TokenPair], end: str) -> None:
    """End the family while its tabs refresh; whatever was answered, nothing of it lives."""
    from django.contrib.auth.models import User

    from apps.accounts.families import REPLAY_WINDOW_S, family_revoke, token_owner
    from apps.accounts.models import RefreshToken
    from apps.accounts.tokens import verify_access, verify_refresh

    newest = held[-1]
    person = User.objects.filter(pk=this.user.pk)
    if end == "theft":
        # What the clock would do.
        used_at = RefreshToken.objects.get(pk=verify_refresh(held[0].refresh).jti).rotated_at
        assert used_at is not None
        RefreshToken.objects.filter(pk=verify_refresh(held[0].refresh).jti).update(
            rotated_at=used_at - timedelta(seconds=REPLAY_WINDOW_S + 60)
        )
    fate: dict[str, Callable[[], Any]] = {
        "theft": lambda: this.check(this.refresh(held[0].refresh) is None, "a stolen token was answered"),
        "log_out": lambda: family_revoke(refresh=this.random.choice(held).refresh),
        "disabled": lambda: person.update(is_active=False),
        "password": lambda: person.update(password=f"!{uuid.uuid4().hex}"),
        "deleted": lambda: _deleted(person),
    }

    def chain() -> None:
        pair: TokenPair | None = newest
        for _ in range(4):
            pair = pair and this.refresh(pair.refresh)

    this.together(fate[end], *[chain] * this.random.randint(1, 3), lambda: this.refresh(newest.refresh))
    issued = {pair for pairs in this.answers.values() for pair in pairs} | set(held)
    for pair in issued:
        this.check(this.refresh(pair.refresh) is None, f"a refresh token survived: {end}")
        this.check(token_owner(verify_access(pair.access)) is None, f"an access token survived: {end}")


def crowd(count: int, pool: ThreadPoolExecutor) -> None:
    """Refresh one token so many times at the same moment; one chain must come of it. Raises Broken."""
    from django.contrib.auth.models import User

    from apps.accounts.families import family_open

    user = User.objects.create(username=f"crowd-{uuid.uuid4().hex}", password=f"!{uuid.uuid4().hex}")
    this = Race(seed=0, user=user, pool=pool, random=random.Random(0))
    first = family_open(user=user)
    this.together(*[lambda: this.refresh(first.refresh)] * count)
    this.check(len(this.answers.get(first.refresh, ())) == 1, "one token, two successors")
    _lives(this, [first, *this.answers[first.refresh]])


def _deleted(person: Any) -> None:
    from django.db import IntegrityError

    while True:
        try:
            person.delete()
        except IntegrityError:
            # A token was made between Django's look for what hangs on the user and its deletion.
            continue
        return


def main() -> None:
    """Run races on the database of the environment and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--crowd", type=int, default=0, help="so many more refresh one token at the same moment")
    parser.add_argument("--seed", type=int, default=0, help="of the first race; the next has the next")
    options = parser.parse_args()

    import django
    from django.conf import settings

    # Each thread keeps a connection, and there are more of them than a pool has, or than have their turn within a
    # request's time.
    options_of_database = settings.DATABASES["default"].get("OPTIONS", {})
    options_of_database.pop("pool", None)
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        options_of_database["timeout"] = 30
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0, interactive=False)
    ends: Counter[str] = Counter()
    began_s = time.monotonic()
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        for seed in range(options.seed, options.seed + options.count):
            ends[race(seed, pool)] += 1
            if sum(ends.values()) % 1000 == 0:
                print(f"{sum(ends.values())} races after {time.monotonic() - began_s:.0f} s", flush=True)
    if options.crowd:
        with ThreadPoolExecutor(options.crowd) as pool:
            crowd(options.crowd, pool)
    print(f"{options.count} races on {connection.vendor}: no spurious log-out, ends {dict(sorted(ends.items()))}")


if __name__ == "__main__":
    main()

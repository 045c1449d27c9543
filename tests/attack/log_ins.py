"""Attacks on the log-in: guesses, and the work that each costs."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

from tests.attack.results import Attack, NotTried, Result, attack, broken, held
from tests.attack.target import Account, Answer, Target

__all__ = ["ATTACKS"]

_TIMES = 40
_ROUNDS = 4
"""A full queue refuses some with 503, which is no limit."""
_MOST_OF_ADDRESS = 20
_MOST_OF_NAME = 5
_MINUTE_S = 60.0


@attack("40 log-ins at once with a right password, while another user logs in")
def right_passwords(target: Target) -> Result:
    """Hashing is slow on purpose; one user must not take all of it."""
    attacker, other = target.attacker, target.other
    if attacker is None or other is None:
        raise NotTried("needs two users: --user and --other-user")
    alone = target.log_in(other)
    if alone.status != 200:
        raise NotTried(f"{other.name} cannot log in: {alone.status}")
    flood = threading.Thread(target=lambda: target.at_once(_TIMES, lambda _: target.log_in(attacker)), daemon=True)
    flood.start()
    during = [target.log_in(other) for _ in range(3)]
    flood.join(60)
    worst = max(during, key=lambda answer: answer.took_s)
    refused = [answer.status for answer in during if answer.status != 200]
    if refused:
        return broken(f"the other user is refused: {refused}")
    if worst.took_s > 3 * alone.took_s + 2:
        return broken(f"the other user waits {worst.took_s:.1f} s instead of {alone.took_s:.1f} s")
    return held(f"the other user waits {worst.took_s:.1f} s at the most, {alone.took_s:.1f} s without it")


@attack("guesses of one name at once")
def one_name(target: Target) -> Result:
    """Many at once must not all pass the look at the count."""
    name = f"attack-{secrets.token_hex(6)}"
    return _judged(_told_until_refused(target, lambda _: name), _MOST_OF_NAME, "for one name")


@attack("guesses of many names from one address at once")
def one_address(target: Target) -> Result:
    """The same for an address."""
    told = _told_until_refused(target, lambda _: f"attack-{secrets.token_hex(6)}")
    return _judged(told, _MOST_OF_ADDRESS, "from one address")


@attack("guesses across a minute's edge", is_thorough=True)
def minutes_edge(target: Target) -> Result:
    """In any 60 s, not in those of a clock."""
    told_at_s: list[float] = []
    ends_s = time.monotonic() + 1.5 * _MINUTE_S
    while time.monotonic() < ends_s:
        told_at_s += [time.monotonic()] * _told_wrong(
            _guess(target, lambda _: f"attack-{secrets.token_hex(6)}", times=10)
        )
        threading.Event().wait(1.0)
    most = max((sum(0 <= later - first < _MINUTE_S for later in told_at_s) for first in told_at_s), default=0)
    return _judged(most, _MOST_OF_ADDRESS, "in some 60 s")


def _told_until_refused(target: Target, name: Callable[[int], str]) -> int:
    """Guess in rounds until each guess of one is refused; return how many were told that they are wrong."""
    told = 0
    for _ in range(_ROUNDS):
        answers = _guess(target, name)
        told += _told_wrong(answers)
        if all(answer.status == 429 for answer in answers):
            break
    return told


def _guess(target: Target, name: Callable[[int], str], times: int = _TIMES) -> list[Answer]:
    return target.at_once(times, lambda number: target.log_in(Account(name=name(number), password="a wrong guess")))


def _told_wrong(answers: list[Answer]) -> int:
    statuses = [answer.status for answer in answers]
    if not set(statuses) <= {401, 429, 503}:
        raise NotTried(f"log-ins are answered with {sorted(set(statuses))}")
    return statuses.count(401)


def _judged(told: int, most: int, where: str) -> Result:
    if told == 0:
        raise NotTried("this address may not log in at the moment: try again in a minute")
    seen = f"{told} guesses {where} are told that they are wrong"
    return held(seen) if told <= most else broken(f"{seen}, not {most} at the most")


# The one that leaves no log-ins for this address comes last.
ATTACKS: tuple[Attack, ...] = (right_passwords, one_name, one_address, minutes_edge)

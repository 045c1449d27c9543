"""One attack after the other, each within its time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from tests.attack import framing, library, log_ins, names, providers, secrets, workbench
from tests.attack.results import Attack, NotTried, Result, Verdict, broken
from tests.attack.target import Target

__all__ = ["ATTACKS", "run_attacks"]

# Those that count failed log-ins come last: afterwards this address cannot log in for a minute.
_FAMILIES = (framing, names, secrets, library, workbench, providers, log_ins)
ATTACKS: tuple[Attack, ...] = tuple(attack for family in _FAMILIES for attack in family.ATTACKS)
_MOST_S = 120.0


def run_attacks(
    target: Target, attacks: Sequence[Attack], *, thorough: bool = False
) -> Iterator[tuple[Attack, Result]]:
    """Run attacks, and yield each with its result as it ends. After each the server has to be alive still."""
    for attack in attacks:
        if attack.is_thorough and not thorough:
            yield attack, _not_tried("takes over a minute: give --thorough")
            continue
        yield attack, _run(target, attack)


def _run(target: Target, attack: Attack) -> Result:
    results: list[Result] = []

    def run() -> None:
        try:
            results.append(attack.run(target))
        except NotTried as reason:
            results.append(_not_tried(str(reason)))
        except OSError as error:
            results.append(_not_tried(f"the connection failed: {type(error).__name__}"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_MOST_S)
    if not target.call("GET", "/api/v2/chat/health/live/").status:
        return broken("the server does not answer any more")
    return results[0] if results else _not_tried(f"it did not come to an end in {_MOST_S:g} s")


def _not_tried(reason: str) -> Result:
    return Result(verdict=Verdict.NOT_TRIED, seen=reason)

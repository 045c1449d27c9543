"""Attacks on the prompt workbench: queues that one user fills for all."""

from __future__ import annotations

import threading

from tests.attack.results import Attack, NotTried, Result, attack, broken, held
from tests.attack.target import Answer, Target

__all__ = ["ATTACKS"]

_TIMES = 100
_MOST_WAIT_S = 2.0


@attack("100 intents at once, while another user searches and chats")
def many_intents(target: Target) -> Result:
    """Its worst must make nobody wait long."""
    attacker, other = target.attacker, target.other
    if attacker is None or other is None:
        raise NotTried("needs two users: --user and --other-user")
    token, others = target.token(attacker), target.token(other)

    def search() -> Answer:
        return target.call("GET", "/api/v2/templates/search/?q=email", token=others)

    def chat() -> Answer:
        body = {"messages": [{"role": "user", "content": "Say hello"}]}
        return target.call("POST", "/api/v2/chat/completions/", token=others, body=body)

    # A completion of somebody else's server would be billed.
    asked = {"search": search} | ({"chat": chat} if target.own is not None else {})
    calm_s = {name: target.calm_s(call, times=3) for name, call in asked.items()}
    query = {"query": "Write me a long and friendly e-mail about the launch of our product. " * 40}

    def intent(_: int) -> Answer:
        return target.call("POST", "/api/v2/prompts/intent/", token=token, body=query, wait_s=60)

    statuses: list[int] = []
    flood = threading.Thread(
        target=lambda: statuses.extend(one.status for one in target.at_once(_TIMES, intent)), daemon=True
    )
    flood.start()
    during = {name: call() for name, call in asked.items()}
    flood.join(60)
    if statuses.count(200) == 0:
        raise NotTried(f"the intents are answered with {sorted(set(statuses))}")
    for name, answer in during.items():
        if answer.status != 200 or answer.took_s > 3 * calm_s[name] + _MOST_WAIT_S:
            return broken(f"{name}: {answer.status} after {answer.took_s:.1f} s instead of {calm_s[name]:.1f} s")
    seen = ", ".join(f"{name} {answer.took_s:.1f} s ({calm_s[name]:.1f} s alone)" for name, answer in during.items())
    return held(f"{statuses.count(200)} of {_TIMES} are answered; the other user waits: {seen}")


ATTACKS: tuple[Attack, ...] = (many_intents,)

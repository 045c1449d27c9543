"""Attacks of a provider that answers with what takes long to read. They need the simulator of a server of our own."""

from __future__ import annotations

import json

from tests.attack.results import Attack, NotTried, Result, attack, broken, held
from tests.attack.target import Target
from tests.upstream import Flood, Scenario, Send, healthy, scripted

__all__ = ["ATTACKS"]

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
_MIB = 1024 * 1024
_MOST_STALL_S = 0.5


@attack("a provider's intent: a fence, 2,000 line ends and a letter")
def fenced_intent(target: Target) -> Result:
    """Whatever a provider wrote is scanned in a time that grows with its length."""
    text = "```" + "\n" * 2_000 + "x"
    return _while_reading(target, healthy(text), "/api/v2/prompts/intent/", {"query": "Write a launch e-mail"})


@attack("a provider's 16 MB of blank lines")
def blank_lines(target: Target) -> Result:
    """They are no events, and cost time all the same."""
    scenario = scripted(Send(_HEAD), Flood(16 * _MIB, b"\n"))
    return _while_reading(target, scenario, "/api/v2/chat/completions/", _CHAT)


@attack("a provider's 60,000 tool calls")
def tool_calls(target: Target) -> Result:
    """Each index is something to keep."""
    calls = [
        {"index": number, "id": f"call_{number}", "type": "function", "function": {"name": "x", "arguments": ""}}
        for number in range(60_000)
    ]
    events = b"".join(
        b"data: "
        + json.dumps(
            {"choices": [{"index": 0, "delta": {"tool_calls": calls[at : at + 500]}, "finish_reason": None}]}
        ).encode()
        + b"\n\n"
        for at in range(0, len(calls), 500)
    )
    return _while_reading(target, scripted(Send(_HEAD), Send(events)), "/api/v2/chat/completions/", _CHAT)


_CHAT = {"messages": [{"role": "user", "content": "Say hello"}], "stream": True, "fallback": False}


def _while_reading(target: Target, scenario: Scenario, path: str, body: object) -> Result:
    """Have the provider answer so, and watch how long others wait meanwhile."""
    if target.own is None:
        raise NotTried("the provider of a server cannot be played from outside")
    if target.attacker is None:
        raise NotTried("needs a user")
    token, upstream = target.token(target.attacker), target.own.upstream
    calm_s = target.calm_s()
    upstream.reset()
    for vendor in ("deepseek", "zai", "openai"):
        upstream.script(vendor, scenario)
    try:
        with target.watched() as waits:
            answer = target.call("POST", path, token=token, body=body, wait_s=60)
        asked = len(upstream.exchanges())
    finally:
        upstream.reset()
    if not asked:
        raise NotTried(f"the provider was not asked: {answer.status}")
    if waits.failures or waits.longest_s > calm_s + _MOST_STALL_S:
        return broken(f"others wait {waits.longest_s:.2f} s, {calm_s:.2f} s without it")
    return held(f"others wait {waits.longest_s:.2f} s at the most, {calm_s:.2f} s without it")


ATTACKS: tuple[Attack, ...] = (fenced_intent, blank_lines, tool_calls)

"""A deploy behind a proxy: the new server takes over, the old one drains, and nobody loses a word."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from tests.contract.limit_fixtures import COMPLETIONS, PROMPT, READY, Door, error_of, eventually
from tests.operations.conftest import beside
from tests.operations.proxies import HAProxy, Nginx, Proxy
from tests.sse_answer import collect
from tests.sse_client import SseStream, open_stream
from tests.upstream import Answer, Gate, healthy

PIECES = ("It ", "turns ", "at ", "six.")
OLD_LIMIT = "99999"
"""The rate limit of the server that is to be ended, by which its answers are known."""
KINDS: tuple[type[Proxy], ...] = (Nginx, HAProxy)


def test_a_deploy_loses_nothing(door: Door):
    """As the document says: reload, then SIGTERM. One proxy of each kind is reloaded, one forgotten."""
    new, old = door.server, beside(door.server, door.upstream, {"CHAT_RATE_LIMIT": f"{OLD_LIMIT}/m"})
    bearer = new.bearer()
    gate = Gate()
    held = healthy(answer=Answer(pieces=PIECES, reasoning=""), gate=gate, gate_after=1)
    with old, ExitStack() as stack:
        reloaded = [stack.enter_context(kind(old.port)) for kind in KINDS]
        forgotten = [stack.enter_context(kind(old.port)) for kind in KINDS]

        def ask(proxy: Proxy, **fields: object) -> SseStream:
            asked = {"messages": PROMPT} | fields
            return stack.enter_context(open_stream(proxy.url(COMPLETIONS), json=asked, headers=bearer))

        door.upstream.script("deepseek", held, times=len(KINDS) * 2)
        streams = [ask(proxy, stream=True) for proxy in (*reloaded, *forgotten)]
        gate.wait_reached(len(streams))
        for proxy in reloaded:
            proxy.point(new.port)
            # For a moment the old and the new listen side by side.
            eventually(partial(reaches_the_new, ask, proxy), "the new server's answer")
        old.terminate()
        eventually(lambda: old.call(READY, user=None)[0] == 503, "a drain")
        for proxy in reloaded:
            assert [served_by(ask(proxy)) for _ in range(5)] == ["new"] * 5
        for proxy, stream in zip(forgotten, streams[len(KINDS) :], strict=True):
            refused = ask(proxy)
            assert (refused.status, error_of(refused.json())["code"]) == (503, "draining")
            assert int(refused.headers["retry-after"]) >= 1
            # What runs can be seen to, and so be cancelled.
            completion_id = stream.headers["x-promptcraft-completion-id"]
            detail = stack.enter_context(open_stream(proxy.url(f"{COMPLETIONS}{completion_id}/"), headers=bearer))
            assert detail.json()["status"] == "in_progress"
        gate.release()
        for stream in streams:
            answer = collect(stream)
            assert (answer.text, answer.finish, answer.done, answer.ended) == ("".join(PIECES), "stop", True, "clean")
        assert old.wait(10) == 0


def reaches_the_new(ask: Callable[[Proxy], SseStream], proxy: Proxy) -> bool:
    return served_by(ask(proxy)) == "new"


def served_by(answer: SseStream) -> str:
    """Tell who answered, by the limit that only one of them has."""
    assert answer.status == 200
    return "old" if answer.headers["x-ratelimit-limit"] == OLD_LIMIT else "new"

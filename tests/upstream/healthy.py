"""Whole answers, as each vendor gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tests.upstream.gate import Gate
from tests.upstream.reply import KEEP_ALIVE, Reply
from tests.upstream.request import UpstreamRequest
from tests.upstream.scenario import VENDOR_NAMES, Outcome, Scenario
from tests.upstream.steps import Hold, Pause, Step
from tests.upstream.vendor import Answer

__all__ = ["echo", "healthy"]


def healthy(
    text: str | None = None,
    *,
    answer: Answer | None = None,
    delay_s: float = 0.0,
    first_delay_s: float = 0.0,
    gate: Gate | None = None,
    gate_after: int | None = None,
    queued: int = 0,
    name: str = "healthy",
    description: str = "a whole answer in the vendor's own manner",
    vendors: tuple[str, ...] = VENDOR_NAMES,
) -> Scenario:
    """Answer as the vendor does; `answer` says what, `text` is short for `Answer(text=text)`.

    `delay_s` before each token, `first_delay_s` before the first, `queued` keep-alives before it. A `gate` holds
    the stream before every token, or, with `gate_after`, once after that many tokens.
    """
    said = answer or Answer(text=text)

    def steps(request: UpstreamRequest) -> Iterator[Step]:
        reply = Reply(request, said)
        if not request.streams:
            yield Pause(first_delay_s)
            if gate is not None:
                yield Hold(gate)
            yield reply.whole()
            return
        yield reply.head()
        for _ in range(queued):
            yield reply.raw(KEEP_ALIVE)
        if first_delay_s:
            yield Pause(first_delay_s)
        sent = 0
        for event in reply.events:
            content = event.kind == "content"
            if content and delay_s:
                yield Pause(delay_s)
            if gate is not None and (content if gate_after is None else event.kind != "role" and sent == gate_after):
                yield Hold(gate)
            yield reply.event(event)
            # Past the gate once, the count moves on even where the tokens have ended.
            sent += event.kind != "role"
        yield reply.end()

    spoken = said.text if said.pieces is None else "".join(said.pieces)
    return Scenario(
        name=name,
        description=description,
        steps=steps,
        outcome=Outcome.ANSWERS,
        text=None if spoken is None else spoken + said.finish_content,
        reasoning=said.reasoning,
        refusal=said.refusal or None,
        finish=said.finish or ("tool_calls" if said.tool_calls else "stop"),
        vendors=vendors,
        checked=True,
        group="healthy",
    )


def echo(*, delay_s: float = 0.0) -> Scenario:
    """Answer with the text of the last user message, so that a test can tell its requests apart."""

    def steps(request: UpstreamRequest) -> Iterator[Step]:
        return iter(healthy(request.last_user_text or "(nothing)", delay_s=delay_s).steps(request))

    return replace(
        healthy(), name="echo", description="the last user message, said back", steps=steps, text=None, finish="stop"
    )

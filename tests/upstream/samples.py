"""The recorded samples of tests/fixtures, each played by the vendor it was recorded from."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fixtures import RESPONSES, STREAMS, ResponseFixture, StreamFixture
from tests.upstream.journal import Tokens
from tests.upstream.reply import KEEP_ALIVE, Reply
from tests.upstream.request import UpstreamRequest
from tests.upstream.scenario import Outcome, Scenario
from tests.upstream.steps import Forever, Send, Step

__all__ = ["SAMPLES"]

_WHAT = {
    "finish": "a whole answer",
    "cut": "an answer that breaks off",
    "error": "an answer that turns into an error",
    "stall": "an answer that stops, with keep-alives for ever",
}


def _stream(fixture: StreamFixture) -> Scenario:
    def steps(request: UpstreamRequest) -> Iterator[Step]:
        reply = Reply(request)
        yield reply.head()
        yield Send(reply.framed(fixture.content), usage=_tokens(fixture))
        if fixture.ends == "stall":
            yield Forever(reply.framed(KEEP_ALIVE))
        yield reply.end()

    return Scenario(
        name=f"sample-{fixture.name}",
        description=f"{fixture.file}: {_WHAT[fixture.ends]}",
        steps=steps,
        outcome=Outcome.ANSWERS if fixture.ends == "finish" else Outcome.FAILS_LATER,
        failure=fixture.failure,
        text=fixture.text,
        reasoning=fixture.reasoning,
        finish=fixture.finish if fixture.ends == "finish" else None,
        vendors=(fixture.vendor,),
        endless=fixture.ends == "stall",
        group="samples",
    )


def _tokens(fixture: StreamFixture) -> Tokens | None:
    usage = fixture.usage
    if usage is None:
        return None
    return Tokens(
        prompt=usage.prompt_tokens,
        completion=usage.completion_tokens,
        cached=usage.cached_tokens,
        reasoning=usage.reasoning_tokens,
    )


def _response(fixture: ResponseFixture) -> Scenario:
    return Scenario(
        name=f"sample-{fixture.name}",
        description=f"{fixture.file}: {fixture.status}",
        steps=lambda request: (Send(fixture.wire),),
        outcome=Outcome.CLIENTS_FAULT if fixture.clients_fault else Outcome.FAILS_FIRST,
        failure=fixture.failure,
        vendors=(fixture.vendor,),
        group="samples",
    )


SAMPLES: tuple[Scenario, ...] = (*map(_stream, STREAMS.values()), *map(_response, RESPONSES.values()))

"""One attempt's stream: the provider's bytes in, our chunks into the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from apps.chat.engine.log import LogFull, StreamLog
from apps.chat.engine.record import Attempt
from apps.chat.engine.stamp import Stamp
from apps.chat.engine.template import Template, learn
from apps.llm.errors import Failure, ProviderError
from apps.llm.providers.base import Provider
from apps.llm.wire.openai import MAX_TOOL_CALLS, TooManyToolCalls, Usage, parse_chunk
from apps.llm.wire.sse import Decoder, EventTooLarge, is_done
from apps.llm.wire.values import MAX_VALUES, values_exceed

__all__ = ["Exchange"]

logger = logging.getLogger("promptcraft.engine")

_LESSONS = 16
"""How often a template is learnt: a provider whose events never repeat is not looked at for ever."""
_FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


class Exchange:
    """The sink of one attempt. `over` resolves when `[DONE]` has come, when its source ends, or somebody ends it early.

    Before the first content nothing reaches the log: roles, empty deltas and comments say nothing.
    """

    __slots__ = (
        "_calls",
        "_clock",
        "_decoder",
        "_provider",
        "_lessons",
        "_log",
        "_stamp",
        "_template",
        "attempt",
        "finish_reason",
        "last_content_monotonic",
        "on_first_content",
        "over",
        "usage",
    )

    def __init__(
        self,
        *,
        provider: Provider,
        attempt: Attempt,
        stamp: Stamp,
        log: StreamLog,
        clock: Callable[[], float],
        on_first_content: Callable[[], None],
    ) -> None:
        self.attempt = attempt
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.last_content_monotonic = attempt.started_monotonic
        self.over: asyncio.Future[ProviderError | None] = asyncio.get_running_loop().create_future()
        self._provider = provider
        self._stamp = stamp
        self._log = log
        self._template: Template | None = None
        self._lessons = _LESSONS
        self._clock = clock
        self._decoder = Decoder()
        self._calls: set[int] = set()
        """The indices of the tool calls so far."""
        self.on_first_content: Callable[[], None] | None = on_first_content
        """Called once. None from then on, and once the attempt is over: whoever is called has us in turn."""

    @property
    def has_content(self) -> bool:
        """Whether anything of this attempt reached the log."""
        return self.attempt.first_content_monotonic is not None

    def feed(self, data: bytes) -> None:
        """Take bytes cut anywhere. Raises ProviderError when they show that the attempt has failed."""
        if self.over.done():
            return
        try:
            self._events(self._decoder.feed(data))
        except EventTooLarge as error:
            self._events(error.events)
            if self.finish_reason is None:
                raise ProviderError(Failure.BAD_RESPONSE, detail="an event is over its bound") from None
        except LogFull:
            raise ProviderError(Failure.BAD_RESPONSE, is_too_long=True, detail="the answer is over its bound") from None
        finally:
            self._log.tell()

    def end(self, error: ProviderError | None) -> None:
        """End the attempt now: complete if None, failed otherwise."""
        if not self.over.done():
            self.over.set_result(error)

    def source_ended(self, source: asyncio.Task[None]) -> None:
        """Learn that the provider will feed no more; end the attempt unless it has ended already."""
        failure = None if source.cancelled() else source.exception()
        if isinstance(failure, ProviderError):
            # The frames on the way to it have it, and us.
            failure.__traceback__ = failure.__context__ = None
        if self.over.done():
            return
        if self.finish_reason is not None:
            # It broke after its finish: the answer is whole.
            self.end(None)
        elif failure is None:
            self.end(ProviderError(Failure.STREAM_CUT, detail="the stream ended without a finish_reason"))
        elif isinstance(failure, ProviderError):
            self.end(failure)
        else:
            logger.error("provider %s broke", self.attempt.provider, exc_info=failure)
            self.end(ProviderError(Failure.BAD_RESPONSE, detail="unexpected"))

    def _events(self, payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            if self._template is not None and self.finish_reason is None:
                fragment = self._template.fragment_of(payload)
                if fragment is not None:
                    self.last_content_monotonic = self._clock()
                    self._log.append_text(self._template.frame, fragment)
                    continue
            if self.over.done():
                return
            self._event(payload)

    def _event(self, payload: bytes) -> None:
        if is_done(payload):
            if self.finish_reason is None:
                raise ProviderError(Failure.STREAM_CUT, detail="[DONE] without a finish_reason")
            self.end(None)
            return
        try:
            if len(payload) > MAX_VALUES and values_exceed(payload):
                raise ValueError("too many values")
            chunk = parse_chunk(payload)
        except ValueError as error:
            if self.finish_reason is not None:
                return
            raise ProviderError(
                Failure.BAD_RESPONSE,
                is_too_long=isinstance(error, TooManyToolCalls),
                detail="an event is not a chunk",
            ) from None
        if chunk.usage is not None:
            self.usage = chunk.usage
        if self.finish_reason is not None:
            # The answer is complete; whatever a provider says after that, it stays so.
            return
        if chunk.error is not None:
            raise self._provider.classify_stream_error(chunk.error)
        finish_reason = None if chunk.finish_reason is None else self._translated(chunk.finish_reason)
        if chunk.tool_calls:
            for call in chunk.tool_calls:
                self._calls.add(call["index"])
            if len(self._calls) > MAX_TOOL_CALLS:
                raise ProviderError(Failure.BAD_RESPONSE, is_too_long=True, detail="too many tool calls")
        if chunk.has_content:
            self._content_seen()
            if self._lessons and (text := self._stamp.text_frame(chunk)) is not None:
                self._lessons -= 1
                self._template = learn(payload, chunk, text[1], text[0]) or self._template
            self._stamp.content(chunk)
        if finish_reason is not None:
            self._content_seen()
            self.finish_reason = finish_reason
            self._stamp.finish(finish_reason)

    def _content_seen(self) -> None:
        now = self.last_content_monotonic = self._clock()
        if self.attempt.first_content_monotonic is None:
            self.attempt.first_content_monotonic = now
            self._stamp.serve(model=self.attempt.model, mock=self._provider.mock)
            told, self.on_first_content = self.on_first_content, None
            if told is not None:
                told()

    def _translated(self, reason: str) -> str:
        meaning = self._provider.finish_reasons().get(reason, reason)
        if isinstance(meaning, Failure):
            raise ProviderError(meaning, detail="its finish_reason says so")
        if meaning not in _FINISH_REASONS:
            raise ProviderError(Failure.BAD_RESPONSE, detail="an unknown finish_reason")
        return meaning

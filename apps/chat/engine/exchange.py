"""One attempt's stream: the provider's bytes in, our chunks into the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from apps.chat.engine.log import LogFull, StreamLog
from apps.chat.engine.record import Attempt
from apps.chat.engine.stamp import Stamp
from apps.chat.engine.template import Template, learn
from apps.llm.errors import Failure, ProviderError
from apps.llm.providers.base import Provider
from apps.llm.wire.openai import BrokenChunk, Chunk, TooManyToolCalls, UpstreamAnswer
from apps.llm.wire.shaping import AnswerShaper, Shaping
from apps.llm.wire.sse import Decoder, EventTooLarge, is_done
from apps.llm.wire.values import MAX_VALUES, values_exceed

__all__ = ["Exchange"]

logger = logging.getLogger("promptcraft.engine")

_LESSONS = 16
"""How often a template of each kind is learnt: a provider whose events never repeat is not looked at for ever."""


class Exchange:
    """The sink of one attempt. `over` resolves when `[DONE]` has come, when its source ends, or somebody ends it early.

    Before the first content nothing reaches the log: roles, empty deltas and comments say nothing.
    """

    __slots__ = (
        "_clock",
        "_decoder",
        "_provider",
        "_lessons",
        "_log",
        "_shaper",
        "_stamp",
        "_template",
        "answer",
        "attempt",
        "finish_reason",
        "is_cut",
        "last_content_monotonic",
        "on_first_content",
        "over",
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
        shaping: Shaping | None = None,
    ) -> None:
        self.attempt = attempt
        self.is_cut = False
        """Whether the answer was ended here, and its provider is still giving it."""
        self.answer = UpstreamAnswer()
        self.finish_reason: str | None = None
        self.last_content_monotonic = attempt.started_monotonic
        self.over: asyncio.Future[ProviderError | None] = asyncio.get_running_loop().create_future()
        self._provider = provider
        self._stamp = stamp
        self._log = log
        self._template: Template | None = None
        self._shaper = None if shaping is None else AnswerShaper(shaping)
        # What is shaped is looked at whole.
        lessons = _LESSONS if shaping is None else 0
        self._lessons = dict.fromkeys(("content", "reasoning_content", "refusal"), lessons)
        self._clock = clock
        self._decoder = Decoder()
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
            self._release()
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
            self.end(self._unfinished("the stream ended"))
        elif isinstance(failure, ProviderError):
            self.end(failure)
        else:
            logger.error("provider %s broke", self.attempt.provider, exc_info=failure)
            self.end(ProviderError(Failure.BAD_RESPONSE, detail="unexpected"))

    def _events(self, payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            template = self._template
            if template is not None:
                fragment = template.fragment_of(payload)
                if fragment is not None:
                    self.last_content_monotonic = self._clock()
                    self._log.append_text(template.frame, fragment)
                    continue
            if self.over.done():
                return
            self._event(payload)

    def _event(self, payload: bytes) -> None:
        if is_done(payload):
            if self.finish_reason is None:
                raise self._unfinished("[DONE]")
            self.end(None)
            return
        try:
            if len(payload) > MAX_VALUES and values_exceed(payload):
                raise BrokenChunk("too many values")
            chunk = self.answer.read(payload)
        except (BrokenChunk, TooManyToolCalls) as error:
            if self.finish_reason is not None:
                return
            raise ProviderError(
                Failure.BAD_RESPONSE, is_too_long=isinstance(error, TooManyToolCalls), detail=str(error)
            ) from None
        if chunk is None or self.finish_reason is not None:
            # Once the answer is complete it stays so, whatever a provider says after that.
            return
        if chunk.error is not None:
            raise self._provider.classify_stream_error(chunk.error)
        if self._shaper is not None:
            self._shape(chunk, self._shaper)
        if chunk.has_content:
            self._content_seen()
            kind = "content" if chunk.content else "reasoning_content" if chunk.reasoning else "refusal"
            if self._lessons[kind] and (frame := self._stamp.text_frame(chunk, kind)) is not None:
                self._lessons[kind] -= 1
                self._template = learn(payload, chunk, frame, kind) or self._template
            self._stamp.content(chunk)
        if chunk.finish_reason is not None:
            self._content_seen()
            self.finish_reason = chunk.finish_reason
            # Text that follows is no part of the answer.
            self._template = None
            self._stamp.finish(chunk.finish_reason, chunk.native_finish_reason)
            if self._shaper is not None and self._shaper.is_cut:
                self.is_cut = True
                self.end(None)

    def _shape(self, chunk: Chunk, shaper: AnswerShaper) -> None:
        if chunk.has_content:
            # Held back or not, the provider is at work.
            self.last_content_monotonic = self._clock()
        shaper.shape(chunk)

    def _release(self) -> None:
        """Say what is held back of an answer that breaks off; nothing before its first content is kept of one."""
        if self._shaper is None or self.finish_reason is not None or not self.has_content:
            return
        text = self._shaper.rest()
        if text:
            with suppress(LogFull):
                self._stamp.content(Chunk(content=text))
                self._log.tell()

    def _content_seen(self) -> None:
        now = self.last_content_monotonic = self._clock()
        if self.attempt.first_content_monotonic is None:
            self.attempt.first_content_monotonic = now
            self._stamp.serve(model=self.attempt.model, mock=self._provider.mock)
            told, self.on_first_content = self.on_first_content, None
            if told is not None:
                told()

    def _unfinished(self, end: str) -> ProviderError:
        """Say what an end without a finish_reason is."""
        failure = Failure.BAD_RESPONSE if self.answer.is_nothing_but_odd_events else Failure.STREAM_CUT
        return ProviderError(failure, detail=f"{end} without a finish_reason")

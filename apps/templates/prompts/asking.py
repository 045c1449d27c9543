"""Who asks the workbench, and how it asks a model for them: as the same caller, through the one door to completions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.accounts.identity import Caller
from apps.chat import services
from apps.chat.body import Body
from apps.chat.engine.generation import Generation, Status
from apps.chat.runtime import get_supervisor
from apps.limits.limiter import Window
from apps.llm.errors import AuthenticationFailed, BudgetExceeded, PromptCraftError, RateLimited
from apps.llm.wire import json
from apps.llm.wire.openai import Usage

__all__ = ["Asker", "ModelAnswer", "ModelFailed", "ask_model", "model_may_be_asked", "open_for"]

_CALLERS_OWN = (AuthenticationFailed, BudgetExceeded, RateLimited)
"""What is refused to a caller, who is told so; whatever else goes wrong with a model, the rules answer."""


def _nobody_listens(_: object) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """A caller with a request, over whichever transport it came."""

    caller: Caller
    request_id: str
    idempotency_key: str | None = None
    """For the completion that the caller gets to see, never for a step on the way to it."""
    scenario: str | None = None
    """As a completion's `X-Mock-Scenario`; for that completion too."""
    on_begun: Callable[[Generation], None] = _nobody_listens
    """Told of every completion as soon as there is one."""
    on_window: Callable[[Window], None] = _nobody_listens
    """Told how the caller's rate window stands, by whatever looked at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """What a model wrote, whole, and what it used."""

    text: str
    usage: Usage | None
    cost_nano_usd: int | None


class ModelFailed(Exception):
    """No whole answer came from a model, for a reason that is not the caller's."""


def model_may_be_asked() -> bool:
    """Tell whether any provider is a real one. The mock rewrites nothing and understands nothing: rules do."""
    return any(not provider.mock for provider in get_supervisor().chain.providers)


async def open_for(asker: Asker, body: Mapping[str, Any]) -> services.Opened:
    """Open the completion that the caller asked for; as `services.open_completion`, which says what it raises."""
    return await _open(asker, body, asker.idempotency_key, asker.scenario)


async def ask_model(asker: Asker, body: Mapping[str, Any], *, deadline_s: float) -> ModelAnswer:
    """Ask for a completion and wait for the whole of it; it is stopped where the deadline or the caller ends the wait.

    Raises ModelFailed, or what refused the caller: RateLimited, BudgetExceeded, AuthenticationFailed.
    """
    try:
        async with asyncio.timeout(deadline_s):
            generation = await _settled(asker, body)
    except _CALLERS_OWN:
        raise
    except PromptCraftError as error:
        raise ModelFailed(error.code.value) from None
    except TimeoutError:
        raise ModelFailed("deadline") from None
    if generation.unrecorded is not None:
        # The database is away, and what the rules answer with needs it too.
        raise generation.unrecorded
    if generation.error is not None:
        raise ModelFailed(generation.error.code.value)
    message = await generation.message()
    if generation.status is not Status.COMPLETED or message.finish_reason != "stop" or not message.content:
        raise ModelFailed("unfinished")
    if generation.provider == "mock":
        raise ModelFailed("mock")
    return ModelAnswer(text=message.content, usage=generation.usage, cost_nano_usd=generation.cost_nano_usd)


async def _settled(asker: Asker, body: Mapping[str, Any]) -> Generation:
    opened = await _open(asker, body, None, None)
    try:
        if opened.generation is None:
            raise RuntimeError("a completion without a key is a new one")
        await opened.generation.done.wait()
        return opened.generation
    finally:
        # Nobody else reads it: one that still runs is stopped by this.
        opened.reader.close()


async def _open(
    asker: Asker, body: Mapping[str, Any], idempotency_key: str | None, scenario: str | None
) -> services.Opened:
    return await services.open_completion(
        services.Asked(
            caller=asker.caller,
            request_id=asker.request_id,
            body=Body(data=json.dumps(body)),
            content_type="application/json",
            idempotency_key=idempotency_key,
            scenario=scenario,
            on_begun=asker.on_begun,
            on_window=asker.on_window,
        )
    )

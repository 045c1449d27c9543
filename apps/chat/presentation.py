"""Completions as JSON: OpenAI's `chat.completion`, with where it stands and who was asked."""

from __future__ import annotations

from typing import Any

from apps.chat.engine.generation import Generation
from apps.chat.engine.stamp import usage_object
from apps.chat.store import StoredCompletion, message_of, usage_of
from apps.llm.wire.openai import AssembledMessage, Usage

__all__ = ["completion_json", "usage_json"]


async def completion_json(completion: Generation | StoredCompletion) -> dict[str, Any]:
    """Return the `chat.completion` so far, with `status` and `attempts`."""
    if isinstance(completion, Generation):
        return _completion(
            completion_id=completion.order.id,
            created=int(completion.created_at),
            model=completion.model,
            provider=completion.provider,
            status=completion.status.value,
            message=await completion.message(),
            usage=completion.usage,
            usage_source=completion.usage_source.value,
            cost_nano_usd=completion.cost_nano_usd,
            error_code=completion.error.code.value if completion.error else None,
            attempts=[attempt.as_json() for attempt in completion.attempts],
        )
    return _completion(
        completion_id=completion.id,
        created=int(completion.created_at.timestamp()),
        model=completion.model,
        provider=completion.provider,
        status=completion.status,
        message=message_of(completion),
        usage=usage_of(completion),
        usage_source=completion.usage_source,
        cost_nano_usd=completion.cost_nano_usd,
        error_code=completion.error_code or None,
        attempts=completion.attempts,
    )


def usage_json(completion: Generation | StoredCompletion) -> dict[str, Any] | None:
    """Return the settled usage, None if nothing is known of it."""
    usage = completion.usage if isinstance(completion, Generation) else usage_of(completion)
    return None if usage is None else usage_object(usage, completion.cost_nano_usd)


def _completion(
    *,
    completion_id: str,
    created: int,
    model: str,
    provider: str,
    status: str,
    message: AssembledMessage,
    usage: Usage | None,
    usage_source: str,
    cost_nano_usd: int | None,
    error_code: str | None,
    attempts: list[dict[str, Any]],
) -> dict[str, Any]:
    body: dict[str, Any] = {"role": "assistant", "content": message.content, "refusal": message.refusal}
    if message.reasoning_content is not None:
        body["reasoning_content"] = message.reasoning_content
    if message.tool_calls:
        body["tool_calls"] = list(message.tool_calls)
    choice: dict[str, Any] = {
        "index": 0,
        "message": body,
        "logprobs": message.logprobs,
        "finish_reason": message.finish_reason,
    }
    if message.native_finish_reason is not None:
        choice["native_finish_reason"] = message.native_finish_reason
    answer: dict[str, Any] = {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": None if usage is None else usage_object(usage, cost_nano_usd),
        "usage_source": usage_source,
        "provider": provider,
        "status": status,
        "error_code": error_code,
        "attempts": attempts,
    }
    if provider == "mock":
        answer["promptcraft"] = {"degraded": True}
    return answer

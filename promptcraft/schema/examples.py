"""Bodies to start from. Tests send each of them through the parser."""

from __future__ import annotations

from typing import Any

__all__ = ["COMPLETION", "REQUESTS"]

_QUESTION = {"role": "user", "content": "What is the weather in Lisbon?"}
_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city, now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Lisbon"}'},
}

REQUESTS: dict[str, dict[str, Any]] = {
    "stream": {
        "summary": "A stream",
        "value": {
            "messages": [{"role": "user", "content": "Say hello."}],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    },
    "object": {
        "summary": "One object, with everything said",
        "value": {
            "model": "auto",
            "messages": [
                {"role": "system", "content": "Answer in one sentence."},
                {"role": "user", "content": "Why is the sky blue?"},
            ],
            "temperature": 0.7,
            "top_p": 0.9,
            "max_completion_tokens": 200,
            "stop": ["\n\n"],
            "seed": 7,
            "fallback": False,
        },
    },
    "tools": {
        "summary": "Tools",
        "value": {"messages": [_QUESTION], "tools": [_WEATHER], "tool_choice": "auto", "stream": True},
    },
    "tool_result": {
        "summary": "A tool's result",
        "value": {
            "messages": [
                _QUESTION,
                {"role": "assistant", "content": None, "tool_calls": [_CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": '{"celsius": 21}'},
            ],
            "tools": [_WEATHER],
        },
    },
    "json": {
        "summary": "An answer in JSON",
        "value": {
            "messages": [{"role": "user", "content": "Three primes, as JSON."}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "primes",
                    "schema": {
                        "type": "object",
                        "properties": {"primes": {"type": "array", "items": {"type": "integer"}}},
                        "required": ["primes"],
                    },
                },
            },
        },
    },
    "image": {
        "summary": "An image",
        "value": {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is in this picture?"},
                        {"type": "image_url", "image_url": {"url": "https://example.org/harbour.jpg"}},
                    ],
                }
            ]
        },
    },
    "reasoning": {
        "summary": "Thinking first",
        "value": {
            "messages": [{"role": "user", "content": "How many primes are below 100?"}],
            "thinking": {"type": "enabled"},
            "reasoning_effort": "low",
            "stream": True,
            "on_disconnect": "continue",
        },
    },
}

COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-0b2f6e5ad1c94c0e9b7d3c1f8a6e4d20",
    "object": "chat.completion",
    "created": 1795132800,
    "model": "deepseek-flash",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello!", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "cost": 0.00000255,
    },
    "usage_source": "provider",
    "provider": "deepseek",
    "status": "completed",
    "error_code": None,
    "attempts": [
        {
            "provider": "deepseek",
            "model": "deepseek-flash",
            "started_at": 1795132800.113,
            "ttft_ms": 412.6,
            "ended_at": 1795132800.871,
            "end": "complete",
            "end_reason": "complete",
            "prompt_tokens": 9,
            "completion_tokens": 2,
            "total_tokens": 11,
            "usage_source": "provider",
            "cost": 0.00000255,
        }
    ],
}

"""What each vendor refuses in a request: the translation mistakes that a relay can make.

Only rules that the vendors document or enforce visibly are here; a request that passes may still be odd.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.upstream.framing import response
from tests.upstream.request import UpstreamRequest
from tests.upstream.vendor import dumps

__all__ = ["refusal"]

_OPENAI_UNKNOWN = (
    "thinking",
    "user_id",
    "do_sample",
    "tool_stream",
    "fallback",
    "on_interrupt",
    "on_disconnect",
    "reasoning_content",
)


def refusal(request: UpstreamRequest) -> tuple[str, bytes] | None:
    """Return the reason and the whole answer with which the vendor refuses a chat request, None if it takes it."""
    for status, reason in _faults(request):
        message = f"{reason} (refused by the simulator)"
        if request.vendor == "zai":
            error: dict[str, Any] = {"code": "1001" if status == 401 else "1210", "message": message}
        else:
            kind = "authentication_error" if status == 401 else "invalid_request_error"
            error = {"message": message, "type": kind, "param": None, "code": "invalid_request_error"}
        return reason, response(status, dumps({"error": error}), [("content-type", "application/json")])
    return None


def _faults(request: UpstreamRequest) -> Iterator[tuple[int, str]]:
    if not request.api_key:
        yield 401, "no bearer token"
    if "wrong" in request.api_key:
        yield 401, f"Your api key: ****{request.api_key[-4:]} is invalid"
    if not isinstance(request.json, dict):
        yield 400, "the body is not a JSON object"
        return
    if not request.messages:
        yield 400, "messages is missing or empty"
    if not request.model:
        yield 400, "model is missing"
    if "stream_options" in request.body and not request.streams:
        yield 400, "stream_options without stream"
    yield from {"deepseek": _deepseek, "zai": _zai, "openai": _openai}[request.vendor](request)


def _deepseek(request: UpstreamRequest) -> Iterator[tuple[int, str]]:
    body = request.body
    if body.get("response_format", {}).get("type") == "json_object" and "json" not in str(request.messages).lower():
        yield 400, "response_format json_object without the word json in the prompt"
    if any(message.get("prefix") for message in request.messages) and not request.beta:
        yield 400, "prefix outside of the beta URL"
    if any(message.get("role") == "developer" for message in request.messages):
        yield 422, "unknown role developer"
    if request.thinking is not False and any(
        message.get("tool_calls") and not message.get("reasoning_content") for message in request.messages
    ):
        yield 400, "reasoning_content of a tool-call turn was not sent back"


def _zai(request: UpstreamRequest) -> Iterator[tuple[int, str]]:
    for name in ("temperature", "top_p"):
        value = request.body.get(name)
        if value is not None and not 0 < value < 1:
            yield 400, f"{name} outside of the open interval (0, 1)"
    if any(message.get("role") == "developer" for message in request.messages):
        yield 400, "unknown role developer"


def _openai(request: UpstreamRequest) -> Iterator[tuple[int, str]]:
    body = request.body
    for name in _OPENAI_UNKNOWN:
        if name in body:
            yield 400, f"Unrecognized request argument supplied: {name}"
    if not request.model.startswith(("gpt-5", "gpt-6", "o1", "o3", "o4")):
        return
    if "max_tokens" in body:
        yield 400, "Unsupported parameter: 'max_tokens', use 'max_completion_tokens'"
    for name in ("temperature", "top_p"):
        if body.get(name, 1) != 1:
            yield 400, f"Unsupported value: '{name}' of a reasoning model is 1"
    effort = body.get("reasoning_effort")
    if request.model == "gpt-6-luna" and body.get("tools") and effort != "none":
        yield 400, "tools on gpt-6-luna only with reasoning_effort none"
    if request.model == "gpt-6.2-sol" and effort == "none":
        yield 400, "gpt-6.2-sol refuses reasoning_effort none"

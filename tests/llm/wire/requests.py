"""Requests for the tests: the pieces of good ones, and a table of bad ones."""

from __future__ import annotations

import json
from typing import Any

from apps.llm.errors import Code
from apps.llm.wire.openai import CompletionRequest, parse_request

HELLO = {"role": "user", "content": "Hello"}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
CALL = {"id": "call_a", "type": "function", "function": {"name": "tide", "arguments": '{"port":"Brest"}'}}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def parse(*messages: object, **fields: object) -> CompletionRequest:
    return parse_request(json.dumps({"messages": list(messages) or [HELLO], **fields}).encode())


def user(*parts: object) -> dict[str, object]:
    return {"role": "user", "content": list(parts)}


def image(url: object, **more: object) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def with_messages(*messages: object) -> dict[str, object]:
    return {"messages": list(messages)}


def call(**changes: object) -> dict[str, object]:
    return with_messages(HELLO, {"role": "assistant", "tool_calls": [{**CALL, **changes}]})


def tool(**changes: object) -> dict[str, object]:
    return {"tools": [TOOL, {"type": "function", "function": {**TOOL["function"], **changes}}]}


MISSING, INVALID, UNSUPPORTED = Code.MISSING_FIELD, Code.INVALID_VALUE, Code.UNSUPPORTED_PARAMETER
IMAGE_PATH = "messages[0].content[0].image_url"
AUDIO_PATH = "messages[0].content[0].input_audio"
SCHEMA_PATH = "response_format.json_schema"

# Changes to a good body, and what is wrong then.
BAD_BODIES: list[tuple[dict[str, Any], Code, str]] = [
    # messages
    ({"messages": None}, MISSING, "messages"),
    ({"messages": "Hello"}, INVALID, "messages"),
    ({"messages": HELLO}, INVALID, "messages"),
    ({"messages": []}, INVALID, "messages"),
    ({"messages": [HELLO] * 1001}, INVALID, "messages"),
    (with_messages("Hello"), INVALID, "messages[0]"),
    (with_messages(HELLO, None), INVALID, "messages[1]"),
    (with_messages(HELLO, {}), MISSING, "messages[1].role"),
    (with_messages({"role": None, "content": "a"}), MISSING, "messages[0].role"),
    (with_messages({"role": "robot", "content": "a"}), INVALID, "messages[0].role"),
    (with_messages({"role": "function", "content": "a"}), MISSING, "messages[0].name"),
    (with_messages({"role": "function", "name": "tide", "content": "a"}), INVALID, "messages[0].name"),
    (with_messages(HELLO, {"role": "assistant", "function_call": {}}), MISSING, "messages[1].function_call.name"),
    (with_messages(HELLO, {"role": "assistant", "function_call": "tide"}), INVALID, "messages[1].function_call"),
    (with_messages({"role": ["user"], "content": "a"}), INVALID, "messages[0].role"),
    (with_messages({"role": "user"}), MISSING, "messages[0].content"),
    (with_messages(HELLO, HELLO, {"role": "system", "content": None}), MISSING, "messages[2].content"),
    (with_messages({"role": "developer"}), MISSING, "messages[0].content"),
    (with_messages({"role": "user", "content": 1}), INVALID, "messages[0].content"),
    (with_messages({"role": "user", "content": {"type": "text", "text": "a"}}), INVALID, "messages[0].content"),
    (with_messages({"role": "user", "content": []}), INVALID, "messages[0].content"),
    (with_messages({"role": "user", "content": "a", "name": 1}), INVALID, "messages[0].name"),
    # parts
    (with_messages(user("a")), INVALID, "messages[0].content[0]"),
    (with_messages(user({"text": "a"})), MISSING, "messages[0].content[0].type"),
    (with_messages(user({"type": 1})), INVALID, "messages[0].content[0].type"),
    (with_messages(user({"type": "smell"})), INVALID, "messages[0].content[0].type"),
    (with_messages(user({"type": "refusal", "refusal": "a"})), INVALID, "messages[0].content[0].type"),
    (with_messages(user({"type": "text"})), MISSING, "messages[0].content[0].text"),
    (with_messages(user({"type": "text", "text": ["a"]})), INVALID, "messages[0].content[0].text"),
    (
        with_messages(user({"type": "text", "text": "a"}, {"type": "video_url", "video_url": {}})),
        UNSUPPORTED,
        "messages[0].content[1]",
    ),
    (with_messages(user({"type": "input_audio"})), MISSING, "messages[0].content[0].input_audio"),
    (with_messages(user({"type": "input_audio", "input_audio": {}})), MISSING, f"{AUDIO_PATH}.data"),
    (with_messages(user({"type": "input_audio", "input_audio": {"data": "a"}})), MISSING, f"{AUDIO_PATH}.format"),
    (with_messages(user({"type": "file", "file": {}})), MISSING, "messages[0].content[0].file.file_data"),
    (with_messages(user({"type": "file", "file": {"file_id": 1}})), INVALID, "messages[0].content[0].file.file_id"),
    (with_messages({"role": "tool", "tool_call_id": "a", "content": []}), INVALID, "messages[0].content"),
    (with_messages(user({"type": "image_url"})), MISSING, IMAGE_PATH),
    (with_messages(user({"type": "image_url", "image_url": PIXEL})), INVALID, IMAGE_PATH),
    (with_messages(user({"type": "image_url", "image_url": {}})), MISSING, f"{IMAGE_PATH}.url"),
    (with_messages(user(image(1))), INVALID, f"{IMAGE_PATH}.url"),
    (with_messages(user(image(""))), INVALID, f"{IMAGE_PATH}.url"),
    (with_messages(user(image("https://"))), INVALID, f"{IMAGE_PATH}.url"),
    (with_messages(user(image("file:///etc/passwd"))), INVALID, f"{IMAGE_PATH}.url"),
    (with_messages(user(image("ftp://example.org/a.png"))), INVALID, f"{IMAGE_PATH}.url"),
    (with_messages(user(image("data:text/html;base64,AAAA"))), INVALID, f"{IMAGE_PATH}.url"),
    (with_messages(user(image("data:image/png,AAAA"))), INVALID, f"{IMAGE_PATH}.url"),
    (with_messages(user(image("data:image/png;base64,"))), INVALID, f"{IMAGE_PATH}.url"),
    (with_messages(user(image(PIXEL, detail=1))), INVALID, f"{IMAGE_PATH}.detail"),
    (with_messages({"role": "system", "content": [image(PIXEL)]}), INVALID, "messages[0].content[0].type"),
    (with_messages({"role": "assistant", "content": [image(PIXEL)]}), INVALID, "messages[0].content[0].type"),
    # assistant and tool messages
    (with_messages({"role": "assistant", "content": "a", "refusal": 1}), INVALID, "messages[0].refusal"),
    (with_messages({"role": "assistant", "reasoning_content": []}), INVALID, "messages[0].reasoning_content"),
    (with_messages({"role": "assistant", "tool_calls": {}}), INVALID, "messages[0].tool_calls"),
    (with_messages({"role": "assistant", "tool_calls": ["a"]}), INVALID, "messages[0].tool_calls[0]"),
    (call(id=None), MISSING, "messages[1].tool_calls[0].id"),
    (call(id=""), INVALID, "messages[1].tool_calls[0].id"),
    (call(id=1), INVALID, "messages[1].tool_calls[0].id"),
    (call(type=None), MISSING, "messages[1].tool_calls[0].type"),
    (call(type="custom"), UNSUPPORTED, "messages[1].tool_calls[0].type"),
    (call(function=None), MISSING, "messages[1].tool_calls[0].function"),
    (call(function="tide"), INVALID, "messages[1].tool_calls[0].function"),
    (call(function={"arguments": ""}), MISSING, "messages[1].tool_calls[0].function.name"),
    (call(function={"name": "tide", "arguments": {}}), INVALID, "messages[1].tool_calls[0].function.arguments"),
    (with_messages({"role": "tool", "content": "a"}), MISSING, "messages[0].tool_call_id"),
    (with_messages({"role": "tool", "tool_call_id": 1, "content": "a"}), INVALID, "messages[0].tool_call_id"),
    (with_messages({"role": "tool", "tool_call_id": "", "content": "a"}), INVALID, "messages[0].tool_call_id"),
    (with_messages({"role": "tool", "tool_call_id": "a"}), MISSING, "messages[0].content"),
    (
        with_messages({"role": "tool", "tool_call_id": "a", "content": [{"type": "file", "file": {"file_id": "a"}}]}),
        INVALID,
        "messages[0].content[0].type",
    ),
    # the model and the stream
    ({"model": 1}, INVALID, "model"),
    ({"model": "m" * 129}, INVALID, "model"),
    ({"model": "a\r\nb"}, INVALID, "model"),
    ({"model": "a\u2028b"}, INVALID, "model"),
    ({"stream": "true"}, INVALID, "stream"),
    ({"stream": 1}, INVALID, "stream"),
    ({"stream_options": True}, INVALID, "stream_options"),
    ({"stream_options": {"include_usage": 1}}, INVALID, "stream_options.include_usage"),
    # numbers
    ({"temperature": 2.01}, INVALID, "temperature"),
    ({"temperature": -0.1}, INVALID, "temperature"),
    ({"temperature": "1"}, INVALID, "temperature"),
    ({"temperature": True}, INVALID, "temperature"),
    ({"temperature": 10**400}, Code.INVALID_JSON, ""),
    ({"top_p": 1.5}, INVALID, "top_p"),
    ({"top_p": False}, INVALID, "top_p"),
    ({"presence_penalty": 3}, INVALID, "presence_penalty"),
    ({"frequency_penalty": -2.5}, INVALID, "frequency_penalty"),
    ({"max_tokens": 0}, INVALID, "max_tokens"),
    ({"max_tokens": 1.5}, INVALID, "max_tokens"),
    ({"max_tokens": True}, INVALID, "max_tokens"),
    ({"max_tokens": "10"}, INVALID, "max_tokens"),
    ({"max_tokens": 10**30}, INVALID, "max_tokens"),
    ({"max_tokens": 2**31}, INVALID, "max_tokens"),
    ({"max_completion_tokens": -1}, INVALID, "max_completion_tokens"),
    ({"max_tokens": 0, "max_completion_tokens": 5}, INVALID, "max_tokens"),
    ({"seed": 1.0}, INVALID, "seed"),
    ({"seed": 2**63}, INVALID, "seed"),
    ({"seed": -(2**70)}, INVALID, "seed"),
    ({"n": 2}, INVALID, "n"),
    ({"n": 0}, INVALID, "n"),
    ({"n": True}, INVALID, "n"),
    ({"n": "1"}, INVALID, "n"),
    ({"top_logprobs": 21}, INVALID, "top_logprobs"),
    ({"top_logprobs": -1}, INVALID, "top_logprobs"),
    # words and switches
    ({"logprobs": 1}, INVALID, "logprobs"),
    ({"logit_bias": []}, INVALID, "logit_bias"),
    ({"parallel_tool_calls": "yes"}, INVALID, "parallel_tool_calls"),
    ({"user": 7}, INVALID, "user"),
    ({"user": "u" * 513}, INVALID, "user"),
    ({"reasoning_effort": "extreme"}, INVALID, "reasoning_effort"),
    ({"reasoning_effort": {}}, INVALID, "reasoning_effort"),
    ({"thinking": True}, INVALID, "thinking"),
    ({"thinking": {}}, MISSING, "thinking.type"),
    ({"thinking": {"type": "auto"}}, INVALID, "thinking.type"),
    ({"fallback": "false"}, INVALID, "fallback"),
    ({"on_interrupt": "retry"}, INVALID, "on_interrupt"),
    ({"on_disconnect": "restart"}, INVALID, "on_disconnect"),
    ({"stop": ""}, INVALID, "stop"),
    ({"stop": 1}, INVALID, "stop"),
    ({"stop": {"a": 1}}, INVALID, "stop"),
    ({"stop": ["a"] * 17}, INVALID, "stop"),
    ({"stop": ["a", ""]}, INVALID, "stop[1]"),
    ({"stop": ["a", None]}, INVALID, "stop[1]"),
    ({"store": "yes"}, INVALID, "store"),
    ({"modalities": "text"}, INVALID, "modalities"),
    ({"modalities": ["text", 1]}, INVALID, "modalities[1]"),
    ({"web_search_options": True}, INVALID, "web_search_options"),
    ({"prediction": "a"}, INVALID, "prediction"),
    ({"service_tier": 1}, INVALID, "service_tier"),
    ({"functions": [{"name": "tide"}]}, UNSUPPORTED, "functions"),
    ({"function_call": "auto"}, UNSUPPORTED, "function_call"),
    # tools
    ({"tools": {}}, INVALID, "tools"),
    ({"tools": [TOOL] * 129}, INVALID, "tools"),
    ({"tools": ["tide"]}, INVALID, "tools[0]"),
    ({"tools": [{"function": {"name": "tide"}}]}, MISSING, "tools[0].type"),
    ({"tools": [TOOL, {"type": "web_search"}]}, UNSUPPORTED, "tools[1].type"),
    ({"tools": [{"type": ["function"]}]}, INVALID, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, MISSING, "tools[0].function"),
    ({"tools": [{"type": "function", "function": "tide"}]}, INVALID, "tools[0].function"),
    (tool(name=None), MISSING, "tools[1].function.name"),
    (tool(name=""), INVALID, "tools[1].function.name"),
    (tool(name="high tide"), INVALID, "tools[1].function.name"),
    (tool(name="tide\n"), INVALID, "tools[1].function.name"),
    (tool(name="marée"), INVALID, "tools[1].function.name"),
    (tool(name="x" * 65), INVALID, "tools[1].function.name"),
    (tool(name=7), INVALID, "tools[1].function.name"),
    (tool(description=7), INVALID, "tools[1].function.description"),
    (tool(parameters="{}"), INVALID, "tools[1].function.parameters"),
    (tool(strict="yes"), INVALID, "tools[1].function.strict"),
    ({"tool_choice": "any", "tools": [TOOL]}, INVALID, "tool_choice"),
    ({"tool_choice": 1, "tools": [TOOL]}, INVALID, "tool_choice"),
    ({"tool_choice": "required"}, INVALID, "tool_choice"),
    ({"tool_choice": {}, "tools": [TOOL]}, MISSING, "tool_choice.type"),
    ({"tool_choice": {"type": "allowed_tools"}, "tools": [TOOL]}, UNSUPPORTED, "tool_choice.type"),
    ({"tool_choice": {"type": "function"}, "tools": [TOOL]}, MISSING, "tool_choice.function"),
    ({"tool_choice": {"type": "function", "function": {}}, "tools": [TOOL]}, MISSING, "tool_choice.function.name"),
    (
        {"tool_choice": {"type": "function", "function": {"name": "moon"}}, "tools": [TOOL]},
        INVALID,
        "tool_choice.function.name",
    ),
    ({"tool_choice": {"type": "function", "function": {"name": "tide"}}}, INVALID, "tool_choice.function.name"),
    # the format of the answer
    ({"response_format": "json_object"}, INVALID, "response_format"),
    ({"response_format": {}}, MISSING, "response_format.type"),
    ({"response_format": {"type": "xml"}}, INVALID, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, MISSING, SCHEMA_PATH),
    ({"response_format": {"type": "json_schema", "json_schema": []}}, INVALID, SCHEMA_PATH),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, MISSING, f"{SCHEMA_PATH}.name"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}}, INVALID, f"{SCHEMA_PATH}.name"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": "b"}}},
        INVALID,
        f"{SCHEMA_PATH}.schema",
    ),
]

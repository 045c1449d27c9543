"""Bodies nobody would write, from bodies that somebody did: mutated as JSON and as bytes, the same for a seed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

__all__ = ["strange_body", "strange_headers"]

_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Brest"}'}}
_PIXEL = "data:image/png;base64,iVBORw0KGgo="
_GOOD: tuple[dict[str, Any], ...] = (
    {"messages": [{"role": "user", "content": "When does the tide turn?"}]},
    {"model": "mock", "messages": [{"role": "user", "content": "Short."}], "stream": True, "max_tokens": 3},
    {"model": "auto", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
    {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What is this?"}]}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 1,
        "seed": 7,
        "stop": ["\n\n", "END"],
        "user": "somebody",
        "logprobs": False,
        "logit_bias": {"50256": -100},
    },
    {
        "messages": [
            {"role": "user", "content": "Weather in Brest?"},
            {"role": "assistant", "content": None, "tool_calls": [_CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": _SCHEMA}}],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "max_completion_tokens": 4,
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Describe it."},
                    {"type": "image_url", "image_url": {"url": _PIXEL, "detail": "low"}},
                ],
            }
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": _SCHEMA},
        },
        "n": 1,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
        "thinking": {"type": "disabled"},
        "reasoning_effort": "low",
        "fallback": True,
        "on_interrupt": "error",
        "on_disconnect": "cancel",
        "metadata": {"ticket": "4411"},
    },
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 0.0, -0.0, 1.5, 1e308, -1e308, 5e-324, 2**31, 2**53, 2**63, 2**64, -(2**63)),
    *("", " ", "a", "true", "null", "1", "\0", "\n", "\u0085\u2028\u2029", "\ufeff", "\ufffd", "\U0001f989", "é" * 50),
    *("user", "assistant", "tool", "system", "developer", "function", "text", "image_url", "json_object", "auto"),
    *("../../etc/passwd", "%s%n{0}", "${jndi:ldap://x}", "'; DROP TABLE auth_user; --", "<script>", "__proto__"),
    *("http://127.0.0.1:1/x.png", "https://[::1", "data:image/png;base64,", "file:///etc/passwd", "http://"),
    *([], {}, [[]], [{}], {"": ""}, {"a": {}}, [None], [1, "2"], {"type": "text"}, {"type": "image_url"}),
    *(10**30, -(10**30), [0] * 1000, {str(number): number for number in range(200)}, "[" * 200, '"' * 50, "\\" * 51),
)
_KEYS = (
    *("messages", "role", "content", "type", "text", "model", "stream", "n", "stop", "tools", "function", "name"),
    *("tool_calls", "id", "", "__class__", "\0", "stream_options", "functions", "function_call", "image_url", "audio"),
)
_FRAGMENTS = (
    *(b"\x00", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\r\n", b"\xff", b"\xed\xa0\x80", b"\xc0\xaf"),
    *(b"\\ud800", b"\\udc00", b"\\u0000", b"\\x41", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-", b"0123", b"+1"),
    *(b"\xef\xbb\xbf", b"\xf4\x90\x80\x80", b"\xe2\x80\xa8", b"//", b"/*", b"'", b"null", b"true", b"[[[[", b'{"a":'),
    *(b"9" * 400, b'"image_url"', b"\x1b[31m", b"%00", b"\xf0\x9f\xa6"),
)
_TYPES = ("application/json", "application/json; charset=utf-8", "", "application/json; x*=idna'e'%ff", "text/plain")
_MOST_LEVELS = 90
_MOST_BYTES = 3_000_000


def strange_body(chance: random.Random) -> bytes:
    """Return a body; about one in six is still a good one."""
    value: Any = copy.deepcopy(chance.choice(_GOOD))
    for count in range(chance.choice((0, 1, 1, 1, 2, 4))):
        # Only the first grows a list: one within another would grow beyond all bounds.
        value = _changed(value, chance, may_grow=count == 0)
    try:
        data = json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    except RecursionError:
        data = b"[" * 2000
    for _ in range(chance.choice((0, 0, 0, 1, 1, 3))):
        data = _BYTE_CHANGES[chance.randrange(len(_BYTE_CHANGES))](data, chance)[:_MOST_BYTES]
    return data


def strange_headers(chance: random.Random) -> dict[bytes, bytes]:
    """Return headers that go with a body, good ones more often than not."""
    headers = {b"content-type": chance.choice((_TYPES[0], _TYPES[0], _TYPES[0], *_TYPES)).encode()}
    if chance.random() < 0.05:
        headers[b"idempotency-key"] = chance.choice((b"", b"a", b"\xff", b"k" * 256, b"same", b"a b"))
    if chance.random() < 0.05:
        headers[b"accept"] = chance.choice((b"text/event-stream", b"*/*;q=x", b"a/b; x*=hex'e'%ff", b""))
    if chance.random() < 0.05:
        headers[b"content-length"] = chance.choice((b"0", b"-1", b"x", b"9" * 30))
    if chance.random() < 0.05:
        headers[b"x-mock-scenario"] = chance.choice(
            (b"no_usage", b"reasoning", b"tool_call", b"\xff", b"cut_after_99999")
        )
    return headers


def _changed(value: Any, chance: random.Random, *, may_grow: bool) -> Any:
    """Change one place of a value."""
    places = list(_places(value, ()))
    path = chance.choice(places)
    if not path:
        return chance.choice((value, [value], {"messages": value}, copy.deepcopy(chance.choice(_VALUES))))
    parent = value
    for step in path[:-1]:
        parent = parent[step]
    last = path[-1]
    match chance.randrange(7):
        case 0 | 1 | 2:
            parent[last] = copy.deepcopy(chance.choice(_VALUES))
        case 3:
            del parent[last]
        case 4 if isinstance(parent, dict):
            parent[chance.choice(_KEYS)] = parent.pop(last)
        case 4:
            parent.insert(0, copy.deepcopy(parent[last]))
        case 5:
            for _ in range(chance.choice((1, 3, _MOST_LEVELS))):
                parent[last] = [parent[last]] if chance.random() < 0.5 else {chance.choice(_KEYS): parent[last]}
        case _ if isinstance(parent, list):
            parent *= chance.choice((2, 50, 700)) if may_grow else 2
        case _:
            parent[chance.choice(_KEYS)] = copy.deepcopy(chance.choice(_VALUES))
    return value


def _places(value: Any, path: tuple[Any, ...]) -> Any:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(min(len(value), 20)):
            yield from _places(value[index], (*path, index))


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.choice(_FRAGMENTS) + data[at:]


def _overwrite(data: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    fragment = chance.choice(_FRAGMENTS)
    return data[:at] + fragment + data[at + len(fragment) :]


def _flip(data: bytes, chance: random.Random) -> bytes:
    flipped = bytearray(data)
    for _ in range(min(len(data), chance.choice((1, 2, 16)))):
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def _cut(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    return chance.choice((data[:start], data[:start] + data[end:], data[start:end]))


def _repeat(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    return data[:end] + data[start:end] * chance.choice((1, 2, 30)) + data[end:]


def _twice_the_key(data: bytes, chance: random.Random) -> bytes:
    key = json.dumps(chance.choice(_KEYS)).encode()
    value = json.dumps(chance.choice(_VALUES)).encode()
    return b"{%b:%b,%b" % (key, value, data[1:])


_BYTE_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_insert, _insert, _overwrite, _flip, _cut, _repeat, _twice_the_key),
)

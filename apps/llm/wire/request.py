"""A request body, checked once at the edge before any provider is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

from apps.llm.errors import Code, InvalidRequest
from apps.llm.wire.checks import (
    array,
    boolean,
    integer,
    invalid,
    json_object,
    one_of,
    required,
    shown,
    string,
    unsupported,
)
from apps.llm.wire.json import depth_exceeds, loads
from apps.llm.wire.keys import keys_repeat
from apps.llm.wire.messages import parse_messages
from apps.llm.wire.parameters import parse_parameters
from apps.llm.wire.tools import parse_response_format, parse_tool_choice, parse_tools
from apps.llm.wire.types import CompletionRequest, OnDisconnect, OnInterrupt

__all__ = ["MAX_DEPTH", "parse_request"]

MAX_DEPTH = 64

_Checked = TypeVar("_Checked")

_MAX_STOPS = 16
_MAX_MODEL_CHARS = 128
# No model comes near it; it keeps estimates and ledger columns within their integers.
_MAX_TOKENS = 2**31 - 1
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")
_effort = partial(one_of, choices=_EFFORTS)
_on_interrupt = partial(one_of, choices=("continue", "restart", "error"))
_on_disconnect = partial(one_of, choices=("cancel", "continue"))
_answer_tokens = partial(integer, minimum=1, maximum=_MAX_TOKENS)

_CONSUMED = frozenset(
    {
        "messages",
        "model",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "tools",
        "tool_choice",
        "response_format",
        "thinking",
        "reasoning_effort",
        "n",
        "fallback",
        "on_interrupt",
        "on_disconnect",
    }
)
# The form before `tools`: an answer would have to come in it, too.
_REPLACED = {"functions": "tools", "function_call": "tool_choice"}


def parse_request(body: bytes | bytearray) -> CompletionRequest:
    """Check a request body and return it typed.

    The caller has checked the size of the body. A null member is an absent one, and one that nobody here knows is left
    out, at every level. Raises InvalidRequest; `param` is the path of the field
    (`messages[2].content[0].image_url.url`), None if the body as a whole is wrong.
    """
    fields = {name: value for name, value in _load(body).items() if value is not None}
    messages = parse_messages(fields.get("messages"))
    tools = parse_tools(fields.get("tools"))
    if fields.get("n") is not None:
        _check_n(fields["n"])
    parameters, unknown = _parameters(fields)
    return CompletionRequest(
        messages=messages,
        model=_model(fields.get("model")),
        stream=_optional(fields, "stream", boolean),
        include_usage=_include_usage(fields.get("stream_options")),
        max_tokens=_max_tokens(fields),
        newer_max_tokens=fields.get("max_completion_tokens") is not None,
        stop=_stop(fields.get("stop")),
        tools=tools,
        tool_choice=parse_tool_choice(fields.get("tool_choice"), tools),
        response_format=parse_response_format(fields.get("response_format")),
        thinking=_thinking(fields.get("thinking")),
        reasoning_effort=_optional(fields, "reasoning_effort", _effort),
        parameters=parameters,
        unknown=unknown,
        fallback=_optional(fields, "fallback", boolean) is not False,
        on_interrupt=cast(
            OnInterrupt,
            _optional(fields, "on_interrupt", _on_interrupt) or "continue",
        ),
        on_disconnect=cast(
            "OnDisconnect | None",
            _optional(fields, "on_disconnect", _on_disconnect),
        ),
    )


def _load(body: bytes | bytearray) -> dict[str, Any]:
    if not body or body.isspace():
        raise _not_json("The body is empty. Send a JSON object with `messages`.")
    if depth_exceeds(body, MAX_DEPTH):
        raise _not_json(f"The body nests deeper than {MAX_DEPTH} levels. Send a flatter JSON object.")
    try:
        value = loads(body, lone_surrogates=False)
    except ValueError as error:
        raise _not_json(f"The body is not valid JSON in UTF-8 ({error}). Mend it and send it again.") from None
    if not isinstance(value, dict):
        raise _not_json(f"The body must be a JSON object, not {shown(value)}.")
    if keys_repeat(body, value):
        raise _not_json("An object in the body names a key twice. Name each key once.")
    return value


def _not_json(message: str) -> InvalidRequest:
    return InvalidRequest(message, code=Code.INVALID_JSON)


def _optional(fields: Mapping[str, Any], name: str, check: Callable[[object, str], _Checked]) -> _Checked | None:
    value = fields.get(name)
    return None if value is None else check(value, name)


def _model(value: object) -> str | None:
    if value is None:
        return None
    model = string(value, "model", max_chars=_MAX_MODEL_CHARS)
    if not model.isprintable():
        raise invalid("model", "`model` must hold printable characters only. Ask GET models/ for the names.")
    return None if model in ("", "auto") else model


def _include_usage(value: object) -> bool:
    if value is None:
        return False
    wanted = json_object(value, "stream_options").get("include_usage")
    return wanted is not None and boolean(wanted, "stream_options.include_usage")


def _max_tokens(fields: Mapping[str, Any]) -> int | None:
    newer = _optional(fields, "max_completion_tokens", _answer_tokens)
    older = _optional(fields, "max_tokens", _answer_tokens)
    return older if newer is None else newer


def _stop(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (string(value, "stop", min_chars=1),)
    if not isinstance(value, list):
        raise invalid("stop", f"`stop` must be a string or an array of strings, not {shown(value)}.")
    items = array(value, "stop", max_items=_MAX_STOPS)
    return tuple([string(item, f"stop[{index}]", min_chars=1) for index, item in enumerate(items)])


def _thinking(value: object) -> bool | None:
    if value is None:
        return None
    kind = required(json_object(value, "thinking"), "type", "thinking", "`enabled` or `disabled`")
    return one_of(kind, "thinking.type", ("enabled", "disabled")) == "enabled"


def _check_n(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value != 1:
        raise invalid("n", f"`n` must be 1, not {shown(value)}. Send one request for each answer.")


def _parameters(fields: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    for name, successor in _REPLACED.items():
        if name in fields:
            raise unsupported(
                name, f"`{name}` is the form before `{successor}`, in which no answer is given. Send `{successor}`."
            )
    return parse_parameters({name: value for name, value in fields.items() if name not in _CONSUMED})

"""The fields of a request that only a provider reads: which there are, and what is checked of each.

A field that is in no table here is nobody's: it is named to the client and stays here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from apps.llm.wire.checks import array, boolean, integer, json_object, number, string
from apps.llm.wire.shapes import PARAMETERS, kept

__all__ = ["CHECKS", "parse_parameters"]

_MOST_UNKNOWN = 32
"""Names that are kept of fields that nobody knows."""
_MOST_NAME_CHARS = 64


def _anything(value: object, path: str) -> object:
    del path
    return value


def _strings(value: object, path: str) -> object:
    for index, item in enumerate(array(value, path)):
        string(item, f"{path}[{index}]")
    return value


CHECKS: Mapping[str, Callable[[object, str], object]] = {
    "temperature": partial(number, minimum=0, maximum=2),
    "top_p": partial(number, minimum=0, maximum=1),
    "presence_penalty": partial(number, minimum=-2, maximum=2),
    "frequency_penalty": partial(number, minimum=-2, maximum=2),
    "seed": partial(integer, minimum=-(2**63), maximum=2**63 - 1),
    "user": partial(string, max_chars=512),
    "logprobs": boolean,
    "top_logprobs": partial(integer, minimum=0, maximum=20),
    "logit_bias": json_object,
    "parallel_tool_calls": boolean,
    "prediction": json_object,
    "web_search_options": json_object,
    "modalities": _strings,
    "audio": json_object,
    "verbosity": string,
    "service_tier": string,
    "store": boolean,
    # What it may hold is the vendor's to say.
    "metadata": _anything,
    "prompt_cache_key": string,
    "prompt_cache_retention": string,
    "safety_identifier": string,
    # Z.AI's.
    "do_sample": boolean,
    "tool_stream": boolean,
}


def parse_parameters(fields: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the fields that some provider knows, checked, and the names of the others. Raises InvalidRequest."""
    parameters: dict[str, Any] = {}
    unknown: list[str] = []
    for name, value in fields.items():
        check = CHECKS.get(name)
        if check is not None:
            check(value, name)
            parameters[name] = kept(value, PARAMETERS.get(name))
        elif len(unknown) < _MOST_UNKNOWN and _can_be_named(name):
            unknown.append(name)
    return parameters, tuple(unknown)


def _can_be_named(name: str) -> bool:
    """Whether a name, which the client chose, can stand in a list in a header."""
    return len(name) <= _MOST_NAME_CHARS and name.isascii() and name.replace("-", "_").replace(".", "_").isidentifier()

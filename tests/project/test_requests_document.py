"""docs/requests.md: which provider gets which member of a request, held against the dialects."""

from __future__ import annotations

from typing import Any

from apps.llm.providers import DIALECTS
from apps.llm.providers.base import Target
from apps.llm.providers.dialect import Dialect
from apps.llm.providers.plain import Plain
from apps.llm.wire import parameters
from tests.llm.providers.asking import call_of, request_of
from tests.project.tree import text_of

PLAIN = Plain("any", "http://127.0.0.1/v1", "any")
COLUMNS: dict[str, tuple[Dialect, str]] = {
    "deepseek": (DIALECTS["deepseek"], "deepseek-flash"),
    "zai": (DIALECTS["zai"], "glm-4.7"),
    "openai, reasoning": (DIALECTS["openai"], "gpt-6-luna"),
    "openai, others": (DIALECTS["openai"], "gpt-4o"),
    "configured": (PLAIN, "any"),
}
VALUES: dict[str, Any] = {
    **{"temperature": 0.5, "top_p": 0.5, "presence_penalty": 1, "frequency_penalty": 1, "seed": 7, "top_logprobs": 1},
    **{"logit_bias": {"1": 1}, "logprobs": True, "stop": "END", "parallel_tool_calls": False, "do_sample": True},
    **{"prediction": {"type": "content"}, "web_search_options": {}, "modalities": ["speech"], "audio": {"voice": "a"}},
    **{"store": True, "metadata": {"a": "b"}, "tool_stream": True},
    **dict.fromkeys(("verbosity", "service_tier", "prompt_cache_key", "prompt_cache_retention"), "low"),
    **dict.fromkeys(("user", "safety_identifier"), "ann"),
}
TOOLS = [{"type": "function", "function": {"name": "tide"}}]


def done_with(name: str, dialect: Dialect, target: Target) -> str:
    fields = {name: VALUES[name], "tools": TOOLS}
    request = request_of(**fields)
    if dialect.lacks(request, target) == name:
        return "needed"
    if name in dialect.ignored(request, target):
        return "ignored"
    if name in dialect.body(call_of(target, **fields)):
        return "sent"
    return "here" if dialect.shaping(request, target) is not None else "nothing"


def test_the_table_is_the_dialects():
    section = text_of("docs/requests.md").split("## Members by provider", 1)[1].split("\n## ", 1)[0]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.split("\n") if line.startswith("| ")
    ]
    assert lines[0][1:] == list(COLUMNS)
    written = {cells[0].strip("`"): cells[1:] for cells in lines[1:]}
    assert set(written) == {*parameters.CHECKS, "stop"} == set(VALUES)
    targets = [(dialect, dialect.target(model)) for dialect, model in COLUMNS.values()]
    for name, cells in written.items():
        assert cells == [done_with(name, *one) for one in targets], name

"""LangChain is an extra: with it the steps are runnables and its client works here, without it nothing is missing."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import forked
from tests.server import ServerProcess
from tests.templates.workbench import Workbench
from tests.waiting import PROGRAM_HANG_S

PROGRAM = Path(__file__).with_name("langchain_program.py")
WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("langchain"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import django
django.setup()
from apps.templates import langchain_services
from apps.templates.prompts import urls
try:
    langchain_services.preparation(None)
except ImportError as error:
    print(error)
print([name for name in sys.modules if name.startswith("langchain")])
"""
UNUSED = """
import sys, django
django.setup()
import promptcraft.urls
from apps.templates import langchain_services
print([name for name in sys.modules if name.startswith("langchain")])
"""


def installed() -> bool:
    found = all(importlib.util.find_spec(name) for name in ("langchain_core", "langchain_openai"))
    assert found or os.environ.get("CI") != "true", "CI is to have the extra `langchain` installed"
    return found


with_langchain = pytest.mark.skipif("not installed()", reason="the extra `langchain` is not installed")


def run(server: ServerProcess, *arguments: str) -> str:
    environment = server.env | {"DJANGO_SETTINGS_MODULE": "promptcraft.settings"}
    code, output, errors = forked.run(arguments, environment, within_s=PROGRAM_HANG_S)
    assert code == 0, errors
    return output


def test_without_it_one_function_says_what_to_install(by_rules: Workbench):
    said, loaded = run(by_rules.server, "-c", WITHOUT).splitlines()
    assert "pip install langchain-core" in said
    assert loaded == "[]"


def test_nobody_loads_it_who_does_not_use_it(by_rules: Workbench):
    assert run(by_rules.server, "-c", UNUSED).strip() == "[]"


@with_langchain
def test_steps_as_runnables_and_its_client_behind_them(by_rules: Workbench):
    token = by_rules.server.token()
    output = run(by_rules.server, str(PROGRAM), by_rules.server.url("/api/v2"), token)
    told: dict[str, Any] = json.loads(output.splitlines()[-1])
    assert told["steps"] == ["IntentStep", "TemplatesStep", "OptimizationStep"]
    assert "rain coat" in told["prompt"]
    # The mock says what it was asked.
    assert told["prompt"][:60] in told["whole"]
    assert "".join(told["pieces"]) == told["whole"]
    assert len([piece for piece in told["pieces"] if piece]) > 10


@with_langchain
@pytest.mark.parametrize("streaming", [True, False])
def test_its_client_alone(workbench: Workbench, streaming: bool):
    from langchain_openai import ChatOpenAI  # type: ignore[import-not-found,unused-ignore]

    server = workbench.server
    key: Any = server.token()
    question = [("system", "Answer shortly."), ("human", "When does the tide turn?")]
    # A client of its own making would keep its connections.
    with httpx.Client() as client:
        model: Any = ChatOpenAI(
            base_url=server.url("/api/v2"), api_key=key, model="auto", max_retries=0, http_client=client
        )
        if streaming:
            pieces = list(model.stream(question))
            text = "".join(piece.content for piece in pieces)
            assert len(pieces) > 5
        else:
            answer = model.invoke(question)
            text = answer.content
            assert answer.usage_metadata["total_tokens"] > 0
    assert text.startswith("DeepSeek answers")

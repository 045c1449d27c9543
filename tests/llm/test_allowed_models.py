"""A caller who may ask for some models alone: whom the chain asks then, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from apps.llm.breaker import BreakerPolicy, ProcessBreaker
from apps.llm.chain import Chain
from apps.llm.errors import Forbidden
from apps.llm.providers import DIALECTS, ProviderConfig
from apps.llm.providers.base import Provider
from apps.llm.providers.mock import MockProvider
from apps.llm.providers.openai_compatible import OpenAICompatibleProvider
from tests.each import each
from tests.llm.providers.asking import request_of

FLASH, PRO, GLM, LUNA = "deepseek-flash", "deepseek-v4-pro", "glm-4-32b-0414-128k", "gpt-6-luna"


def chain_of(*providers: Provider) -> Chain:
    return Chain(providers, {provider.name: ProcessBreaker(BreakerPolicy()) for provider in providers})


VENDORS = chain_of(
    *(OpenAICompatibleProvider(DIALECTS[name], ProviderConfig(api_key="k")) for name in ("deepseek", "zai", "openai"))
)
MOCK = chain_of(MockProvider())


def asked(chain: Chain, allowed: Sequence[str], **fields: object) -> list[str]:
    return [candidate.target.model for candidate in chain.plan(request_of(**fields), allowed=allowed)]


@each(
    ("allowed", "fields", "models"),
    [
        ((), {}, [FLASH, GLM, LUNA]),
        ((FLASH,), {}, [FLASH]),
        ((FLASH,), {"model": "auto"}, [FLASH]),
        ((FLASH,), {"model": FLASH}, [FLASH]),
        ((LUNA, FLASH), {"model": FLASH}, [FLASH, LUNA]),
        ((LUNA,), {}, [LUNA]),
        # A model that is nobody's default.
        ((PRO,), {}, [PRO]),
        ((PRO, GLM), {"model": GLM}, [GLM, PRO]),
        # An alias stands for its model, whichever of the two is written where.
        (("deepseek-chat",), {}, [FLASH]),
        (("deepseek-chat",), {"model": FLASH}, [FLASH]),
        ((FLASH,), {"model": "deepseek-chat"}, [FLASH]),
        # A provider's name before a slash: its model, and nobody else's of that name.
        ((f"zai/{GLM}",), {"model": GLM}, [GLM]),
        ((f"zai/{GLM}", FLASH), {"model": f"deepseek/{FLASH}"}, [FLASH, GLM]),
        (("nobody's", FLASH), {}, [FLASH]),
        ((FLASH, LUNA), {"fallback": False}, [FLASH]),
    ],
)
def test_no_other_model_is_asked(allowed: Sequence[str], fields: dict[str, object], models: list[str]) -> None:
    assert asked(VENDORS, allowed, **fields) == models


@each(
    ("allowed", "fields"),
    [
        # The chain would go on to the one that is allowed; it is not what was asked for.
        ((LUNA,), {"model": FLASH}),
        ((GLM, LUNA), {"model": "deepseek-chat"}),
        ((PRO,), {"model": FLASH}),
        (("nobody's",), {}),
        (("nobody's",), {"model": GLM}),
        ((f"openai/{FLASH}",), {"model": FLASH}),
        ((FLASH.upper(),), {"model": FLASH}),
        ((FLASH[:-1],), {"model": FLASH}),
    ],
)
def test_another_model_is_refused(allowed: Sequence[str], fields: dict[str, object]) -> None:
    with pytest.raises(Forbidden) as caught:
        asked(VENDORS, allowed, **fields)
    assert caught.value.param == "model"
    assert all(model in caught.value.message for model in allowed)


def test_the_mock_stands_for_every_model_where_it_is_all_there_is() -> None:
    assert asked(MOCK, (FLASH,), model=FLASH) == ["mock"]
    assert asked(MOCK, ("mock",)) == ["mock"]
    for fields in ({"model": LUNA}, {"model": "mock"}, {}):
        with pytest.raises(Forbidden):
            asked(MOCK, (FLASH,), **fields)

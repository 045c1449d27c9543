"""The vendors, in the order of the default chain, and any other server by its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from apps.llm.providers.base import ProviderConfig
from apps.llm.providers.deepseek import DeepSeek
from apps.llm.providers.dialect import Dialect
from apps.llm.providers.openai import OpenAI
from apps.llm.providers.plain import Plain
from apps.llm.providers.zai import Zai

__all__ = ["DIALECTS", "VENDOR_NAMES", "ProviderConfig", "dialect_of", "variable_of"]

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            DeepSeek(),
            Zai(),
            OpenAI(),
        )
    }
)
VENDOR_NAMES: tuple[str, ...] = tuple(DIALECTS)


def variable_of(name: str, part: str) -> str:
    """Return the environment variable of a provider: `my-llm` and `MODEL` give `MY_LLM_MODEL`."""
    return f"{name.upper().replace('-', '_')}_{part}"


def dialect_of(name: str, config: ProviderConfig) -> Dialect | None:
    """Return what is spoken with a provider; None if it is a vendor without a key.

    Raises ValueError if a provider that is no vendor lacks its base URL or its model, or that model cannot be sent.
    """
    vendor = DIALECTS.get(name)
    if vendor is not None:
        return vendor if config.api_key else None
    if config.base_url is None or config.model is None:
        raise ValueError(f"{name} needs a base URL and a model")
    return Plain(name, config.base_url, config.model)

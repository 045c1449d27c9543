"""The vendors, in the order of the default chain. A new one is its file and its line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from apps.llm.providers.base import ProviderConfig
from apps.llm.providers.deepseek import DeepSeek
from apps.llm.providers.dialect import Dialect
from apps.llm.providers.openai import OpenAI
from apps.llm.providers.zai import Zai

__all__ = ["DIALECTS", "VENDOR_NAMES", "ProviderConfig", "owner_of"]

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


def owner_of(model: str) -> str | None:
    """Return the vendor whose model or alias this is, configured or not; None if it is nobody's."""
    return next((name for name, dialect in DIALECTS.items() if dialect.knows(model)), None)

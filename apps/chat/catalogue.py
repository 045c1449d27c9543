"""`GET models/`: what can be asked for, at what price."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse

from apps.accounts.identity import Caller
from apps.chat.responses import json_response
from apps.chat.runtime import get_supervisor
from apps.llm.chain import ListedModel

__all__ = ["model_detail", "model_list"]


async def model_list(request: HttpRequest, caller: Caller) -> HttpResponse:
    """Answer `GET models/`."""
    del request, caller
    return json_response({"object": "list", "data": [_model(one) for one in get_supervisor().chain.models()]})


async def model_detail(request: HttpRequest, caller: Caller, model: str) -> HttpResponse:
    """Answer `GET models/{id}/`."""
    del request, caller
    chain = get_supervisor().chain
    one = chain.listed(model)
    if one is None:
        raise chain.model_not_found()
    return json_response(_model(one))


def _model(one: ListedModel) -> dict[str, Any]:
    now = datetime.now(UTC)
    row = get_supervisor().prices.find(one.provider, one.facts.id, now)
    rates = None if row is None else row.rates(now)
    return {
        "id": one.facts.id,
        "object": "model",
        "created": one.facts.created,
        "owned_by": one.provider,
        "provider": one.provider,
        "context_window": one.facts.context_window_tokens,
        "max_output_tokens": one.facts.max_output_tokens,
        "pricing": None
        if rates is None
        else {
            "input": _usd(rates.input_nano_usd_per_mtok),
            "cached_input": _usd(rates.cached_input_nano_usd_per_mtok),
            "output": _usd(rates.output_nano_usd_per_mtok),
        },
        "available": one.available,
    }


def _usd(nano_usd: int) -> float:
    return float(Decimal(nano_usd) / 10**9)

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from apps.llm.price_rows import PRICE_ROWS, PRICES
from apps.llm.pricing import PriceBook, PriceRow, cost_nano_usd, usd
from apps.llm.providers import DIALECTS
from apps.llm.wire.openai import Usage
from tests.each import each

BEIJING = timezone(timedelta(hours=8))
# A Wednesday.
OFF_PEAK = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
PEAK = datetime(2026, 11, 18, 2, 0, tzinfo=UTC)


def usage(prompt: int = 0, completion: int = 0, cached: int = 0, reasoning: int = 0) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached, reasoning_tokens=reasoning)


def cost(provider: str, model: str, used: Usage, at: datetime = OFF_PEAK) -> int | None:
    return cost_nano_usd(PRICES.find(provider, model, at), used, at)


def row(**fields: object) -> PriceRow:
    given = {
        "provider": "p",
        "model": "m",
        "effective_from": datetime(2026, 1, 1, tzinfo=UTC),
        "input_nano_usd_per_mtok": 0,
        "cached_input_nano_usd_per_mtok": 0,
        "output_nano_usd_per_mtok": 0,
        **fields,
    }
    return PriceRow(**given)  # type: ignore[arg-type]


def test_prices_are_exact():
    assert usd("0.0028") == 2_800_000
    assert usd("0.003625") == 3_625_000
    assert usd("30.00") == 30_000_000_000
    with pytest.raises(ValueError, match="nano"):
        usd("0.0000000001")


@each(
    ("provider", "model", "used", "nano_usd"),
    [
        # 1,000 x 0.15 + 500 x 0.60, in millionths of a USD: 150 + 300 = 450, which is 450,000 nano-USD.
        ("deepseek", "deepseek-flash", usage(1_000, 500), 450_000),
        # 360 x 0.15 + 640 x 0.003 + 200 x 0.60 = 54 + 1.92 + 120 = 175.92.
        ("deepseek", "deepseek-flash", usage(1_000, 200, cached=640), 175_920),
        # Reasoning is in the completion already.
        ("deepseek", "deepseek-flash", usage(1_000, 200, cached=640, reasoning=150), 175_920),
        # 100 x 0.66 + 10 x 1.98 = 66 + 19.8.
        ("deepseek", "deepseek-v4-pro", usage(100, 10), 85_800),
        # One price for all: 300 x 0.10.
        ("zai", "glm-4-32b-0414-128k", usage(200, 100, cached=150), 30_000),
        # 6 x 0.60 + 64 x 0.11 + 21 x 2.20 = 3.6 + 7.04 + 46.2.
        ("zai", "glm-4.7", usage(70, 21, cached=64), 56_840),
        ("zai", "glm-4.7-flash", usage(1_000_000, 1_000_000), 0),
        # 12 x 0.10 + 5 x 0.50 = 1.2 + 2.5.
        ("openai", "gpt-6-luna", usage(12, 5), 3_700),
        # 1 x 0.01: a cached token of luna is 10 nano-USD.
        ("openai", "gpt-6-luna", usage(1, cached=1), 10),
        # 1 x 0.0025 + 1 x 10, both in millionths: 2.5 + 10.
        ("openai", "gpt-4o", usage(1, 1), 12_500),
        ("mock", "mock", usage(9_999, 9_999), 0),
    ],
)
def test_costs_computed_by_hand(provider, model, used, nano_usd):
    assert cost(provider, model, used) == nano_usd


@each(
    ("prompt", "nano_usd"),
    [
        # 272,000 x 0.10 + 100 x 0.50 = 27,200 + 50.
        (272_000, 27_250_000),
        # One more, and the whole request pays double for input, half again for output: 54,400.2 + 75.
        (272_001, 54_475_200),
    ],
)
def test_long_prompts_of_openai(prompt, nano_usd):
    assert cost("openai", "gpt-6-luna", usage(prompt, 100)) == nano_usd


def test_long_prompts_double_the_cached_price_too():
    # 100,000 x 0.10 x 2 + 200,000 x 0.01 x 2 = 20,000 + 4,000.
    assert cost("openai", "gpt-6-luna", usage(300_000, cached=200_000)) == 24_000_000


def test_models_before_5_5_have_no_long_price():
    assert cost("openai", "gpt-5.4", usage(300_000)) == 750_000_000


@each(
    ("at", "nano_usd"),
    [
        (PEAK, 900_000),
        (PEAK.astimezone(BEIJING), 900_000),
        (OFF_PEAK, 450_000),
        (datetime(2026, 11, 18, 0, 59, 59, 999_999, tzinfo=UTC), 450_000),
        (datetime(2026, 11, 18, 1, tzinfo=UTC), 900_000),
        (datetime(2026, 11, 18, 3, 59, 59, 999_999, tzinfo=UTC), 900_000),
        (datetime(2026, 11, 18, 4, tzinfo=UTC), 450_000),
        (datetime(2026, 11, 18, 5, 59, 59, tzinfo=UTC), 450_000),
        (datetime(2026, 11, 18, 6, tzinfo=UTC), 900_000),
        (datetime(2026, 11, 18, 10, tzinfo=UTC), 450_000),
        # Saturday and Sunday, Friday before and Monday after.
        (datetime(2026, 11, 21, 2, tzinfo=UTC), 450_000),
        (datetime(2026, 11, 22, 2, tzinfo=UTC), 450_000),
        (datetime(2026, 11, 20, 9, tzinfo=UTC), 900_000),
        (datetime(2026, 11, 23, 1, tzinfo=UTC), 900_000),
        # National Day's week, a Thursday to the Wednesday after, and the Thursday when work begins again.
        (datetime(2026, 10, 1, 2, tzinfo=UTC), 450_000),
        (datetime(2026, 10, 7, 9, tzinfo=UTC), 450_000),
        (datetime(2026, 10, 8, 2, tzinfo=UTC), 900_000),
        (datetime(2026, 9, 25, 2, tzinfo=UTC), 450_000),
        # Midnight in Beijing is still yesterday in UTC.
        (datetime(2026, 10, 8, 0, 30, tzinfo=BEIJING), 450_000),
    ],
)
def test_deepseek_peaks(at, nano_usd):
    assert cost("deepseek", "deepseek-flash", usage(1_000, 500), at) == nano_usd


@each(
    ("at", "nano_usd"),
    [
        # 1,000 x 0.14 + 500 x 0.28 = 280: the old list, without peaks. The change came on a Sunday.
        (datetime(2026, 8, 14, 2, tzinfo=UTC), 280_000),
        (datetime(2026, 8, 16, 15, 59, 59, 999_999, tzinfo=UTC), 280_000),
        (datetime(2026, 8, 16, 16, tzinfo=UTC), 450_000),
        (datetime(2026, 8, 17, 0, 0, tzinfo=BEIJING), 450_000),
        (datetime(2026, 8, 17, 2, tzinfo=UTC), 900_000),
        (datetime(2026, 4, 23, 23, 59, tzinfo=UTC), None),
    ],
)
def test_prices_are_dated(at, nano_usd):
    assert cost("deepseek", "deepseek-flash", usage(1_000, 500), at) == nano_usd


@each(("provider", "model"), [("deepseek", "fake-model"), ("openai", "deepseek-flash"), ("nobody", "mock")])
def test_unknown_price_is_none(provider, model):
    assert cost(provider, model, usage(1, 1)) is None


@each(
    ("price", "tokens", "nano_usd"),
    [(1, 499_999, 0), (1, 500_000, 1), (1, 1_499_999, 1), (1, 1_500_000, 2), (3, 166_667, 1)],
)
def test_rounding_is_half_up_and_once(price, tokens, nano_usd):
    assert cost_nano_usd(row(input_nano_usd_per_mtok=price), usage(tokens), OFF_PEAK) == nano_usd


def test_parts_are_rounded_together():
    # Twice 0.4 of a nano-USD: 0.8 rounds to 1, each alone to 0.
    priced = row(input_nano_usd_per_mtok=1, output_nano_usd_per_mtok=1)
    assert cost_nano_usd(priced, usage(400_000, 400_000), OFF_PEAK) == 1


def test_more_cached_than_prompt_is_not_a_discount():
    priced = row(input_nano_usd_per_mtok=10_000_000, cached_input_nano_usd_per_mtok=1_000_000)
    assert cost_nano_usd(priced, usage(10, cached=99), OFF_PEAK) == 10


def test_rates_show_the_peak():
    found = PRICES.find("deepseek", "deepseek-flash", PEAK)
    assert found is not None
    assert found.rates(PEAK).output_nano_usd_per_mtok == usd("1.20")
    assert found.rates(PEAK).cached_input_nano_usd_per_mtok == usd("0.006")
    assert found.rates(OFF_PEAK).input_nano_usd_per_mtok == usd("0.15")


def test_rows_have_names_that_tell_them_apart():
    assert len({one.id for one in PRICE_ROWS}) == len(PRICE_ROWS)
    found = PRICES.find("deepseek", "deepseek-flash", OFF_PEAK)
    assert found is not None
    assert found.id == "deepseek/deepseek-flash@2026-08-16T16:00Z"


def test_two_prices_from_the_same_instant_are_refused():
    with pytest.raises(ValueError, match="two prices"):
        PriceBook([row(), row()])


def test_instants_need_a_time_zone():
    with pytest.raises(ValueError, match="time zone"):
        row(effective_from=datetime(2026, 1, 1))


@each("vendor", DIALECTS)
def test_every_model_of_the_catalogues_has_a_price(vendor):
    unpriced = [facts.id for facts in DIALECTS[vendor].catalogue if PRICES.find(vendor, facts.id, OFF_PEAK) is None]
    assert unpriced == []

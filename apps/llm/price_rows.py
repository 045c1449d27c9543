"""Every price that is known, dated. Rows are added, never changed: the ledger names the one it used.

Vendors' price pages: https://api-docs.deepseek.com/quick_start/pricing, https://docs.z.ai/guides/overview/pricing,
https://developers.openai.com/api/docs/pricing. Prices are USD for a million tokens: input, cached input, output.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from fractions import Fraction

from apps.llm.pricing import LongContext, Peak, PriceBook, PriceRow, usd

__all__ = ["PRICES", "PRICE_ROWS", "configured_row"]

# 09-12 and 14-18 in Beijing, Monday to Friday, public holidays excluded. The State Council announces each year's
# holidays late in the year before: 2027's beyond New Year's Day are to be added then.
_DEEPSEEK_PEAK = Peak(
    windows_utc=((time(1), time(4)), (time(6), time(10))),
    multiplier=2,
    weekdays=frozenset(range(5)),
    holidays=(
        date(2026, 9, 25),
        date(2026, 10, 1),
        date(2026, 10, 2),
        date(2026, 10, 5),
        date(2026, 10, 6),
        date(2026, 10, 7),
        date(2027, 1, 1),
    ),
)
_OPENAI_LONG = LongContext(over_prompt_tokens=272_000, input_multiplier=Fraction(2), output_multiplier=Fraction(3, 2))

_Prices = tuple[str, str, str]


def _day(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def _rows(
    provider: str,
    effective_from: datetime,
    prices: dict[str, _Prices],
    *,
    peak: Peak | None = None,
    long_context: LongContext | None = None,
) -> tuple[PriceRow, ...]:
    return tuple(
        PriceRow(
            provider=provider,
            model=model,
            effective_from=effective_from,
            input_nano_usd_per_mtok=usd(miss),
            cached_input_nano_usd_per_mtok=usd(cached),
            output_nano_usd_per_mtok=usd(output),
            peak=peak,
            long_context=long_context,
        )
        for model, (miss, cached, output) in prices.items()
    )


PRICE_ROWS: tuple[PriceRow, ...] = (
    # Ids that are retired, and the list prices before the peak hours came: history.
    *_rows(
        "deepseek",
        _day(2025, 12, 1),
        {"deepseek-chat": ("0.28", "0.028", "0.42"), "deepseek-reasoner": ("0.28", "0.028", "0.42")},
    ),
    *_rows(
        "deepseek",
        _day(2026, 4, 24),
        {"deepseek-flash": ("0.14", "0.0028", "0.28"), "deepseek-v4-pro": ("0.435", "0.003625", "0.87")},
    ),
    *_rows(
        "deepseek",
        datetime(2026, 8, 16, 16, tzinfo=UTC),
        {"deepseek-flash": ("0.15", "0.003", "0.60"), "deepseek-v4-pro": ("0.66", "0.022", "1.98")},
        peak=_DEEPSEEK_PEAK,
    ),
    *_rows(
        "zai",
        _day(2026, 7, 2),
        {
            # One price for all tokens.
            "glm-4-32b-0414-128k": ("0.10", "0.10", "0.10"),
            "glm-4.5": ("0.60", "0.11", "2.20"),
            "glm-4.5-air": ("0.20", "0.03", "1.10"),
            "glm-4.5-flash": ("0", "0", "0"),
            "glm-4.6": ("0.60", "0.11", "2.20"),
            "glm-4.7": ("0.60", "0.11", "2.20"),
            "glm-4.7-flash": ("0", "0", "0"),
            "glm-4.7-flashx": ("0.07", "0.01", "0.40"),
            "glm-5": ("1.00", "0.20", "3.20"),
            "glm-5-turbo": ("1.20", "0.24", "4.00"),
            "glm-5.1": ("1.40", "0.26", "4.40"),
            "glm-5.2": ("1.40", "0.26", "4.40"),
        },
    ),
    *_rows(
        "zai",
        _day(2026, 8, 1),
        {
            "glm-5.3": ("1.40", "0.26", "4.40"),
            "glm-5.3-flash": ("0.15", "0.03", "0.50"),
            # No cache discount is published for it.
            "glm-5.3-flashx": ("0.37", "0.37", "1.25"),
        },
    ),
    *_rows(
        "openai",
        _day(2026, 7, 24),
        {
            "gpt-4o": ("2.50", "1.25", "10.00"),
            "gpt-4o-mini": ("0.15", "0.075", "0.60"),
            "gpt-4.1": ("2.00", "0.50", "8.00"),
            "gpt-4.1-mini": ("0.40", "0.10", "1.60"),
            "gpt-5": ("1.25", "0.125", "10.00"),
            "gpt-5-mini": ("0.25", "0.025", "2.00"),
            "gpt-5-nano": ("0.05", "0.005", "0.40"),
            "gpt-5.1": ("1.25", "0.125", "10.00"),
            "gpt-5.2": ("1.75", "0.175", "14.00"),
            "gpt-5.4": ("2.50", "0.25", "15.00"),
            "gpt-5.4-mini": ("0.75", "0.075", "4.50"),
            "gpt-5.4-nano": ("0.20", "0.02", "1.25"),
        },
    ),
    *_rows("openai", _day(2026, 7, 24), {"gpt-5.5": ("5.00", "0.50", "30.00")}, long_context=_OPENAI_LONG),
    *_rows(
        "openai",
        _day(2026, 8, 1),
        {
            "gpt-5.6-sol": ("4.00", "0.40", "20.00"),
            "gpt-5.6-terra": ("2.00", "0.20", "12.00"),
            "gpt-5.6-luna": ("0.20", "0.02", "1.20"),
        },
        long_context=_OPENAI_LONG,
    ),
    *_rows("openai", _day(2026, 9, 22), {"gpt-6-luna": ("0.10", "0.01", "0.50")}, long_context=_OPENAI_LONG),
    *_rows(
        "openai",
        _day(2026, 11, 1),
        {"gpt-6.2-sol": ("2.00", "0.10", "10.00"), "gpt-6-astra": ("10.00", "1.00", "50.00")},
        long_context=_OPENAI_LONG,
    ),
    *_rows("mock", _day(1970, 1, 1), {"mock": ("0", "0", "0")}),
)

PRICES = PriceBook(PRICE_ROWS)


def configured_row(provider: str, model: str, effective_from: datetime, price: tuple[int, int]) -> PriceRow:
    """Return the row of a price that an operator has set: input and output, nano-USD for a million tokens."""
    return PriceRow(
        provider=provider,
        model=model,
        effective_from=effective_from,
        input_nano_usd_per_mtok=price[0],
        cached_input_nano_usd_per_mtok=price[0],
        output_nano_usd_per_mtok=price[1],
    )

"""What a provider charges: how a dated price row becomes a cost. The rows are in `price_rows.py`.

Prices are integers, nano-USD for a million tokens, so that 0.0028 USD is exact; a cost is integer nano-USD,
rounded once, half up. A model without a row has no price: None, never 0.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction

import msgspec

from apps.llm.wire.types import Usage

__all__ = ["LongContext", "Peak", "PriceBook", "PriceRow", "Rates", "cost_nano_usd", "usd"]

_NANO = 1_000_000_000
_MILLION = 1_000_000


def usd(price: str) -> int:
    """Turn a price in USD for a million tokens, as price pages print it, into nano-USD.

    Raises ValueError if it is finer than a nano-USD.
    """
    nano_usd = Decimal(price) * _NANO
    if nano_usd != nano_usd.to_integral_value():
        raise ValueError(f"{price} USD is no whole number of nano-USD")
    return int(nano_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Hours at which every price is multiplied.

    `windows_utc` are half-open: a request that starts at the end of a window is off-peak. None may cross midnight.
    """

    windows_utc: tuple[tuple[time, time], ...]
    multiplier: int
    weekdays: frozenset[int]
    """Monday is 0."""
    holidays: tuple[date, ...] = ()
    """Days without a peak, as dates of UTC: the windows of a day lie within the same date at the vendor's place."""

    def applies(self, at: datetime) -> bool:
        """Whether an instant lies in a peak."""
        utc = at.astimezone(UTC)
        if utc.weekday() not in self.weekdays or utc.date() in self.holidays:
            return False
        return any(start <= utc.time() < end for start, end in self.windows_utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class LongContext:
    """Multipliers for a whole request whose prompt is over a length. `input_multiplier` covers cached tokens too."""

    over_prompt_tokens: int
    input_multiplier: Fraction
    output_multiplier: Fraction


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What holds at one instant for a prompt of ordinary length."""

    input_nano_usd_per_mtok: int
    cached_input_nano_usd_per_mtok: int
    output_nano_usd_per_mtok: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """One model's prices from one instant on. `mtok` is a million tokens."""

    provider: str
    model: str
    effective_from: datetime
    """Aware. Where a vendor does not say when a price began: the day on which it was first seen."""
    input_nano_usd_per_mtok: int
    cached_input_nano_usd_per_mtok: int
    """Equal to the input price where the vendor gives no discount."""
    output_nano_usd_per_mtok: int
    """Reasoning tokens are output."""
    peak: Peak | None = None
    long_context: LongContext | None = None

    def __post_init__(self) -> None:
        """Refuse an instant that has no time zone."""
        if self.effective_from.tzinfo is None:
            raise ValueError("effective_from needs a time zone")

    @property
    def id(self) -> str:
        """The row's name in the ledger: it stays when later rows are added."""
        return f"{self.provider}/{self.model}@{self.effective_from.astimezone(UTC):%Y-%m-%dT%H:%MZ}"

    def rates(self, at: datetime) -> Rates:
        """Return what a request that starts at an instant pays, the peak included."""
        times = self.peak.multiplier if self.peak is not None and self.peak.applies(at) else 1
        return Rates(
            input_nano_usd_per_mtok=self.input_nano_usd_per_mtok * times,
            cached_input_nano_usd_per_mtok=self.cached_input_nano_usd_per_mtok * times,
            output_nano_usd_per_mtok=self.output_nano_usd_per_mtok * times,
        )


class PriceBook:
    """Price rows, found by provider, model and time."""

    def __init__(self, rows: Iterable[PriceRow]) -> None:
        """Index the rows. Raises ValueError if two of one model begin at the same instant."""
        self._rows: dict[tuple[str, str], list[PriceRow]] = {}
        for row in sorted(rows, key=lambda row: row.effective_from):
            dated = self._rows.setdefault((row.provider, row.model), [])
            if dated and dated[-1].effective_from == row.effective_from:
                raise ValueError(f"two prices for {row.id}")
            dated.append(row)

    def find(self, provider: str, model: str, at: datetime) -> PriceRow | None:
        """Return the row in force at an instant (aware), None if there is none."""
        dated = self._rows.get((provider, model), [])
        index = bisect.bisect_right(dated, at, key=lambda row: row.effective_from)
        return dated[index - 1] if index else None


def cost_nano_usd(row: PriceRow | None, usage: Usage, at: datetime) -> int | None:
    """Return the cost of a request that started at an instant; None without a row.

    The start decides about the peak. `usage.prompt_tokens` includes the cached ones, as vendors count.
    """
    if row is None:
        return None
    rates = row.rates(at)
    cached_tokens = min(usage.cached_tokens, usage.prompt_tokens)
    prompt = rates.input_nano_usd_per_mtok * (usage.prompt_tokens - cached_tokens)
    prompt += rates.cached_input_nano_usd_per_mtok * cached_tokens
    output = rates.output_nano_usd_per_mtok * usage.completion_tokens
    rule = row.long_context
    if rule is None or usage.prompt_tokens <= rule.over_prompt_tokens:
        return _half_up(prompt + output, _MILLION)
    total = prompt * rule.input_multiplier + output * rule.output_multiplier
    return _half_up(total.numerator, total.denominator * _MILLION)


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)

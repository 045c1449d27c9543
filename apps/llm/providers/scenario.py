"""`X-Mock-Scenario`: the faults and forms that the mock rehearses."""

from __future__ import annotations

import re
from dataclasses import dataclass

from apps.llm.errors import InvalidRequest

__all__ = ["SCENARIOS", "Scenario", "parse_scenario"]

SCENARIOS = (
    "slow_first_token",
    "cut_after_n",
    "stall",
    "error_after_n",
    "error_first",
    "rate_limited_then_ok",
    "reasoning",
    "tool_call",
    "no_usage",
    "long",
)
_COUNTED = ("cut_after", "error_after")
_TOKENS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A scenario taken apart. `name` is one of SCENARIOS, or empty for an ordinary answer."""

    name: str
    after_tokens: int = _TOKENS
    """How many tokens come before the fault; only where the name ends in `_n`."""

    @classmethod
    def of(cls, text: str | None) -> Scenario:
        """Take apart what `parse_scenario` returned. Raises InvalidRequest for anything else."""
        if text is None:
            return cls(name="")
        match = re.fullmatch(r"([a-z_]+)_(n|\d{1,4})", text)
        if match and match[1] in _COUNTED:
            return cls(name=f"{match[1]}_n", after_tokens=_TOKENS if match[2] == "n" else int(match[2]))
        if text in SCENARIOS:
            return cls(name=text)
        raise InvalidRequest(f"The mock knows the scenarios {', '.join(SCENARIOS)}.", param="X-Mock-Scenario")


def parse_scenario(header: str) -> str | None:
    """Check an `X-Mock-Scenario` header; None for an empty one.

    The `n` of a name may be written as a number of up to four digits (`cut_after_7`); left as it is, it is 3.
    Raises InvalidRequest, `param` X-Mock-Scenario.
    """
    text = header.strip()
    if not text:
        return None
    Scenario.of(text)
    return text

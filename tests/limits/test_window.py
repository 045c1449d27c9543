"""What an answer says of the window, and the rates that the settings may ask for."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from apps.limits.limiter import Window, parse_rate
from tests.each import each


def test_headers_are_the_drafts_and_the_older_ones() -> None:
    assert Window(limit=5, window_s=60.0, remaining=3, reset_s=41).headers == {
        "RateLimit-Policy": '"chat";q=5;w=60',
        "RateLimit": '"chat";r=3;t=41',
        "X-RateLimit-Limit": "5",
        "X-RateLimit-Remaining": "3",
        "X-RateLimit-Reset": "41",
    }


@given(st.integers(1, 9), st.floats(0.25, 9), st.integers(0, 9), st.integers(0, 9))
def test_headers_are_whole_numbers(limit: int, window_s: float, remaining: int, reset_s: int) -> None:
    headers = Window(limit=limit, window_s=window_s, remaining=remaining, reset_s=reset_s).headers
    assert re.fullmatch(rf'"chat";q={limit};w=\d', headers["RateLimit-Policy"])
    assert headers["RateLimit"] == f'"chat";r={headers["X-RateLimit-Remaining"]};t={headers["X-RateLimit-Reset"]}'


@each(
    ("text", "rate"),
    [
        ("5/m", (5, 60.0)),
        ("3/2s", (3, 2.0)),
        ("100/10s", (100, 10.0)),
        ("1/h", (1, 3600.0)),
        ("7/2d", (7, 172800.0)),
        ("1/s", (1, 1.0)),
    ],
)
def test_rates_are_read(text: str, rate: tuple[int, float]) -> None:
    assert parse_rate(text) == rate

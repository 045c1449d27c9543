"""Instants as text are what Django and the standard library write of them."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connections
from hypothesis import example, given
from hypothesis import strategies as st

from promptcraft.instants import utc_microseconds, utc_milliseconds

instants = st.floats(0, 2**33)


@given(instants)
@example(1795424802.9999999)
@example(1795424802.9996)
@example(1795424802.0)
def test_a_line_has_the_millisecond(at_s: float) -> None:
    written = datetime.fromisoformat(utc_milliseconds(at_s))
    assert written.tzinfo is not None
    assert len(utc_milliseconds(at_s)) == len("2026-11-23T08:12:00.123+00:00")
    assert 0 <= at_s - written.timestamp() < 0.0010001


@given(instants)
@example(1795424802.9999999)
@example(1795424802.0000005)
@example(1795424802.0)
def test_a_row_has_what_django_would_write(at_s: float) -> None:
    instant = datetime.fromtimestamp(at_s, UTC)
    assert utc_microseconds(at_s) == connections["default"].ops.adapt_datetimefield_value(instant)

"""Cuts of a byte string, as a network makes them."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def cut(draw, data: bytes) -> list[bytes]:
    """Draw a list of pieces (empty ones too) that join to `data`."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]

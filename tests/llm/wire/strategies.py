"""What the property tests draw: JSON values with the awkward characters in them, and cuts as a network makes them."""

from __future__ import annotations

from hypothesis import strategies as st

from apps.llm.wire.json import join_surrogates

SURROGATES = st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF, categories=["Cs"])
ANY_TEXT = st.text(alphabet=st.characters() | SURROGATES | st.sampled_from('\x85\u2028\u2029"\\/\x7f\x1c\n\x00🦉'))
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=20,
)


def whole(value):
    """What a reader makes of a value: halves of a pair that stand together are one character."""
    if isinstance(value, str):
        return join_surrogates(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {whole(name): whole(item) for name, item in value.items()}
    return value


@st.composite
def cut(draw, data: bytes) -> list[bytes]:
    """Draw a list of pieces (empty ones too) that join to `data`."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]

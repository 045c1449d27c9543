"""Which call a fragment belongs to, whatever a server leaves out."""

from __future__ import annotations

from typing import Any

import pytest

from apps.llm.wire.json import dumps
from apps.llm.wire.openai import MAX_TOOL_CALLS, TooManyToolCalls, parse_request
from apps.llm.wire.tool_calls import ToolCalls
from tests.each import each
from tests.llm.wire.reading import assembled

TIDE, MOON = '{"port":"Brest"}', "{}"


def fragment(arguments: Any = None, name: str | None = None, **members: Any) -> dict[str, Any]:
    return {**members, "function": {"name": name, "arguments": arguments}}


def joined(*events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    calls = ToolCalls()
    taken = [calls.take(event) for event in events]
    message = assembled(("", dumps({"choices": [{"delta": {"tool_calls": one}}]})) for one in taken if one)
    return [dict(one) for one in message.tool_calls]


@each(
    "events",
    [
        pytest.param(
            [[fragment(TIDE, "tide", id="call_a")], [fragment(MOON, "moon", id="call_b")]], id="no index, one a chunk"
        ),
        pytest.param(
            [[fragment(TIDE, "tide", id="call_a"), fragment(MOON, "moon", id="call_b")]], id="no index, whole"
        ),
        pytest.param(
            [[fragment(TIDE, "tide", id="call_a", index=0)], [fragment(MOON, "moon", id="call_b", index=0)]],
            id="one index for all",
        ),
        pytest.param(
            [
                [fragment("", "tide", id="call_a")],
                [fragment('{"port":')],
                [fragment('"Brest"}')],
                [fragment("", "moon", id="call_b")],
                [fragment(MOON)],
            ],
            id="tails without anything",
        ),
        pytest.param(
            [
                [fragment("", "tide", id="call_a", index=0)],
                [fragment(TIDE, index=1)],
                [fragment(MOON, "moon", id="call_b", index=1)],
            ],
            id="a tail under another index",
        ),
        pytest.param(
            [
                [fragment("", "tide", id="call_a", index=3)],
                [fragment("", "moon", id="call_b", index=7)],
                [fragment(MOON, index=7)],
                [fragment('{"port":', index=3)],
                [fragment('"Brest"}', id="call_a", index=9)],
            ],
            id="interleaved, odd indices",
        ),
        pytest.param(
            [
                [fragment("", "tide", id="call_a", index=0)],
                [fragment('{"port":', id="x1", index=0)],
                [fragment('"Brest"}', id="x2", index=0)],
                [fragment(MOON, "moon", id="call_b", index=1)],
            ],
            id="an id for each fragment",
        ),
        pytest.param(
            [
                [fragment('{"port":', "tide", id="call_a", index=0)],
                [fragment('"Brest"}', "tide", id="call_a", index=0)],
                [fragment({}, "moon", id="call_b", index=1)],
            ],
            id="names repeated, arguments as an object",
        ),
        pytest.param(
            [
                [fragment(TIDE, "tide", id="call_a", index="0")],
                [fragment("", "moon", id="call_b", index="1")],
                [fragment(MOON, index="1")],
            ],
            id="indices as text",
        ),
    ],
)
def test_two_calls_stay_two(events: list[list[dict[str, Any]]]):
    assert joined(*events) == [
        {"id": "call_a", "type": "function", "function": {"name": "tide", "arguments": TIDE}},
        {"id": "call_b", "type": "function", "function": {"name": "moon", "arguments": MOON}},
    ]


def test_indices_are_ours():
    calls = ToolCalls()
    events = [calls.take([fragment(MOON, "moon", id=one, index=5)]) for one in ("a", "b", "c")]
    assert [event[0]["index"] for event in events] == [0, 1, 2]


@each(
    "call",
    [
        {"id": "a", "type": "function", "function": {"name": "now"}},
        fragment(None, "now", id="a", type=None),
        fragment(7, "now", id="a"),
        fragment("", "now", id=None, index=0),
        fragment("", "now", id="", type=""),
    ],
)
def test_what_is_left_out_is_filled_in_so_that_it_can_come_back(call: dict[str, Any]):
    (taken,) = joined([call])
    assert taken["function"] == {"name": "now", "arguments": ""}
    assert taken["id"]
    history = [{"role": "assistant", "content": None, "tool_calls": [taken]}, {"role": "user", "content": "And?"}]
    assert parse_request(dumps({"messages": history})).messages


def test_an_id_that_comes_late_begins_no_call():
    (taken,) = joined(
        [fragment("", "tide", index=0)], [fragment('{"port":', index=0, id="late")], [fragment('"Brest"}', id="late")]
    )
    assert taken["function"]["arguments"] == TIDE


def test_what_a_vendor_wants_back_stays():
    calls = ToolCalls()
    (taken,) = calls.take([fragment("{}", "now", id="a", extra_content={"x": 1})])
    assert taken["extra_content"] == {"x": 1}
    assert calls.take([fragment("", id="a"), fragment(None, index=0), {}]) == []


def test_they_are_bounded():
    calls = ToolCalls()
    for number in range(MAX_TOOL_CALLS):
        calls.take([fragment("", "now", id=f"call_{number}")])
    for number in range(10_000):
        assert calls.take([fragment("x", index=number + 1_000, id="call_0")])
    assert len(calls._by_index) <= 2 * MAX_TOOL_CALLS
    with pytest.raises(TooManyToolCalls):
        calls.take([fragment("", "now", id="one more")])

"""Every scenario sends what it says it sends."""

from __future__ import annotations

import pytest

from apps.llm.errors import Failure
from tests.each import each
from tests.sse_client import ProtocolViolation, open_stream
from tests.upstream import CATALOGUE, ERRORS, VENDORS, Outcome, UpstreamRequest, pairs
from tests.upstream.request import RawRequest
from tests.upstream.steps import Pause, Trickle
from tests.upstream_tests.reading import ask, read
from tests.waiting import HANG_S

# What the contract's chain and the design's list of scars name, by the scenarios that play it.
DEMANDED = (
    "silence-after-accept",
    "silence-after-headers",
    "keep-alives-for-ever",
    "empty-deltas-for-ever",
    "stall",
    "stall-silent",
    "cut-by-reset",
    "cut-by-fin",
    "cut-mid-utf8",
    "end-without-finish",
    "done-without-finish",
    "malformed-line",
    "trailing-line",
    "error-event-first",
    "error-event-later",
    "html-in-200",
    "json-error-in-200",
    "whole-json",
    "whole-json-newlines",
    "line-of-64-mib",
    "slow-drip",
    "byte-by-byte",
    "gzip",
    "redirect",
    "insufficient-system-resource",
    "network-error",
    "sensitive",
    "model-context-window-exceeded",
    "usage-missing",
    "usage-on-finish",
    "usage-extra",
    "crlf-bom",
    "surrogates-split",
    "line-separators",
    "huge-delta",
    "tool-calls-whole",
    "tool-calls-interleaved",
    "reasoning",
    "refusal",
    "content-filter",
    "content-on-finish",
    "finish-twice",
    "content-after-finish",
    "control-characters-in-id",
    "early-hints",
    "close-in-headers",
    "header-over-64-kib",
    "no-content-type",
    "content-length-too-long",
    "content-length-too-short",
    "bytes-after-done",
    "open-after-done",
    "crlf-split",
)
DEMANDED_STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503)
BIG = ("line-of-64-mib", "line-of-64-mib-later", "comment-of-64-mib", "event-of-64-mib")
# They end by themselves, but only real pauses make them what they are: tried in their own tests.
SLOW = ("steady", "slow-drip", "slow-headers", "slow-first-token")
_MOMENT_S = 0.05
ENDLESS = [(vendor, name) for vendor, name in pairs() if CATALOGUE[name].endless]
FINITE = [
    (vendor, name)
    for vendor, name in pairs()
    if not CATALOGUE[name].endless and name not in (*BIG, *SLOW) and CATALOGUE[name].group != "errors"
]


@each("name", DEMANDED)
def test_demanded_scenario_exists(name):
    assert name in CATALOGUE


def test_every_vendor_has_every_status():
    missing = [
        (vendor, status)
        for vendor in VENDORS
        for status in DEMANDED_STATUSES
        if not any((error.vendor, error.status) == (vendor, status) for error in ERRORS)
    ]
    assert not missing
    assert {error.status for error in ERRORS if error.vendor == "zai"} >= {434, 435}


def test_scenarios_are_described_and_name_known_failures():
    for scenario in CATALOGUE.values():
        assert scenario.description
        assert "\n" not in scenario.description
        assert scenario.failure is None or Failure(scenario.failure)
        assert scenario.vendors


@each(("vendor", "name"), FINITE, ids=["-".join(pair) for pair in FINITE])
def test_finite_scenario_says_what_it_promises(upstream, vendor, name):
    upstream.reset()
    scenario = CATALOGUE[name]
    upstream.script(vendor, name)
    try:
        with ask(upstream, vendor) as stream:
            answer = read(stream.read())
    except (ProtocolViolation, ValueError, IndexError):
        # No HTTP, or broken HTTP: no whole answer can have been promised.
        assert scenario.outcome in (Outcome.FAILS_FIRST, Outcome.FAILS_LATER, Outcome.OPEN)
        return
    exchange = upstream.wait_over()
    assert exchange.complete or name == "content-length-too-short"
    if scenario.outcome is Outcome.ANSWERS:
        assert stream.status == 200
        assert answer.finishes
        assert not answer.errors
        assert not answer.broken
        assert scenario.text is None or answer.text == scenario.text
        assert scenario.reasoning is None or answer.reasoning == scenario.reasoning
        assert scenario.refusal is None or answer.refusal == scenario.refusal
    if scenario.outcome is Outcome.FAILS_LATER and not scenario.finish:
        assert answer.text == scenario.text
        known = {"stop", "length", "tool_calls", "content_filter"}
        whole = answer.done and set(answer.finishes) & known and not answer.errors and not answer.broken
        assert not whole


@each(("vendor", "name"), ENDLESS, ids=["-".join(pair) for pair in ENDLESS])
def test_endless_scenario_ends_when_its_peer_leaves(upstream, vendor, name):
    upstream.reset()
    upstream.script(vendor, name)
    outcome = CATALOGUE[name].outcome
    # What comes is waited for; that no more comes shows in a moment, on a slow machine not always.
    expected = (outcome is not Outcome.FAILS_FIRST, outcome in (Outcome.ANSWERS, Outcome.OPEN))
    data = b""
    try:
        with ask(upstream, vendor, timeout_s=HANG_S if any(expected) else _MOMENT_S) as stream:
            while len(data) < 4096 and (some := stream.read_some()):
                data += some
                if shown(data) == expected:
                    stream.wait_at_most(_MOMENT_S)
            raise AssertionError("it ended") if stream.ended else TimeoutError
    except TimeoutError:
        pass
    except ProtocolViolation:
        assert name == "headers-for-ever"
    exchange = upstream.wait_hung_up(vendor)
    assert not exchange.complete
    assert shown(data) == expected


def shown(data: bytes) -> tuple[bool, bool]:
    """Tell whether a body has a text, and whether it has a finish."""
    answer = read(data)
    return bool(answer.text), bool(answer.finishes)


@each("error", ERRORS, ids=lambda error: error.name)
def test_refusal_has_its_status_and_body(upstream, error):
    upstream.script(error.vendor, error.name)
    with ask(upstream, error.vendor) as stream:
        assert stream.status == error.status
        assert stream.read() == error.body("9876")
    assert error.words
    assert error.words.encode() in error.body()
    assert upstream.journal[-1].completion_tokens == 0


@each("name", BIG)
def test_endless_line_is_64_mib_and_stops_with_its_reader(upstream, name):
    upstream.reset()
    upstream.script("deepseek", name, times=1)
    with ask(upstream, "deepseek") as stream:
        size_bytes = sum(len(piece) for piece in iter(stream.read_some, b""))
    assert size_bytes >= 64 * 1024 * 1024
    upstream.script("deepseek", name, times=1)
    with ask(upstream, "deepseek") as stream:
        assert stream.read_some(1000)
    exchange = upstream.wait_hung_up("deepseek")
    assert exchange.bytes_sent < 32 * 1024 * 1024


@pytest.mark.parametrize("name", SLOW)
def test_slow_scenario_is_slow_by_real_pauses(name):
    raw = RawRequest(method="POST", path="/deepseek/chat/completions", header_list=(), body=b"")
    request = UpstreamRequest(number=1, vendor="deepseek", endpoint="chat", raw=raw, json={"stream": True})
    steps = list(CATALOGUE[name].steps(request))
    assert any(
        (isinstance(step, Pause) and step.seconds) or (isinstance(step, Trickle) and step.delay_s) for step in steps
    )


def test_redirect_leads_to_itself(upstream):
    upstream.script("zai", "redirect")
    with ask(upstream, "zai") as stream:
        assert (stream.status, stream.headers["location"]) == (302, "/zai/api/paas/v4/chat/completions")


def test_gzip_is_gzip(upstream):
    import gzip

    upstream.script("openai", "gzip")
    with ask(upstream, "openai") as stream:
        assert stream.headers["content-encoding"] == "gzip"
        assert read(gzip.decompress(stream.read())).finishes == ["stop"]


def test_get_of_a_chat_path_is_no_request_of_ours(upstream):
    with open_stream(upstream.base_url("openai") + "/chat/completions") as stream:
        assert stream.status == 404
    assert upstream.journal[-1].scenario == "no-such-path"

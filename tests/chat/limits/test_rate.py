"""The sliding window: never more than its limit in any window, and honest about what it says."""

from __future__ import annotations

import re
from collections import defaultdict
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.chat.conf import parse_rate
from apps.chat.limits.rate import Admission, RateWindows
from apps.llm.errors import Code, RateLimited

# A clock of 1024ths: sums of them are exact, so that a window's edge is an edge and not a rounding.
TICKS = 1024


def admitted(windows: RateWindows, user_id: int, now: float) -> bool:
    try:
        windows.take(user_id, now)
    except RateLimited:
        return False
    return True


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[int, int, list[tuple[float, int, bool]]]:
    """Draw a limit, a window in seconds, and arrivals: seconds since the last one, user, whether we fail it."""
    window_s = draw(st.integers(1, 5))
    at_edges = st.sampled_from([0, 1, TICKS - 1, TICKS, window_s * TICKS - 1, window_s * TICKS, window_s * TICKS + 1])
    gaps = st.one_of(st.integers(0, window_s * TICKS // 2), at_edges)
    arrival = st.tuples(gaps.map(lambda ticks: ticks / TICKS), st.integers(1, 3), st.booleans())
    return draw(st.integers(1, 4)), window_s, draw(st.lists(arrival, max_size=40))


class TestAnyArrivals:
    @given(arrivals())
    def test_never_more_than_the_limit_in_any_window_and_never_refused_without_need(self, drawn) -> None:
        limit, window_s, steps = drawn
        windows = RateWindows(limit=limit, window_s=window_s)
        taken: defaultdict[int, list[float]] = defaultdict(list)
        now = 1000.0
        for gap_s, user_id, fails in steps:
            now += gap_s
            in_window = [one for one in taken[user_id] if one > now - window_s]
            assert admitted(windows, user_id, now) == (len(in_window) < limit)
            if len(in_window) < limit:
                taken[user_id].append(now)
                if fails:
                    windows.give_back(user_id, now)
                    taken[user_id].remove(now)
        for times in taken.values():
            for first, over in zip(times, times[limit:], strict=False):
                assert over - first >= window_s

    @given(arrivals())
    def test_what_it_says_is_true(self, drawn) -> None:
        limit, window_s, steps = drawn
        windows = RateWindows(limit=limit, window_s=window_s)
        now = 1000.0
        for gap_s, user_id, _ in steps:
            now += gap_s
            try:
                says = windows.take(user_id, now)
            except RateLimited as error:
                retry_after_s = error.retry_after_s
                assert isinstance(retry_after_s, int)
                assert retry_after_s >= 1
                assert retry_after_s <= window_s
                assert admitted(deepcopy(windows), user_id, now + retry_after_s)
                # Not a second more than need be.
                assert retry_after_s == 1 or not admitted(deepcopy(windows), user_id, now + retry_after_s - 1)
                says = windows.look(user_id, now)
                assert says.remaining == 0
            assert 0 <= says.remaining < limit
            assert 1 <= says.reset_s <= window_s
            trial = deepcopy(windows)
            assert [admitted(trial, user_id, now) for _ in range(says.remaining + 1)] == [True] * says.remaining + [
                False
            ]
            # Whoever waits the reset has the whole limit again.
            trial = deepcopy(windows)
            assert all(admitted(trial, user_id, now + says.reset_s) for _ in range(limit))

    @given(arrivals())
    def test_an_obedient_client_is_never_refused(self, drawn) -> None:
        limit, window_s, steps = drawn
        windows = RateWindows(limit=limit, window_s=window_s)
        now = free_at = 1000.0
        for gap_s, _, _ in steps:
            now = max(now + gap_s, free_at)
            says = windows.take(1, now)
            if says.remaining == 0:
                free_at = now + says.reset_s


def test_looking_takes_nothing() -> None:
    windows = RateWindows(limit=2, window_s=60)
    assert [windows.look(1, 0.0).remaining for _ in range(5)] == [2] * 5
    assert windows.look(1, 0.0).reset_s == 0
    windows.take(1, 0.0)
    assert windows.look(1, 1.0) == Admission(limit=2, window_s=60, remaining=1, reset_s=59, taken_at=None)


def test_users_do_not_share() -> None:
    windows = RateWindows(limit=1, window_s=60)
    windows.take(1, 0.0)
    windows.take(2, 0.0)
    assert not admitted(windows, 1, 0.0)


def test_refusals_cost_nothing() -> None:
    windows = RateWindows(limit=1, window_s=10)
    windows.take(1, 0.0)
    assert not any(admitted(windows, 1, now) for now in (1.0, 5.0, 9.9))
    assert admitted(windows, 1, 10.0)


class TestGivingBack:
    def test_frees_the_slot_that_was_taken_and_no_other(self) -> None:
        windows = RateWindows(limit=2, window_s=10)
        windows.take(1, 0.0)
        second = windows.take(1, 4.0).taken_at
        assert second is not None
        windows.give_back(1, second)
        assert windows.look(1, 4.0).remaining == 1
        assert windows.look(1, 4.0).reset_s == 6

    def test_again_or_late_changes_nothing(self) -> None:
        windows = RateWindows(limit=1, window_s=10)
        taken_at = windows.take(1, 0.0).taken_at
        assert taken_at is not None
        windows.take(1, 10.0)
        windows.give_back(1, taken_at)
        windows.give_back(2, taken_at)
        assert windows.look(1, 10.0).remaining == 0

    def test_a_refusal_names_the_seconds_to_the_next_free_slot(self) -> None:
        windows = RateWindows(limit=2, window_s=60)
        windows.take(1, 0.0)
        windows.take(1, 30.0)
        with pytest.raises(RateLimited) as caught:
            windows.take(1, 40.5)
        assert caught.value.retry_after_s == 20
        assert caught.value.code is Code.RATE_LIMITED
        assert "20 s" in caught.value.message


class TestMemory:
    def test_users_who_left_are_forgotten(self) -> None:
        windows = RateWindows(limit=3, window_s=10)
        for user_id in range(5_000):
            windows.take(user_id, user_id / 10)
        # 100 of them asked within the last window; some more are waiting to be looked at.
        assert len(windows._taken) <= 250

    def test_a_crowd_that_left_is_forgotten_as_one_stays(self) -> None:
        windows = RateWindows(limit=3, window_s=10)
        for user_id in range(1_000):
            windows.take(user_id, 0.0)
        for step in range(1_100):
            windows.look(1, 20.0 + step / 100)
        assert len(windows._taken) <= 2

    def test_users_who_are_there_are_not_forgotten(self) -> None:
        windows = RateWindows(limit=1, window_s=10)
        for user_id in range(200):
            windows.take(user_id, 0.0)
        for user_id in range(200):
            assert not admitted(windows, user_id, 9.0)

    def test_a_flood_of_one_user_keeps_no_more_than_the_limit(self) -> None:
        windows = RateWindows(limit=5, window_s=10)
        for step in range(2_000):
            admitted(windows, 1, step / 100)
        assert len(windows._taken[1]) <= 5


class TestHeaders:
    def test_are_the_drafts_and_the_older_ones(self) -> None:
        windows = RateWindows(limit=5, window_s=60)
        windows.take(1, 100.0)
        says = windows.take(1, 119.5)
        assert says.headers == {
            "RateLimit-Policy": '"chat";q=5;w=60',
            "RateLimit": '"chat";r=3;t=60',
            "X-RateLimit-Limit": "5",
            "X-RateLimit-Remaining": "3",
            "X-RateLimit-Reset": "60",
        }

    @given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9 * TICKS))
    def test_are_whole_numbers(self, limit: int, window_s: int, ticks: int) -> None:
        windows = RateWindows(limit=limit, window_s=window_s)
        windows.take(1, 0.0)
        headers = windows.look(1, ticks / TICKS).headers
        assert re.fullmatch(rf'"chat";q={limit};w={window_s}', headers["RateLimit-Policy"])
        assert re.fullmatch(r'"chat";r=\d+;t=\d+', headers["RateLimit"])
        assert headers["RateLimit"] == f'"chat";r={headers["X-RateLimit-Remaining"]};t={headers["X-RateLimit-Reset"]}'


@pytest.mark.parametrize(
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

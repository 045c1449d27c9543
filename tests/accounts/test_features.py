"""Which users a rollout has reached: sticky, and changed by nothing but the settings it is made of."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from apps.accounts.features import Phase, features_of
from apps.accounts.features import _bucket as bucket
from apps.accounts.identity import Caller
from promptcraft import settings as read_settings

USERS = range(1, 4001)
FEW = USERS[:1000]


def caller(user_id):
    return Caller(user_id=user_id, username=f"user-{user_id}")


@pytest.fixture
def reached(settings):
    """Return those of USERS who are told to move, in a phase at a percentage."""

    def ask(phase, percent=0, users=USERS):
        settings.SSE_ROLLOUT_PHASE, settings.SSE_ROLLOUT_PERCENT = phase, percent
        told = {user_id: features_of(caller(user_id)).sse_streaming for user_id in users}
        assert {rollout.phase for rollout in told.values()} == {Phase(phase)}
        return {user_id for user_id, rollout in told.items() if rollout.enabled}

    return ask


@pytest.mark.parametrize("percent", [0, 50, 100])
def test_the_other_phases_do_not_look_at_the_percentage(reached, percent):
    assert reached("off", percent) == reached("shadow", percent) == set()
    assert reached("on", percent) == set(USERS)


def test_the_ends_of_the_scale(reached):
    assert reached("percentage", 0) == set()
    assert reached("percentage", 100) == set(USERS)


def test_a_percentage_is_about_that_many(reached):
    for percent in (1, 5, 25, 50, 99):
        assert len(reached("percentage", percent)) / len(USERS) == pytest.approx(percent / 100, abs=0.03)


def test_raising_it_only_adds_and_lowering_it_only_removes(reached):
    steps = [reached("percentage", percent, FEW) for percent in range(0, 101, 5)]
    assert all(fewer < more for fewer, more in zip(steps, steps[1:], strict=False))
    assert [reached("percentage", percent, FEW) for percent in range(100, -1, -5)] == steps[::-1]


def test_a_user_stays_where_a_user_is(settings):
    before = [bucket("sse_streaming", user_id) for user_id in USERS]
    settings.SECRET_KEY = settings.SECRET_KEY[::-1]
    assert [bucket("sse_streaming", user_id) for user_id in USERS] == before
    # Written down, for a deploy in the middle of a rollout must not deal the cards anew.
    assert [bucket("sse_streaming", user_id) for user_id in (1, 2, 3, 1000, 10**12)] == [20, 57, 63, 6, 18]


def test_another_feature_reaches_others():
    both = sum(bucket("sse_streaming", user_id) < 10 and bucket("another", user_id) < 10 for user_id in USERS)
    assert both / len(USERS) == pytest.approx(0.01, abs=0.007)


def test_the_settings_know_the_same_phases():
    known = get_args(get_type_hints(read_settings)["SSE_ROLLOUT_PHASE"])
    assert tuple(phase.value for phase in Phase) == known


def test_me_tells_each_user(user, pair, me, settings):
    settings.SSE_ROLLOUT_PHASE = "percentage"
    own = bucket("sse_streaming", user.pk)
    for percent, enabled in ((own, False), (own + 1, True)):
        settings.SSE_ROLLOUT_PERCENT = percent
        features = me(f"Bearer {pair.access}").json()["features"]
        assert features == {"sse_streaming": {"enabled": enabled, "phase": "percentage"}}


def test_going_back_is_one_switch(pair, me, settings):
    settings.SSE_ROLLOUT_PHASE, settings.SSE_ROLLOUT_PERCENT = "percentage", 100
    assert me(f"Bearer {pair.access}").json()["features"]["sse_streaming"]["enabled"]
    settings.SSE_ROLLOUT_PHASE = "off"
    assert me(f"Bearer {pair.access}").json()["features"] == {"sse_streaming": {"enabled": False, "phase": "off"}}

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.backends.signals import connection_created
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts import identity
from apps.accounts.families import REPLAY_WINDOW_S, family_ended, family_open, family_revoke, token_rotate
from apps.accounts.identity import Caller, authenticate, authenticate_token
from apps.accounts.models import RefreshFamily
from apps.accounts.tokens import verify_access
from apps.core.work_queue import SHARE, Share, user_share
from apps.llm.errors import AuthenticationFailed
from promptcraft.database import run_in_database
from tests.accounts.conftest import PASSWORD, error_of
from tests.accounts.test_refresh import let_time_pass
from tests.each import each


def disable(user, pair):
    User.objects.filter(pk=user.pk).update(is_active=False)


def delete(user, pair):
    User.objects.get(pk=user.pk).delete()


def change_password(user, pair):
    user.set_password("another password")
    user.save()


def log_out(user, pair):
    family_revoke(refresh=pair.refresh)


def start():
    user = User.objects.create_user("ada", password=PASSWORD)
    return user, family_open(user=user)


ENDINGS = [disable, delete, change_password, log_out]


@pytest.mark.parametrize("end", ENDINGS)
def test_an_ended_token_fails_within_five_seconds(end, user, pair, me, clock, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert me(f"Bearer {pair.access}").status_code == 200
    with django_assert_num_queries(0):
        assert me(f"Bearer {pair.access}").status_code == 200
    end(user, pair)
    clock.now += 4.99
    response = me(f"Bearer {pair.access}")
    assert response.status_code == 401
    assert error_of(response)["code"] == "invalid_token"


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.django_db(transaction=True)
async def test_work_is_on_the_users_account_once_the_log_in_is_known_to_live(ends):
    user, pair = await run_in_database(start)
    if ends:
        await run_in_database(disable, user, pair)
    SHARE.set(Share("nobody"))
    try:
        await authenticate_token(pair.access)
    except AuthenticationFailed:
        assert ends
    assert (SHARE.get() == user_share(user.pk)) is not ends


@each("header", ["Bearer {}", "bearer {}", "BEARER   {}", "Bearer {} ", " Bearer  {}  "])
def test_a_token_is_found_by_its_signature_wherever_it_is_found(header, pair, me):
    written = header.format(pair.access)
    claims = verify_access(pair.access)
    assert identity.signed_share(written.encode()) == identity.share_of_claims(claims)
    assert me(written).status_code == 200
    assert identity.recall_user_id(written.encode()) == claims.user_id


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.django_db(transaction=True)
async def test_the_same_for_async_views(end, clock):
    user, pair = await run_in_database(start)
    header = f"Bearer {pair.access}"
    assert await authenticate(header) == Caller(user_id=user.pk, username="ada")
    await run_in_database(end, user, pair)
    if end is not log_out:
        assert (await authenticate(header)).user_id == user.pk, "remembered, and by whom does not matter"
        clock.now += 4.99
    with pytest.raises(AuthenticationFailed):
        await authenticate(header)
    with pytest.raises(AuthenticationFailed):
        await authenticate_token(pair.access)


def test_a_log_out_in_this_process_is_felt_at_once(user, pair, post, me, clock):
    other = family_open(user=user)
    assert me(f"Bearer {pair.access}").status_code == me(f"Bearer {other.access}").status_code == 200
    assert post("logout/", {"refresh": pair.refresh}).status_code == 205
    assert me(f"Bearer {pair.access}").status_code == 401
    with CaptureQueriesContext(connection) as queries:
        assert me(f"Bearer {other.access}").status_code == 200
    assert not queries, "of nobody else anything is forgotten"


def test_a_theft_is_felt_at_once(pair, post, me, clock):
    successor = token_rotate(refresh=pair.refresh)
    assert me(f"Bearer {successor.access}").status_code == 200
    let_time_pass(REPLAY_WINDOW_S + 1)
    assert post("token/refresh/", {"refresh": pair.refresh}).status_code == 401
    assert me(f"Bearer {successor.access}").status_code == 401


def test_other_log_ins_of_the_user_live_on(user, pair, me):
    other = family_open(user=user)
    family_revoke(refresh=pair.refresh)
    assert me(f"Bearer {pair.access}").status_code == 401
    assert me(f"Bearer {other.access}").status_code == 200


def test_a_disabled_user_is_not_remembered_as_disabled(user, pair, me):
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert me(f"Bearer {pair.access}").status_code == 401
    User.objects.filter(pk=user.pk).update(is_active=True)
    assert me(f"Bearer {pair.access}").status_code == 200


def test_me(user, pair, me):
    response = me(f"Bearer {pair.access}")
    assert response.status_code == 200
    assert response.json() == {
        "id": user.pk,
        "username": "ada",
        "email": "ada@example.org",
        "plan": "default",
        "limits": {"chat_rate_limit": "5/m", "workbench_rate_limit": "60/m", "max_streams": 5},
        "is_staff": False,
        "features": {"sse_streaming": {"enabled": True, "phase": "on"}},
    }


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """Return a list that gets every statement of the database threads, whose connections are opened from now on."""
    statements = []

    def note(execute, sql, params, many, context):
        statements.append(sql)
        return execute(sql, params, many, context)

    def watch(connection, **_):
        if note not in connection.execute_wrappers:
            connection.execute_wrappers.append(note)

    connection_created.connect(watch)
    yield statements
    connection_created.disconnect(watch)


@pytest.mark.django_db(transaction=True)
async def test_requests_that_come_together_ask_once(clock, asked):
    pair = await run_in_database(lambda: family_open(user=User.objects.create_user("ada", password=PASSWORD)))
    asked.clear()
    for _ in range(3):
        callers = await asyncio.gather(*(authenticate_token(pair.access) for _ in range(50)))
        assert {caller.username for caller in callers} == {"ada"}
        clock.now += 4.99
    assert len(asked) == 3, asked
    assert identity._asking == {}


@pytest.mark.django_db(transaction=True)
async def test_a_dead_token_is_asked_for_once_too(clock, asked):
    pair = await run_in_database(lambda: family_open(user=User.objects.create_user("ada", password=PASSWORD)))
    await run_in_database(family_revoke, refresh=pair.refresh)
    clock.now += 0.01
    asked.clear()
    callers = await asyncio.gather(*(authenticate_token(pair.access) for _ in range(50)), return_exceptions=True)
    assert {type(caller) for caller in callers} == {AuthenticationFailed}
    assert len(asked) == 1, asked
    assert identity._asking == {}


@pytest.mark.django_db(transaction=True)
async def test_a_slow_database_is_not_asked_more_often(clock, asked):
    pair = await run_in_database(lambda: family_open(user=User.objects.create_user("ada", password=PASSWORD)))
    asked.clear()
    asking = [asyncio.ensure_future(authenticate_token(pair.access)) for _ in range(50)]
    await asyncio.sleep(0)
    clock.now += 4.5
    assert {caller.username for caller in await asyncio.gather(*asking)} == {"ada"}
    assert len(asked) == 1, asked


@pytest.mark.django_db(transaction=True)
async def test_an_old_question_is_not_waited_for(clock, asked):
    pair = await run_in_database(lambda: family_open(user=User.objects.create_user("ada", password=PASSWORD)))
    asked.clear()
    first = asyncio.ensure_future(authenticate_token(pair.access))
    await asyncio.sleep(0)
    clock.now += 4.5
    callers = await asyncio.gather(*(authenticate_token(pair.access) for _ in range(10)), first)
    assert {caller.username for caller in callers} == {"ada"}
    assert len(asked) == 2, "its answer may be older than what is promised to who comes now"
    assert identity._asking == {}


@pytest.mark.django_db(transaction=True)
async def test_who_comes_after_the_log_out_is_not_let_in_by_an_answer_on_its_way(clock):
    pair = await run_in_database(lambda: family_open(user=User.objects.create_user("ada", password=PASSWORD)))
    first = asyncio.ensure_future(authenticate_token(pair.access))
    await asyncio.sleep(0)
    clock.now += 0.01
    # The answer has been given by now, and not yet been taken.
    family_id = verify_access(pair.access).family_id
    await asyncio.to_thread(lambda: RefreshFamily.objects.filter(pk=family_id).update(revoked_at=timezone.now()))
    family_ended.send(sender=RefreshFamily, family_id=family_id)
    with pytest.raises(AuthenticationFailed):
        await authenticate_token(pair.access)
    await asyncio.wait({first})


@pytest.mark.django_db(transaction=True)
async def test_none_of_them_is_let_in_by_an_answer_from_before_the_log_out(clock):
    pair = await run_in_database(lambda: family_open(user=User.objects.create_user("ada", password=PASSWORD)))
    first = asyncio.ensure_future(authenticate_token(pair.access))
    second = asyncio.ensure_future(authenticate_token(pair.access))
    await asyncio.sleep(0)
    clock.now += 0.01
    await run_in_database(family_revoke, refresh=pair.refresh)
    await asyncio.gather(first, second, return_exceptions=True)
    with pytest.raises(AuthenticationFailed):
        await authenticate_token(pair.access)


@pytest.mark.django_db(transaction=True)
async def test_who_leaves_while_asking_takes_nobody_along(clock):
    pair = await run_in_database(lambda: family_open(user=User.objects.create_user("ada", password=PASSWORD)))
    first = asyncio.ensure_future(authenticate_token(pair.access))
    second = asyncio.ensure_future(authenticate_token(pair.access))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).username == "ada"
    assert identity._asking == {}


@pytest.mark.django_db(transaction=True)
async def test_those_who_all_leave_leave_nothing_behind(clock, caplog):
    # What other tests left to the collector is not this one's.
    gc.collect()
    caplog.clear()
    pair = await run_in_database(lambda: family_open(user=User.objects.create_user("ada", password=PASSWORD)))
    await run_in_database(family_revoke, refresh=pair.refresh)
    asking = [asyncio.ensure_future(authenticate_token(pair.access)) for _ in range(3)]
    await asyncio.sleep(0)
    for one in asking:
        one.cancel()
    await asyncio.wait(asking)
    with pytest.raises(AuthenticationFailed):
        await authenticate_token(pair.access)
    gc.collect()
    assert identity._asking == {}
    assert not caplog.records, "an error that nobody waits for is none"

"""A key that ends while it is in use: nobody who comes afterwards is let in."""

from __future__ import annotations

import asyncio

import pytest
from django.contrib.auth.models import User

from apps.accounts import identity
from apps.accounts.api_keys import key_create, key_revoke
from apps.accounts.identity import authenticate
from apps.accounts.models import ApiKey
from apps.llm.errors import AuthenticationFailed, NotFound
from promptcraft.database import run_in_database

pytestmark = pytest.mark.django_db(transaction=True)


def new_key():
    row, key = key_create(user_id=User.objects.create_user("ada").pk, name="x")
    return row.pk, f"Bearer {key}"


async def test_uses_that_race_with_its_end(clock):
    key_id, header = await run_in_database(new_key)
    # Some are answered from memory, some ask as it ends.
    for _ in range(3):
        await authenticate(header)
        clock.now += 4.5
    before = [asyncio.ensure_future(authenticate(header)) for _ in range(20)]
    await asyncio.sleep(0)
    clock.now += 0.01
    ends = asyncio.ensure_future(run_in_database(key_revoke, key_id=key_id))
    beside = [asyncio.ensure_future(authenticate(header)) for _ in range(20)]
    await ends
    after = await asyncio.gather(*(authenticate(header) for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in after} == {AuthenticationFailed}
    told = await asyncio.gather(*before, *beside, return_exceptions=True)
    assert {type(answer) for answer in told} <= {AuthenticationFailed, identity.Caller}
    with pytest.raises(AuthenticationFailed):
        await authenticate(header)
    assert identity._asking == {}


async def test_two_who_revoke_it_at_once(clock):
    key_id, _ = await run_in_database(new_key)
    ends = [run_in_database(key_revoke, key_id=key_id) for _ in range(2)]
    answers = await asyncio.gather(*ends, return_exceptions=True)
    assert {type(answer) for answer in answers} <= {type(None), NotFound}
    assert type(None) in {type(answer) for answer in answers}
    assert not await run_in_database(ApiKey.objects.exists)


async def test_its_use_is_written_by_nobody_who_waits(clock):
    key_id, header = await run_in_database(new_key)
    await authenticate(header)
    (noting,) = identity._noting
    await noting
    first = await run_in_database(lambda: ApiKey.objects.get(pk=key_id).last_used_at)
    assert first is not None
    # Within the minute it is not noted again, however often it is asked for.
    for _ in range(3):
        clock.now += 4.5
        await authenticate(header)
        assert not identity._noting

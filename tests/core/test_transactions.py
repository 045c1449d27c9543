"""Long work in short transactions."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection

from apps.core.transactions import batches, run_in_transactions


@pytest.mark.django_db(transaction=True)
def test_each_work_is_a_transaction_and_what_makes_the_next_is_outside():
    inside, outside = [], []

    def works():
        for name in ("one", "two"):
            outside.append(connection.in_atomic_block)
            yield lambda name=name: inside.append((connection.in_atomic_block, User.objects.create(username=name)))

    run_in_transactions(works())
    assert outside == [False, False]
    assert [is_inside for is_inside, _ in inside] == [True, True]


@pytest.mark.django_db(transaction=True)
def test_what_was_done_before_a_failure_stays():
    works = [lambda: User.objects.create(username="one"), lambda: User.objects.create(username="one")]
    with pytest.raises(Exception, match="UNIQUE|unique"):
        run_in_transactions(works)
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], []),
        (["a"], [["a"]]),
        (["a", "b", "c"], [["a", "b"], ["c"]]),
        (["aaaa", "b"], [["aaaa", "b"]]),
        (["aaaa", "bb"], [["aaaa"], ["bb"]]),
        (["a" * 9, "b"], [["a" * 9], ["b"]]),
        (["a", "b" * 9, "c"], [["a"], ["b" * 9], ["c"]]),
    ],
)
def test_batches_have_a_bound_in_number_and_size(items, expected):
    assert list(batches(items, most=2, most_size=5, size_of=len)) == expected

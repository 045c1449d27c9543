"""Turns: nobody's work makes another's wait for more than one turn of each, in whatever order it comes and ends."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from apps.core.turns import Share, Turns

SHARES = [Share("ann"), Share("bob"), Share("net", "x"), Share("net", "y"), Share("net", "z")]
ADD = st.tuples(st.just("add"), st.sampled_from(SHARES))
FINISH = st.tuples(st.just("finish"), st.integers(0, 9))
WITHDRAW = st.tuples(st.just("withdraw"), st.integers(0, 99))
STEPS = st.lists(
    # More comes than goes: lines are to build up.
    st.one_of(ADD, ADD, ADD, FINISH, FINISH, WITHDRAW),
    min_size=30,
    max_size=120,
)


class Threads:
    """So many threads that do what is called, and end when the test says so."""

    def __init__(self, count: int, most_running: int, most_running_of_owner: int) -> None:
        self.count = count
        self.most_running = most_running
        self.most_running_of_owner = most_running_of_owner
        self.turns: Turns[tuple[Share, int]] = Turns(most_running, most_running_of_owner)
        self.waiting: dict[Share, list[tuple[Share, int]]] = defaultdict(list)
        self.running: list[tuple[Share, int]] = []
        self.called: list[tuple[Share, int]] = []
        self.overtaken: dict[str, Counter[str]] = defaultdict(Counter)
        """By owner that might be called: how often each other one was since."""
        self.numbers = 0

    def may_be_called(self) -> set[str]:
        running = Counter(share for share, _ in self.running)
        of_owner = Counter(share.owner for share, _ in self.running)
        return {
            share.owner
            for share, line in self.waiting.items()
            if line and running[share] < self.most_running and of_owner[share.owner] < self.most_running_of_owner
        }

    def add(self, share: Share) -> None:
        ticket = (share, self.numbers)
        self.numbers += 1
        self.waiting[share].append(ticket)
        self.turns.add(share, ticket)
        self.fill()

    def finish(self, index: int) -> None:
        if self.running:
            share, _ = self.running.pop(index % len(self.running))
            self.turns.finish(share)
            self.fill()

    def withdraw(self, index: int) -> None:
        tickets = [ticket for line in self.waiting.values() for ticket in line]
        if tickets:
            ticket = tickets[index % len(tickets)]
            assert self.turns.withdraw(ticket[0], ticket)
            self.waiting[ticket[0]].remove(ticket)
            self.forget_who_waits_no_more()
        if self.called:
            assert not self.turns.withdraw(self.called[-1][0], self.called[-1])

    def forget_who_waits_no_more(self) -> None:
        """One who comes back later begins anew, behind those who wait."""
        for owner in set(self.overtaken) - self.may_be_called():
            self.overtaken[owner].clear()

    def fill(self) -> None:
        while len(self.running) < self.count:
            owners = self.may_be_called()
            ticket = self.turns.call()
            assert (ticket is None) == (not owners), "a thread is idle if and only if nobody may use it"
            if ticket is None:
                break
            share = ticket[0]
            assert ticket == self.waiting[share].pop(0), "a share's work is done in its order"
            self.running.append(ticket)
            self.called.append(ticket)
            assert sum(one == share for one, _ in self.running) <= self.most_running
            assert sum(one.owner == share.owner for one, _ in self.running) <= self.most_running_of_owner
            for owner in owners - {share.owner}:
                self.overtaken[owner][share.owner] += 1
            self.overtaken[share.owner].clear()
        self.forget_who_waits_no_more()
        assert self.turns.waiting == sum(map(len, self.waiting.values()))


@given(steps=STEPS, count=st.integers(1, 4), most_running=st.integers(1, 2), most_running_of_owner=st.integers(1, 4))
def test_nobody_is_overtaken_twice_by_the_same(steps, count, most_running, most_running_of_owner):
    threads = Threads(count, most_running, most_running_of_owner)
    for step, argument in steps:
        getattr(threads, step)(argument)
        for since in threads.overtaken.values():
            assert all(times <= 1 for times in since.values())
    while threads.running:
        threads.finish(0)
    assert not any(threads.waiting.values())
    assert not threads.turns._lines
    assert not threads.turns._ready
    assert not threads.turns._waiting_of_owner
    assert not threads.turns._running_of_owner


def test_a_crowd_of_names_from_one_network_is_one_owner():
    turns: Turns[str] = Turns(1, 4)
    for number in range(50):
        turns.add(Share("net", f"name {number}"), f"guess {number}")
    turns.add(Share("net", "name 0"), "guess again")
    turns.add(Share("home", "ann"), "ann")
    assert [turns.call() for _ in range(4)] == ["guess 0", "ann", "guess 1", "guess 2"]


def test_the_parts_of_an_owner_take_turns():
    turns: Turns[str] = Turns(2, 4)
    for number in range(3):
        turns.add(Share("net", "busy"), f"busy {number}")
    turns.add(Share("net", "quiet"), "quiet")
    assert [turns.call() for _ in range(3)] == ["busy 0", "quiet", "busy 1"]


def test_an_owner_leaves_a_thread_to_others_whatever_its_parts_ask():
    turns: Turns[str] = Turns(1, 1)
    turns.add(Share("net", "x"), "x")
    turns.add(Share("net", "y"), "y")
    assert [turns.call(), turns.call()] == ["x", None]
    turns.add(Share("home", "ann"), "ann")
    assert turns.call() == "ann"
    turns.finish(Share("net", "x"))
    assert turns.call() == "y"

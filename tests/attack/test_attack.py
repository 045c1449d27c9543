"""The attacks tell a server that withstands them from one that does not, and never take what was not tried for held."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attack import framing, library, log_ins, names, providers, secrets
from tests.attack.__main__ import main
from tests.attack.own_server import own_target
from tests.attack.results import NotTried, Verdict, attack, broken, held
from tests.attack.running import ATTACKS, run_attacks
from tests.attack.target import Account, Target
from tests.attack.weak_server import weak_server

HELD = (names.user_names, names.slugs, secrets.logged_keys, secrets.file_modes, secrets.admin_pages, library.publishing)
BROKEN = (framing.upgrade_offers, framing.odd_heads, names.user_names, log_ins.one_name, log_ins.one_address)


def verdicts(target, attacks, **more):
    return {one.name: result.verdict for one, result in run_attacks(target, attacks, **more)}


@pytest.fixture(scope="module")
def weak() -> Iterator[Target]:
    with weak_server() as url:
        yield Target(url=url)


@pytest.fixture(scope="module")
def own() -> Iterator[Target]:
    with own_target(library=False) as target:
        yield target


@pytest.mark.parametrize("one", HELD, ids=lambda one: one.name)
def test_this_server_withstands_it(own, one):
    ((_, result),) = run_attacks(own, [one])
    assert result.verdict is Verdict.HELD, result.seen


@pytest.mark.parametrize("one", BROKEN, ids=lambda one: one.name)
def test_a_weak_server_does_not(weak, one):
    ((_, result),) = run_attacks(weak, [one])
    assert result.verdict is Verdict.BROKEN, result.seen


def test_what_cannot_be_seen_from_outside_is_not_tried(own):
    """The same server, as if it were somebody else's: without its log, its files, its provider and its users."""
    foreign = Target(url=own.url)
    attacks = (
        *(secrets.logged_keys, secrets.file_modes, secrets.admin_pages, names.slugs, framing.old_version),
        *(framing.many_sockets, framing.unread_answers, *library.ATTACKS, *providers.ATTACKS),
    )
    assert set(verdicts(foreign, attacks).values()) == {Verdict.NOT_TRIED}


def test_users_who_cannot_log_in_are_no_evidence(weak):
    nobody = Account(name="nobody", password="nothing")
    target = Target(url=weak.url, attacker=nobody, other=nobody, staff=nobody)
    attacks = (names.slugs, framing.many_sockets, log_ins.right_passwords, *library.ATTACKS, secrets.admin_pages)
    assert set(verdicts(target, attacks).values()) == {Verdict.NOT_TRIED}


def test_how_one_ends():
    def refuse(reason):
        raise reason

    cases = {
        Verdict.HELD: lambda target: held("well"),
        Verdict.BROKEN: lambda target: broken("not well"),
        Verdict.NOT_TRIED: lambda target: refuse(NotTried("no user")),
    }
    with weak_server() as url:
        target = Target(url=url)
        for verdict, run in cases.items():
            assert verdicts(target, [attack("one")(run)]) == {"one": verdict}
        assert verdicts(target, [attack("one")(lambda _: refuse(ConnectionResetError()))]) == {"one": Verdict.NOT_TRIED}
        slow = attack("one", is_thorough=True)(lambda _: held("well"))
        assert verdicts(target, [slow]) == {"one": Verdict.NOT_TRIED}
        assert verdicts(target, [slow], thorough=True) == {"one": Verdict.HELD}
    # The server has gone meanwhile.
    assert verdicts(target, [attack("one")(lambda _: held("well"))]) == {"one": Verdict.BROKEN}


def test_names_are_told_apart():
    assert len({one.name for one in ATTACKS}) == len(ATTACKS) > 20


class TestCommand:
    def test_a_broken_server_is_exit_1(self, weak, capsys):
        assert main(["--url", weak.url, "--only", "look like another's"]) == 1
        said = capsys.readouterr().out
        assert "broken" in said
        assert "1 broken" in said

    def test_nothing_broken_is_exit_0(self, weak, capsys):
        assert main(["--url", weak.url, "--only", "a provider's"]) == 0
        assert "3 not tried" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "url", ["http://attack.example", "http://192.0.2.1:8000", "https://127.0.0.1.attack.example/"]
    )
    def test_somebody_elses_server_is_refused(self, url, capsys):
        assert main(["--url", url]) == 2
        assert "--i-operate-this-server" in capsys.readouterr().err

    def test_the_list(self, capsys):
        assert main(["--list"]) == 0
        assert capsys.readouterr().out.count("\n") == len(ATTACKS)
        assert main(["--only", "no such attack"]) == 2

"""`make attack`: attack a server, and print what came of it.

Without --url it starts a server of its own, with a provider simulator and three users, so that every attack can be
carried out. With --url it attacks that server, with the users that are named; an attack that needs what is not there is
"not tried". Passwords are read from the environment, where other users of the machine do not see them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.attack.own_server import own_target
from tests.attack.results import Verdict
from tests.attack.running import ATTACKS, run_attacks
from tests.attack.target import Account, Target

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack, print the table, and return 1 if something is broken, 2 if the options make no sense, else 0."""
    options = _options(arguments)
    chosen = [attack for attack in ATTACKS if options.only is None or options.only in attack.name]
    if not chosen:
        print(f"No attack has `{options.only}` in its name. --list names them.", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(attack.name for attack in chosen))
        return 0
    if options.url and urlsplit(options.url).hostname not in _LOOPBACK and not options.i_operate_this_server:
        print("This is not a server of this machine. If you operate it, add --i-operate-this-server.", file=sys.stderr)
        return 2
    counts = dict.fromkeys(Verdict, 0)
    with _target(options) as target:
        print(f"attacking {target.url}\n", flush=True)
        for attack, result in run_attacks(target, chosen, thorough=options.thorough):
            counts[result.verdict] += 1
            print(f"{result.verdict.value:9}  {attack.name}\n{'':9}  {result.seen}", flush=True)
    print(f"\n{', '.join(f'{count} {verdict.value}' for verdict, count in counts.items())}")
    return 1 if counts[Verdict.BROKEN] else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make attack ARGS=…", description=__doc__)
    parser.add_argument("--url", help="the server to attack, such as http://127.0.0.1:8000")
    for kind, variable in (
        ("", "ATTACK_PASSWORD"),
        ("other-", "ATTACK_OTHER_PASSWORD"),
        ("staff-", "ATTACK_STAFF_PASSWORD"),
    ):
        parser.add_argument(f"--{kind}user", help=f"a user; the password is in {variable}, or in --{kind}password")
        parser.add_argument(f"--{kind}password", default=os.environ.get(variable))
    parser.add_argument("--only", help="attacks with this text in their name")
    parser.add_argument("--thorough", action="store_true", help="also attacks that take over a minute")
    parser.add_argument("--list", action="store_true", help="name the attacks and do nothing")
    parser.add_argument(
        "--server", choices=("uvicorn", "daphne", "granian"), default="uvicorn", help="of the own server"
    )
    parser.add_argument(
        "--i-operate-this-server", action="store_true", help="needed for one that is not on this machine"
    )
    return parser.parse_args(arguments)


@contextmanager
def _target(options: argparse.Namespace) -> Iterator[Target]:
    if not options.url:
        with own_target(options.server) as target:
            yield target
        return
    yield Target(
        url=options.url.rstrip("/"),
        attacker=_account(options.user, options.password),
        other=_account(options.other_user, options.other_password),
        staff=_account(options.staff_user, options.staff_password),
    )


def _account(name: str | None, password: str | None) -> Account | None:
    return Account(name=name, password=password) if name and password else None


if __name__ == "__main__":
    sys.exit(main())

"""Databases and users for servers, at no cost: a database is copied, and a user needs no process and no hash.

`python -m tests.prepared <name> <address>` makes the first user of a database, the password on stdin.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from django.utils.crypto import salted_hmac

from benchmarks import database
from tests import forked
from tests.shared import made_once

__all__ = ["EMAIL", "PASSWORD", "USERNAME", "access_token", "bench_database", "copy_database", "migrate", "tables"]

USERNAME = "tester"
PASSWORD = "tide-table-at-six"
EMAIL = "tester-4417@canary.example"
"""The user that every fresh database has already."""

_USER = (
    "INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, first_name, last_name, email,"
    " date_joined) VALUES (?, ?, 0, 0, 1, '', '', '', ?)"
)
_TOKEN_S = 3600


def access_token(database: Path, name: str, key: str) -> str:
    """Return an access token of a user, who is made if there is none, for a log-in of its own.

    It is the service's own form, signed with its key: a password would cost a third of a second to check.
    """
    family = uuid.uuid4().hex
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    with closing(sqlite3.connect(database, timeout=5)) as connection, connection:
        known = connection.execute("SELECT id, password FROM auth_user WHERE username = ?", [name]).fetchone()
        if known is None:
            password = f"!{family}"
            known = (connection.execute(_USER, [name, password, now]).lastrowid, password)
        connection.execute(
            "INSERT INTO accounts_refreshfamily (id, created_at, user_id) VALUES (?, ?, ?)", [family, now, known[0]]
        )
    return _signed(key, user_id=known[0], password=known[1], family=family)


def _signed(key: str, *, user_id: int, password: str, family: str) -> str:
    credential = salted_hmac("apps.accounts.tokens.credential", password, secret=key, algorithm="sha256")
    now = int(time.time())
    claims = {
        "token_type": "access",
        "jti": uuid.uuid4().hex,
        "iat": now - 1,
        "exp": now + _TOKEN_S,
        "iss": "promptcraft",
        "aud": "promptcraft",
        "user_id": str(user_id),
        "family": family,
        "credential": credential.hexdigest()[:16],
    }
    signed = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    )
    digest = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite database that nobody writes to, its log with it."""
    for suffix in ("", "-wal", "-shm"):
        part = source.with_name(source.name + suffix)
        if part.exists():
            shutil.copyfile(part, target.with_name(target.name + suffix))


def tables(make: Callable[[str], None]) -> Path:
    """Return an SQLite database of the run with every table and no rows, to copy. `make` migrates that of an address.

    Where nobody has made it yet.
    """

    def made(directory: Path) -> None:
        make(f"sqlite:///{directory / 'db.sqlite3'}")

    return made_once("tables", made) / "db.sqlite3"


def bench_database() -> Path:
    """Return the database of the run that the bench and the soak begin with."""

    def made(directory: Path) -> None:
        file = directory / "db.sqlite3"
        copy_database(tables(migrate), file)
        environment = {"PATH": os.defpath, **database.settings_for(file)}
        code, output, errors = forked.run(["-c", database.PROGRAM], environment, f"{database.PASSWORD}\n")
        assert code == 0, output + errors

    return made_once("bench", made) / "db.sqlite3"


def migrate(url: str) -> None:
    """Run every migration in a database, in a process of its own."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    own = {"DEBUG": "0", "SECRET_KEY": "only-for-tables-" + "k7Qp2mZx" * 8, "DATABASE_URL": url}
    code, output, errors = forked.run(["manage.py", "migrate", "-v", "0"], inherited | own)
    assert code == 0, output + errors


def _main(name: str, address: str) -> None:
    import django
    from django.core.management import call_command

    os.environ["DJANGO_SETTINGS_MODULE"] = "promptcraft.settings"
    django.setup()
    call_command("create_user", name, "--email", address, "--password-stdin", stdout=sys.stderr)


if __name__ == "__main__":
    _main(*sys.argv[1:])

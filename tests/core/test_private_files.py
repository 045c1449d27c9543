from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from apps.core.private_files import PrivateConnection, keep_private
from tests.server import ROOT, ServerProcess

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files of Windows have no such modes")

ENDINGS = ("", "-wal", "-shm")


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture
def umask_022():
    before = os.umask(0o022)
    yield
    os.umask(before)


def opened(path):
    connection = sqlite3.connect(path, factory=PrivateConnection, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS one (a)")
    connection.commit()
    return connection


@pytest.mark.usefixtures("umask_022")
class TestDatabase:
    def test_a_new_one_is_its_owners(self, tmp_path):
        path = tmp_path / "db.sqlite3"
        with closing(opened(path)):
            assert [mode_of(f"{path}{ending}") for ending in ENDINGS] == [0o600] * 3

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o666, 0o604])
    def test_one_that_is_there_becomes_its_owners(self, tmp_path, mode):
        path = tmp_path / "db.sqlite3"
        with closing(opened(path)) as held:
            held.execute("INSERT INTO one VALUES (1)")
            held.commit()
            for ending in ENDINGS:
                os.chmod(f"{path}{ending}", mode)
            with closing(opened(path)) as connection:
                assert [mode_of(f"{path}{ending}") for ending in ENDINGS] == [0o600] * 3
                assert connection.execute("SELECT * FROM one").fetchall() == [(1,)]

    def test_what_is_no_file_is_left_to_sqlite(self, tmp_path):
        with closing(sqlite3.connect(":memory:", factory=PrivateConnection)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with closing(sqlite3.connect("file::memory:", uri=True, factory=PrivateConnection)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError):
            sqlite3.connect(tmp_path / "absent" / "db.sqlite3", factory=PrivateConnection)

    def test_threads_that_make_it_at_once(self, tmp_path):
        path = tmp_path / "db.sqlite3"
        together = threading.Barrier(8)
        modes = []

        def connect():
            together.wait(10)
            with closing(sqlite3.connect(path, factory=PrivateConnection)) as connection:
                connection.execute("SELECT 1").fetchone()
                modes.append(mode_of(path))

        threads = [threading.Thread(target=connect) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert modes == [0o600] * 8


def test_a_file_that_is_absent_or_private_stays_so(tmp_path):
    keep_private(tmp_path / "absent")
    path = tmp_path / ".env"
    path.write_text("A=1")
    path.chmod(0o400)
    keep_private(path)
    assert mode_of(path) == 0o400


@pytest.mark.usefixtures("umask_022")
def test_a_server_narrows_its_database():
    # The harness has copied it, as anybody's umask would have it.
    with ServerProcess() as server:
        assert server.call("/api/v2/auth/me/")[0] == 200
        # Beside it are those two that SQLite has at the moment.
        assert {mode_of(file) for file in server.database.parent.glob("db.sqlite3*")} == {0o600}


@pytest.mark.usefixtures("umask_022")
def test_a_command_makes_it_its_owners(tmp_path):
    database = tmp_path / "db.sqlite3"
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{database}"}
    command = [sys.executable, "manage.py", "showmigrations", "auth"]
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert {mode_of(file) for file in tmp_path.iterdir()} == {0o600}

"""A developer's first commands, in a fresh copy of the project: `make run`, and what the README prints behind it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from promptcraft.development_env import complete_env
from tests.contract.machine import PYTHON, Machine
from tests.project.tree import ROOT

PASSWORD = "tide-table-at-six"
pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("bash") is None, reason="needs make and bash, to type into"
)


def test_it_leaves_a_private_env_file_with_a_key_of_its_own(machine: Machine) -> None:
    file = machine.directory / ".env"
    assert file.stat().st_mode & 0o777 == 0o600
    (key,) = [line.partition("=")[2] for line in file.read_text().splitlines() if line.startswith("SECRET_KEY=")]
    assert len(key) >= 50
    assert key not in machine.output.read_text()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (". .venv/bin/activate; python manage.py create_user ann", "ann"),
        ('make user ARGS="bea --staff"', "bea"),
    ],
)
def test_a_user_is_made_as_the_readme_prints_it(machine: Machine, command: str, name: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(part.strip() in readme for part in command.split(";"))
    assert f"user {name} made" in machine.typed(command, PASSWORD)
    status, _ = machine.asked("/api/v2/auth/token/", username=name, password=PASSWORD)
    assert status == 200


COUNTED = """
from django.contrib.auth.models import User
from apps.templates.models import Template
print(Template.objects.count(), User.objects.filter(is_superuser=True).count())
"""


def by_hand() -> str:
    """Return the commands of DEEPSEEK_SETUP.md's third way that need no network, but for the server's."""
    text = (ROOT / "DEEPSEEK_SETUP.md").read_text(encoding="utf-8").partition("**By hand.**")[2]
    lines = text.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert any("runserver" in line for line in lines)
    lines = [line.replace("sk-…", "sk-of-mine") for line in lines]
    return "\n".join(line for line in lines if not any(word in line for word in ("venv .venv", " pip ", "runserver")))


def release() -> str:
    """Return what the Procfile has done before a new version serves."""
    (line,) = [line for line in (ROOT / "Procfile").read_text().splitlines() if line.startswith("release:")]
    return line.partition(":")[2]


@pytest.mark.parametrize(
    ("steps", "users", "environment"),
    [
        (by_hand, 1, {}),
        (release, 0, {"DEBUG": "0", "SECRET_KEY": "only-for-steps-" + "k7Qp2mZx" * 8}),
    ],
)
def test_its_steps_leave_a_library(
    machine: Machine, tmp_path: Path, steps: Callable[[], str], users: int, environment: dict[str, str]
) -> None:
    environment = machine.environment | environment | {"DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}"}
    environment["PATH"] = f"{PYTHON / 'bin'}:{environment.get('PATH', os.defpath)}"
    program = f"set -e\n{steps()}\npython manage.py shell -v 0 -c '{COUNTED}'"
    done = subprocess.run(
        ["bash", "-c", program], cwd=machine.directory, env=environment, capture_output=True, text=True, check=True
    )
    templates, superusers = map(int, done.stdout.split()[-2:])
    assert templates > 100
    assert superusers == users


def test_what_is_in_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("#DEBUG=0\nDEEPSEEK_API_KEY=sk-of-ours")
    file.chmod(0o644)
    assert complete_env(file)
    lines = file.read_text().splitlines()
    assert (lines[1], "DEBUG=1" in lines) == ("DEEPSEEK_API_KEY=sk-of-ours", True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert not complete_env(file)
    assert file.read_text().splitlines() == lines


@pytest.mark.parametrize("said", ["DEBUG=0\n", "SECRET_KEY=x\n", " export DEBUG = 1\n"])
def test_nothing_is_written_where_somebody_has_decided(tmp_path: Path, said: str) -> None:
    file = tmp_path / ".env"
    file.write_text(said)
    assert not complete_env(file)
    assert file.read_text() == said


def test_two_machines_have_different_keys(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert complete_env(tmp_path / name)
    assert (tmp_path / "one").read_text() != (tmp_path / "two").read_text()

"""The database that a measured server begins with: every table, the user who asks, and the starter library.

It is made once for a working tree and copied for each server, as one takes seconds to make.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.native import LoadFailed
from benchmarks.processes import ENVIRONMENT, ROOT

__all__ = ["PASSWORD", "PROGRAM", "USERNAME", "Databases", "settings_for"]

USERNAME, PASSWORD = "bench", "nine-kites-over-a-pier"
PROGRAM = f"""
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "promptcraft.settings"
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("create_user", "{USERNAME}", "--password-stdin")
call_command("load_templates")
"""
"""What makes it, run with `python -c` in the working tree and under `settings_for`; it reads the password on stdin."""
_MADE_WITHIN_S = 60.0


class Databases:
    """SQLite files, one for each working tree, made when they are asked for; `given` is the one of this tree."""

    def __init__(self, directory: Path, given: Path | None = None) -> None:
        self._directory = directory
        self._files: dict[Path, Path] = {} if given is None else {ROOT: given}

    def of(self, root: Path) -> Path:
        """Return the file of a working tree, to be copied. Raises LoadFailed."""
        if root not in self._files:
            file = self._directory / f"database-{len(self._files)}.sqlite3"
            command = [sys.executable, "-c", PROGRAM]
            environment = {**ENVIRONMENT, **settings_for(file)}
            done = subprocess.run(
                command,
                cwd=root,
                env=environment,
                input=f"{PASSWORD}\n",
                capture_output=True,
                text=True,
                timeout=_MADE_WITHIN_S,
            )
            if done.returncode:
                raise LoadFailed(f"no database could be made:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
            self._files[root] = file
        return self._files[root]


def settings_for(file: Path) -> Mapping[str, str]:
    """Return the variables with which a file is made."""
    return {"DEBUG": "0", "SECRET_KEY": secrets.token_urlsafe(50), "DATABASE_URL": f"sqlite:///{file}"}

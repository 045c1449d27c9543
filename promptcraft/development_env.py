"""The file `.env` of a developer's machine. `python -m promptcraft.development_env` writes what it lacks."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from apps.core.private_files import keep_private

__all__ = ["complete_env"]

_SAYS_WHERE_IT_RUNS = re.compile(r"^[ \t]*(?:export[ \t]+)?(?:DEBUG|SECRET_KEY)[ \t]*=", re.MULTILINE)


def complete_env(path: Path) -> bool:
    """Write `DEBUG=1` and a random key into a file that names neither, made if absent; tell whether it was written.

    Then Django's command line works without anything in the environment. The file's owner alone may read it.
    """
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    if _SAYS_WHERE_IT_RUNS.search(known):
        return False
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
        # Before the key is in it: the file may be older, and wider.
        keep_private(path)
        if known and not known.endswith("\n"):
            file.write("\n")
        file.write("# Written by the first start, for this machine alone.\n")
        file.write(f"DEBUG=1\nSECRET_KEY={secrets.token_urlsafe(48)}\n")
    return True


if __name__ == "__main__" and complete_env(Path(__file__).resolve().parent.parent / ".env"):
    print("wrote DEBUG=1 and a random SECRET_KEY into .env, for this machine alone")

#!/usr/bin/env python
"""Django's command line. A database that does not answer is one line and the exit code 1, not a traceback."""

import os
import sys


def main() -> None:
    """Run a management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promptcraft.settings")
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if "--traceback" in sys.argv:
            raise
        said = str(error).strip().partition("\n")[0]
        sys.exit(f"promptcraft: the database does not answer: {said}")


if __name__ == "__main__":
    main()

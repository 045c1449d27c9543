"""`python manage.py create_user NAME`: for operators, since registration is closed by default."""

from __future__ import annotations

import getpass
import sys

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError, transaction

from apps.accounts.names import NAME_TAKEN

__all__ = ["Command"]


class Command(BaseCommand):
    """Make one user. The password never stands on the command line, where every process could read it."""

    help = "Make a user; the password is asked for, or is the first line of the standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("username")
        parser.add_argument("--password-stdin", action="store_true", help="read the password from the standard input")
        parser.add_argument("--email", default="")
        parser.add_argument("--staff", action="store_true")

    def handle(self, *args: object, **options: object) -> None:
        """Make the user or say in one line why not."""
        password = _read_password(from_input=bool(options["password_stdin"]))
        user = User(
            username=User.normalize_username(str(options["username"])),
            email=User.objects.normalize_email(str(options["email"])),
            is_staff=bool(options["staff"]),
        )
        user.set_password(password)
        try:
            user.full_clean()
            validate_password(password, user=user)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        try:
            with transaction.atomic():
                user.save()
        except IntegrityError as error:
            raise CommandError(NAME_TAKEN) from error
        self.stdout.write(f"user {user.username} made")


def _read_password(*, from_input: bool) -> str:
    if from_input:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = getpass.getpass()
    else:
        raise CommandError("There is no terminal to ask for the password on. Send it as input, with --password-stdin.")
    if not password:
        raise CommandError("The password is empty.")
    return password

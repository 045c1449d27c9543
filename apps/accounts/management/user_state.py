"""What `disable_user` and `enable_user` share."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.users import user_set_active

__all__ = ["UserStateCommand"]


class UserStateCommand(BaseCommand):
    """Set whether a user may log in."""

    active: ClassVar[bool]

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("username")

    def handle(self, *args: object, **options: object) -> None:
        """Do it or say in one line that there is no such user."""
        user = User.objects.filter(username=User.normalize_username(str(options["username"]))).first()
        if user is None:
            raise CommandError("There is no such user.")
        user_set_active(user_id=user.pk, by_user_id=None, active=self.active)
        self.stdout.write(f"user {user.username} {'enabled' if self.active else 'disabled'}")

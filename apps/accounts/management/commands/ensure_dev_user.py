"""`python manage.py ensure_dev_user`: the user whose password everybody knows, for development alone."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from apps.accounts.names import name_is_taken

__all__ = ["Command"]

_NAME = "dev"
_PASSWORD = "dev-password"


class Command(BaseCommand):
    """Make the development user unless it exists."""

    help = f"Make the superuser {_NAME} with the password {_PASSWORD}; with DEBUG=1 only."

    def handle(self, *args: object, **options: object) -> None:
        """Make it, or leave the one that is there as it is."""
        if not settings.DEBUG:
            raise CommandError("The development user is made with DEBUG=1 only.")
        if User.objects.filter(username=_NAME).exists():
            self.stdout.write(f"user {_NAME} exists")
            return
        if name_is_taken(_NAME):
            self.stdout.write(f"user {_NAME} not made: another user's name looks like it")
            return
        User.objects.create_superuser(_NAME, email="dev@example.org", password=_PASSWORD)
        self.stdout.write(f"user {_NAME} made")

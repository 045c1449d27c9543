"""`python manage.py ensure_dev_user`: the user whose password everybody knows, for development alone."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from apps.accounts.api_keys import DEVELOPMENT_NAME, DEVELOPMENT_PASSWORD
from apps.accounts.names import name_is_taken

__all__ = ["Command"]


class Command(BaseCommand):
    """Make the development user unless it exists."""

    help = f"Make the superuser {DEVELOPMENT_NAME} with the password {DEVELOPMENT_PASSWORD}; with DEBUG=1 only."

    def handle(self, *args: object, **options: object) -> None:
        """Make it, or leave the one that is there as it is."""
        if not settings.DEBUG:
            raise CommandError("The development user is made with DEBUG=1 only.")
        if User.objects.filter(username=DEVELOPMENT_NAME).exists():
            self.stdout.write(f"user {DEVELOPMENT_NAME} exists")
            return
        if name_is_taken(DEVELOPMENT_NAME):
            self.stdout.write(f"user {DEVELOPMENT_NAME} not made: another user's name looks like it")
            return
        User.objects.create_superuser(DEVELOPMENT_NAME, email="dev@example.org", password=DEVELOPMENT_PASSWORD)
        self.stdout.write(f"user {DEVELOPMENT_NAME} made")

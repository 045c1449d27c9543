"""`python manage.py flush_refresh_tokens`: for a daily timer."""

from __future__ import annotations

from django.core.management.base import BaseCommand
from django.utils import timezone

from apps.accounts.families import expired_purge

__all__ = ["Command"]


class Command(BaseCommand):
    """Delete what can never be used again."""

    help = "Delete expired refresh tokens, and the families that have none left."

    def handle(self, *args: object, **options: object) -> None:
        """Purge and say how much went."""
        tokens, families = expired_purge(now=timezone.now())
        self.stdout.write(f"{tokens} refresh tokens and {families} families deleted")

"""`python manage.py list_api_keys [USER]`: which API keys there are."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from apps.accounts.key_fields import key_json
from apps.accounts.models import ApiKey

__all__ = ["Command"]


class Command(BaseCommand):
    """Print a line for each key: its id, its first characters, its user and what it may do."""

    help = "List the API keys, of one user or of all."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("username", nargs="?")

    def handle(self, *args: object, **options: object) -> None:
        """Print the keys, newest first."""
        rows = ApiKey.objects.select_related("user").order_by("-created_at", "-id")
        if options["username"] is not None:
            rows = rows.filter(user__username=options["username"])
        for row in rows.iterator():
            shown = key_json(row)
            self.stdout.write(
                f"{row.pk}  {row.start}…  {row.user.username}  {row.name}  scopes {','.join(row.scopes)}  "
                f"models {','.join(row.allowed_models) or 'all'}  "
                f"expires {shown['expires_at'] or 'never'}  last used {shown['last_used_at'] or 'never'}"
            )

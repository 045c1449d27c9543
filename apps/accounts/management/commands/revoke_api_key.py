"""`python manage.py revoke_api_key ID`: end an API key."""

from __future__ import annotations

import uuid

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.api_keys import key_revoke
from apps.llm.errors import NotFound

__all__ = ["Command"]


class Command(BaseCommand):
    """Revoke a key; every process refuses it within 5 s."""

    help = "Revoke an API key by its id, which list_api_keys prints."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("id", type=uuid.UUID)

    def handle(self, *args: object, **options: object) -> None:
        """Revoke the key or say in one line that there is none."""
        key_id = options["id"]
        assert isinstance(key_id, uuid.UUID)
        try:
            key_revoke(key_id=key_id)
        except NotFound as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"key {key_id} revoked")

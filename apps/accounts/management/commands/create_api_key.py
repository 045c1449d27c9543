"""`python manage.py create_api_key USER --name NAME`: an API key, printed once."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.accounts.access import Scope
from apps.accounts.api_keys import key_create
from apps.accounts.key_fields import read_key_fields
from apps.llm.errors import InvalidRequest

__all__ = ["Command"]


class Command(BaseCommand):
    """Make a key and print it alone, so that a script can take it."""

    help = "Make an API key of a user and print it; it cannot be had again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("username")
        parser.add_argument("--name", required=True, help="what to tell it by")
        parser.add_argument("--scopes", nargs="+", default=[Scope.CHAT.value], help=", ".join(Scope))
        parser.add_argument("--models", nargs="+", default=[], help="the models it may ask for; all if there is none")
        parser.add_argument("--days", type=int, help="when it expires; never if it is not said")

    def handle(self, *args: object, **options: object) -> None:
        """Make the key or say in one line why not."""
        user = User.objects.filter(username=User.normalize_username(str(options["username"]))).first()
        if user is None:
            raise CommandError("There is no such user.")
        body: dict[str, object] = {name: options[name] for name in ("name", "scopes", "models")}
        days = options["days"]
        if isinstance(days, int):
            try:
                body["expires_at"] = (timezone.now() + timedelta(days=days)).isoformat()
            except OverflowError as error:
                raise CommandError("That many days are past the calendar's end.") from error
        try:
            fields = read_key_fields(body)
            _, key = key_create(
                user_id=user.pk,
                name=fields.name,
                scopes=fields.scopes,
                models=fields.models,
                expires_at=fields.expires_at,
            )
        except InvalidRequest as error:
            raise CommandError(error.message) from error
        self.stdout.write(key)

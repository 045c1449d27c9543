"""`python manage.py disable_user NAME`: end a user's log-ins and suspend their API keys."""

from __future__ import annotations

from apps.accounts.management.user_state import UserStateCommand

__all__ = ["Command"]


class Command(UserStateCommand):
    """Disable one user."""

    help = "Disable a user; every process knows within 5 s."
    active = False

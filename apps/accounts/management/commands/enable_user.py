"""`python manage.py enable_user NAME`: let a user in again."""

from __future__ import annotations

from apps.accounts.management.user_state import UserStateCommand

__all__ = ["Command"]


class Command(UserStateCommand):
    """Enable one user."""

    help = "Enable a user; every process knows within 5 s."
    active = True

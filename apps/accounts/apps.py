"""The accounts app: who is calling, and with which token."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["AccountsConfig"]


class AccountsConfig(AppConfig):
    """Users are Django's own; this app adds refresh families, and looks at the names they are given."""

    name = "apps.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what is done whenever a user is saved."""
        import apps.accounts.names  # noqa: F401

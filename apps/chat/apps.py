"""The completions service as a Django app."""

from django.apps import AppConfig

__all__ = ["ChatAppConfig"]


class ChatAppConfig(AppConfig):
    """Registers the system checks."""

    name = "apps.chat"
    label = "chat"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import what registers itself."""
        from apps.chat import checks  # noqa: F401

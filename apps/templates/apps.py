"""The prompt workbench as a Django app."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["TemplatesConfig"]


class TemplatesConfig(AppConfig):
    """Templates, what finds them and what is done with prompts."""

    name = "apps.templates"
    label = "prompt_templates"
    verbose_name = "Prompt templates"
    default_auto_field = "django.db.models.BigAutoField"

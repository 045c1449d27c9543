"""The application, with a workbench that waits for a model as long as a test has time for."""

from __future__ import annotations

from promptcraft.asgi import application  # before anything of the apps: it sets Django up

from apps.templates import deepseek_service  # isort: skip

__all__ = ["application"]

deepseek_service.INTENT_S = 0.8
deepseek_service.OPTIMIZE_S = 0.8

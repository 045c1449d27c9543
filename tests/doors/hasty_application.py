"""The application, with less time for a body than a test has."""

from __future__ import annotations

from promptcraft.asgi import application  # before anything of the apps: it sets Django up

from apps.chat import body  # isort: skip

__all__ = ["application"]

body.BODY_S = 0.2
body._DISCARD_S = 0.1

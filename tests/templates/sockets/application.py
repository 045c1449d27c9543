"""The application, with a workbench that waits for a model, and sockets that wait for a token, as a test has time."""

from __future__ import annotations

from promptcraft.asgi import application  # before anything of the apps: it sets Django up

from apps.templates import deepseek_service  # isort: skip
from apps.templates.sockets import session  # isort: skip
from promptcraft.server.socket_connection import GuardedSocketProtocol  # isort: skip

__all__ = ["application"]

deepseek_service.INTENT_S = 2.0
deepseek_service.OPTIMIZE_S = 2.0
session._TOKEN_S = 0.5
GuardedSocketProtocol.stuck_s = 1.0

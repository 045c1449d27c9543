"""The uvicorn that runs this process: found by its signal handler, given protocols of ours before it listens."""

from __future__ import annotations

import signal
from collections.abc import Collection
from typing import Any

from django.core.checks import CheckMessage, Error, register
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server

from promptcraft.server.connection import GuardedProtocol
from promptcraft.server.cycle import SwiftCycle

__all__ = ["guard_uvicorn", "one_worker", "uvicorn_config"]


def guard_uvicorn(socket_paths: Collection[str]) -> None:
    """Have uvicorn speak HTTP through `GuardedProtocol`, with WebSockets at these paths; call it before it listens.

    Any other server, and a uvicorn without httptools, is left alone.
    """
    config = uvicorn_config()
    if getattr(config, "http_protocol_class", None) is HttpToolsProtocol:
        GuardedProtocol.socket_paths = socket_paths
        config.http_protocol_class = GuardedProtocol
        # The name that the protocol makes one by for each request.
        httptools_impl.RequestResponseCycle = SwiftCycle  # type: ignore[misc]


@register()
def one_worker(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Refuse `uvicorn --workers`, which WEB_CONCURRENCY does not show. Each of them asks this for itself."""
    config = uvicorn_config()
    workers = 1 if config is None or config.should_reload else config.workers
    if workers == 1:
        return []
    return [
        Error(
            f"uvicorn runs {workers} workers, but streams, limits and breakers are kept in the process.",
            hint="Start it with --workers 1, or without.",
            id="promptcraft.E001",
        )
    ]


def uvicorn_config() -> Any:
    """Return the configuration of the uvicorn that runs this process, found by its signal handler; else None."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return server.config if isinstance(server, Server) else None

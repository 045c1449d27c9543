"""`manage.py serve`: the server on a developer's machine, with a line to paste."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

import uvicorn
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand

from apps.accounts.api_keys import DEVELOPMENT_NAME, DEVELOPMENT_PASSWORD, development_key_ensure

__all__ = ["Command"]


class Command(BaseCommand):
    """Serves with uvicorn on one address, and says how to get a first stream from it."""

    help = "Serve on 127.0.0.1:$PORT and print a line that streams."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address and whether to prepare the database first."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=settings.PORT)
        parser.add_argument(
            "--prepare",
            action="store_true",
            help="migrate first, load the starter templates and, with DEBUG=1, make the development user",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare if asked, then serve until a signal."""
        if options["prepare"]:
            call_command("migrate", interactive=False, verbosity=0)
            call_command("load_templates", verbosity=0)
            if settings.DEBUG:
                call_command("ensure_dev_user", verbosity=0)
        config = uvicorn.Config(
            "promptcraft.asgi:application",
            host=options["host"],
            port=options["port"],
            access_log=False,
            # X-Forwarded-For is ours to believe, from TRUSTED_PROXIES only.
            proxy_headers=False,
            log_level="warning",
            server_header=False,
        )
        greeting = _greeting(f"http://{options['host']}:{options['port']}")

        def greet() -> None:
            self.stdout.write(greeting)
            # Into a file or a pipe it would wait for the exit otherwise.
            self.stdout.flush()

        _Server(config, greet).run()


class _Server(uvicorn.Server):
    """Greets once the socket is open, so that what it prints works when it is read."""

    def __init__(self, config: uvicorn.Config, greet: Any) -> None:
        super().__init__(config)
        self._greet = greet

    async def startup(self, sockets: Any = None) -> None:
        """Start, then greet."""
        await super().startup(sockets)
        if self.started:
            self._greet()


def _greeting(address: str) -> str:
    lines = [
        f"PromptCraft serves at {address}",
        f"Docs: {address}/api/v2/docs/   Health: {address}/api/v2/chat/health/",
    ]
    user = User.objects.filter(username=DEVELOPMENT_NAME, is_active=True).first() if settings.DEBUG else None
    if user is None:
        return "\n".join(lines)
    key = development_key_ensure(user=user)
    body = json.dumps({"stream": True, "messages": [{"role": "user", "content": "Say hello"}]})
    # The key is written into the line: it is pasted alone, by tools and by people.
    stream = (
        f"curl -N {address}/api/v2/chat/completions/ -H 'Content-Type: application/json'"
        f" -H 'Authorization: Bearer {key}' -d '{body}'"
    )
    return "\n".join(
        [
            *lines,
            f"Development user: {DEVELOPMENT_NAME} / {DEVELOPMENT_PASSWORD}",
            "Its API key, the same at every start, and a stream:",
            "",
            f"export PROMPTCRAFT_API_KEY={key}",
            stream,
            "",
        ]
    )

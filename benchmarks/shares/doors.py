"""The doors: what a user, or a stranger, asks for again and again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.shares.wire import request_bytes

__all__ = ["ATTACKER_PASSWORD", "Door", "doors_of"]

ATTACKER_PASSWORD = "seven-barrels-in-a-row"
_API = "/api/v2/"


@dataclass(frozen=True, kw_only=True)
class Door:
    """One way in. `NUMBER--` in a request becomes a number, another one each time."""

    name: str
    request: bytes = b""
    websocket: tuple[str, Mapping[str, Any]] | None = None
    same_address: bool = False
    """Whether its victim comes from the same address."""


def doors_of(*, name: str, token: str, refresh: str, slug: str) -> list[Door]:
    """Return all doors as this user enters them; the template is theirs."""

    def ask(method: str, path: str, body: Any = None, *, known: bool = True) -> bytes:
        return request_bytes(method, _API + path, body, token=token if known else None)

    words = random.Random(4417)
    text = " ".join("".join(words.choices("abcdefghijklmnopqrstuvwxyz", k=words.randint(3, 9))) for _ in range(2500))
    right = {"username": name, "password": ATTACKER_PASSWORD}
    long_prompt = ("Write a report on tides for {{ audience }}, in a calm tone, with three examples. " * 400)[:30_000]
    stream = {
        "messages": [{"role": "user", "content": "Say two words."}],
        "stream": True,
        "max_tokens": 50,
    }
    templates = [
        {
            "slug": f"bulk-NUMBER---{number}",
            "title": f"Bulk {number}",
            "category": "summarization",
            "text": text[:15_000],
        }
        for number in range(40)
    ]
    log_in = request_bytes("POST", f"{_API}auth/token/", right)
    return [
        Door(name="log-in", request=log_in),
        Door(name="log-in, same address", request=log_in, same_address=True),
        Door(
            name="guesses",
            request=ask("POST", "auth/token/", {"username": "x-NUMBER--", "password": "no"}, known=False),
        ),
        Door(
            name="register",
            request=ask(
                "POST",
                "auth/register/",
                {"username": "n-NUMBER--", "email": "n@example.org", "password": ATTACKER_PASSWORD},
                known=False,
            ),
        ),
        Door(name="refresh", request=ask("POST", "auth/token/refresh/", {"refresh": refresh}, known=False)),
        Door(name="me", request=ask("GET", "auth/me/")),
        Door(name="search", request=ask("GET", "templates/search/?q=marketng+emial+for+product+lauch+NUMBER--")),
        Door(name="list", request=ask("GET", "templates/?limit=100")),
        Door(name="render", request=ask("POST", f"templates/{slug}/render/", {"variables": {}})),
        Door(name="import", request=ask("POST", "templates/import/", templates)),
        Door(name="export", request=ask("GET", f"templates/{slug}/export/")),
        Door(name="intent", request=ask("POST", "prompts/intent/", {"query": "help me with NUMBER-- " + text[:7_000]})),
        Door(name="intent, short", request=ask("POST", "prompts/intent/", {"query": "a blog post about dogs"})),
        Door(name="optimise", request=ask("POST", "prompts/optimize/", {"prompt": long_prompt})),
        Door(name="generate", request=ask("POST", "prompts/generate/", {"prompt": "Say two words."})),
        Door(name="chat", request=ask("POST", "chat/completions/", stream)),
        Door(name="completions", request=ask("GET", "chat/completions/?limit=100")),
        Door(name="cancel", request=ask("POST", "chat/completions/chatcmpl-NUMBER--/cancel/")),
        Door(name="events", request=ask("GET", "chat/completions/chatcmpl-NUMBER--/events/")),
        Door(name="health", request=ask("GET", "chat/health/", known=False)),
        Door(name="schema", request=ask("GET", "schema/", known=False)),
        Door(
            name="static",
            request=request_bytes("GET", "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css"),
        ),
        Door(name="no token", request=ask("GET", "templates/", known=False)),
        Door(
            name="socket: intent",
            websocket=("/ws/ai-processing/", {"type": "process_intent", "query": "help me with " + text[:7_000]}),
        ),
        Door(name="socket: search", websocket=("/ws/search/", {"type": "search", "query": "marketng emial"})),
    ]

"""Every door that needs the database, each with a user of its own: nobody waits for another's turn there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests import forked
from tests.contract.limit_fixtures import COMPLETIONS, HEALTH, LIVE, PROMPT, READY
from tests.server import PASSWORD, ServerProcess

__all__ = ["AUTHENTICATED", "DOORS", "HANG_S", "OWN_NEEDS", "PUBLIC", "Answer", "Stage", "prepare"]

# Far beyond the 2 s of the contract, and far below what a wait without a bound takes.
HANG_S = 15.0
_TEMPLATE = {"title": "Greeting", "text": "Hello", "category": "planning"}
_WITH_TEMPLATE = ("read", "export", "generate")

PUBLIC = ("log in", "refresh", "verify", "log out", "register", "admin")
OWN_NEEDS = (
    *("list", "search", "create", "import", "read", "export", "intent", "generate"),
    *("completions", "completion", "events", "cancel", "begin", "stream"),
)
"""Those that need the database even for a caller who is remembered."""
AUTHENTICATED = ("me", "models", *OWN_NEEDS)
DOORS = (*PUBLIC, *AUTHENTICATED)

Answer = tuple[int, Mapping[str, str], Any]

_PREPARE = """
import dataclasses, json, sys
import django
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from apps.accounts.families import family_open
call_command("migrate", verbosity=0)
made = {}
for door in sys.argv[2:]:
    user = User.objects.create_user("user-" + door.replace(" ", "-"), password=sys.argv[1])
    pairs = [family_open(user=user) for _ in range(3)]
    made[door] = [user.username, pairs[0].refresh, pairs[1].access, pairs[2].access]
print(json.dumps(made))
"""


@dataclass(frozen=True)
class User:
    """Who knocks at a door."""

    name: str
    refresh: str
    used: str
    """An access token that every server has verified."""
    unused: str
    """One that none has seen."""


@dataclass
class Stage:
    """A server and the users of its doors."""

    server: ServerProcess
    users: dict[str, User] = field(default_factory=dict)

    def ask(self, door: str, *, used: bool = False) -> Answer:
        """Knock at one door."""
        user = self.users[door]
        path, request = _request(door, user)
        bearer = {"Authorization": f"Bearer {user.used if used else user.unused}"}
        headers = {**request.pop("headers", {}), **({} if door in PUBLIC else bearer)}
        with self.server.open(path, user=None, headers=headers, timeout_s=HANG_S, **request) as answer:
            body = answer.read()
            is_json = answer.headers.get("content-type") == "application/json"
            return answer.status, answer.headers, json.loads(body) if is_json else body

    def ask_all(self, doors: Collection[str] = DOORS, *, used: bool = False) -> dict[str, Answer]:
        """Knock at every door at once."""
        with ThreadPoolExecutor(len(doors)) as pool:
            return dict(zip(doors, pool.map(lambda door: self.ask(door, used=used), doors), strict=True))

    def remember(self) -> None:
        """Have the server verify every token that counts as used."""
        for door in AUTHENTICATED:
            bearer = {"Authorization": f"Bearer {self.users[door].used}"}
            assert self.server.call("/api/v2/auth/me/", user=None, headers=bearer)[0] == 200

    def health(self) -> dict[str, tuple[int, Any]]:
        """Ask for each kind of health."""
        return {path: self.server.call(path, user=None)[::2] for path in (HEALTH, READY, LIVE)}


def prepare(*servers: ServerProcess) -> list[Stage]:
    """Make the tables, the users and their templates, for servers on one database that are running."""
    first = servers[0]
    code, output, errors = forked.run(["-c", _PREPARE, PASSWORD, *DOORS], first.env)
    assert code == 0, errors
    users = {door: User(*made) for door, made in json.loads(output).items()}
    for server in servers:
        server.canaries.secrets |= {token for user in users.values() for token in (user.used, user.unused)}
    for door in _WITH_TEMPLATE:
        bearer = {"Authorization": f"Bearer {users[door].used}"}
        body = _TEMPLATE | {"slug": f"tide-{door}"}
        assert first.call("/api/v2/templates/", user=None, headers=bearer, json=body)[0] == 201
    return [Stage(server, users) for server in servers]


def _request(door: str, user: User) -> tuple[str, dict[str, Any]]:
    """Return a door's path and request, without its token."""
    fresh = uuid.uuid4().hex[:8]
    match door:
        case "log in":
            return "/api/v2/auth/token/", {"json": {"username": user.name, "password": PASSWORD}}
        case "refresh":
            return "/api/v2/auth/token/refresh/", {"json": {"refresh": user.refresh}}
        case "verify":
            return "/api/v2/auth/token/verify/", {"json": {"token": user.unused}}
        case "log out":
            return "/api/v2/auth/logout/", {"json": {"refresh": user.refresh}}
        case "register":
            body = {"username": f"new-{fresh}", "email": f"{fresh}@canary.example", "password": PASSWORD}
            return "/api/v2/auth/register/", {"json": body}
        case "admin":
            return "/admin/", {"headers": {"Cookie": f"sessionid={4 * fresh}"}}
        case "create":
            return "/api/v2/templates/", {"json": _TEMPLATE | {"slug": f"tide-{fresh}"}}
        case "import":
            return "/api/v2/templates/import/", {"json": [_TEMPLATE | {"slug": f"tide-{fresh}"}]}
        case "intent":
            return "/api/v2/prompts/intent/", {"json": {"query": "write a blog post"}}
        case "generate":
            return "/api/v2/prompts/generate/", {"json": {"template": f"tide-{door}"}}
        case "cancel":
            return f"{COMPLETIONS}chatcmpl-absent/cancel/", {"json": {}}
        case "begin" | "stream":
            key = {"Idempotency-Key": fresh}
            return COMPLETIONS, {"json": {"messages": PROMPT, "stream": door == "stream"}, "headers": key}
    paths = {
        "me": "/api/v2/auth/me/",
        "models": "/api/v2/models/",
        "list": "/api/v2/templates/",
        "search": "/api/v2/templates/search/?q=hello",
        "read": f"/api/v2/templates/tide-{door}/",
        "export": f"/api/v2/templates/tide-{door}/export/",
        "completions": COMPLETIONS,
        "completion": f"{COMPLETIONS}chatcmpl-absent/",
        "events": f"{COMPLETIONS}chatcmpl-absent/events/",
    }
    return paths[door], {}

"""The whole application in this process, with a user, a member of staff and templates, as the doors are asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.middleware.csrf import _get_new_csrf_string

from apps.accounts.families import family_open
from apps.chat.runtime import stop_runtime
from apps.llm.errors import Failure, ProviderError
from apps.llm.providers.base import Call, ModelFacts, Sink, Target
from apps.llm.wire.openai import CompletionRequest
from tests.doors.in_process import Answer, ask, quick_mock, running

__all__ = ["SOMEBODY", "TEMPLATE", "Application", "Model", "opened"]

SOMEBODY = "somebody"
"""In a body: a name that nobody has tried yet."""
TEMPLATE = "there"
"""The slug of a template of the user's, with one version."""

_PATIENCE_S = 600.0
"""Everything takes many times as long while it is counted."""
_NOT_LOOKED_AT = frozenset({429, 500, 503})
_FACTS = ModelFacts(id="model", context_window_tokens=1_000_000, max_output_tokens=1_000_000, created=0)


class Model:
    """A provider that answers as it is told, and as the mock does otherwise."""

    name = "model"
    mock = False
    default_model = "model"

    def __init__(self) -> None:
        self.answer = b""
        """What it feeds. Empty: it fails."""

    def resolve(self, model: str | None, *, by_name: bool = False) -> Target | None:
        return Target(provider=self.name, model="model", facts=_FACTS)

    def models(self) -> tuple[ModelFacts, ...]:
        return (_FACTS,)

    def lacks(self, request: CompletionRequest, target: Target) -> str | None:
        return None

    def classify_stream_error(self, error: Mapping[str, Any]) -> ProviderError:
        return ProviderError(Failure.STREAM_ERROR)

    def doubts(self, request: CompletionRequest, target: Target) -> bool:
        return False

    def ignored(self, request: CompletionRequest, target: Target) -> tuple[str, ...]:
        return ()

    def shaping(self, request: CompletionRequest, target: Target) -> None:
        return None

    def price_percent(self, request: CompletionRequest) -> int:
        return 100

    async def run(self, call: Call, sink: Sink) -> None:
        await asyncio.sleep(0)
        if not self.answer:
            raise ProviderError(Failure.SERVER_ERROR)
        sink.feed(self.answer)

    async def aclose(self) -> None:
        return


class Application:
    """Who asks, and with what."""

    def __init__(self, token: str, session: str, model: Model) -> None:
        self.token = token
        self.model = model
        self._session = session
        self._forgery = _get_new_csrf_string()
        self._numbers = count(1)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: bytes = b"",
        headers: Sequence[tuple[bytes, bytes]] = (),
        media_type: bytes = b"application/json",
        pieces: Sequence[bytes] | None = None,
    ) -> Answer:
        """Ask as the user, each time from another address: nothing is to be refused for having been asked too often."""
        sent = [(b"authorization", f"Bearer {self.token}".encode()), (b"content-type", media_type)]
        if isinstance(body, dict):
            body = {name: self._named(value) for name, value in body.items()}
        if pieces is None:
            pieces = [body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()]
        return await self._ask(method, path, [*sent, *headers], pieces, query)

    async def staff(
        self, method: str, path: str, form: Sequence[tuple[str, str]] = (), *, query: bytes = b"", cookies: str = ""
    ) -> Answer:
        """Ask for a page as a member of staff whose browser sends the form."""
        from urllib.parse import urlencode

        cookie = f"sessionid={self._session}; csrftoken={self._forgery}{cookies}"
        sent = [(b"cookie", cookie.encode()), (b"content-type", b"application/x-www-form-urlencoded")]
        fields = [("csrfmiddlewaretoken", self._forgery), *((name, self._named(value)) for name, value in form)]
        body = urlencode(fields).encode() if method == "POST" else b""
        return await self._ask(method, path, sent, [body], query)

    def _named(self, value: Any) -> Any:
        return f"user-{next(self._numbers)}" if value == SOMEBODY else value

    async def _ask(
        self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], pieces: Sequence[bytes], query: bytes
    ) -> Answer:
        number = next(self._numbers)
        client = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        answer = await ask(
            path, method=method, headers=headers, pieces=pieces, query=query, timeout_s=_PATIENCE_S, client=client
        )
        if answer.status in _NOT_LOOKED_AT:
            raise AssertionError(f"{method} {path[:80]} was answered with {answer.status}: {answer.body[:200]!r}")
        return answer


@asynccontextmanager
async def opened() -> AsyncIterator[Application]:
    """Start it on an empty database."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    token, session = await sync_to_async(_people)()
    model = Model()
    with running(model, quick_mock()):
        application = Application(token, session, model)
        try:
            made = {"slug": TEMPLATE, "title": "there", "category": "seo", "text": "Hello {{ name }}"}
            variables = [{"name": "name", "type": "text"}]
            answer = await application.ask("POST", "/api/v2/templates/", {**made, "variables": variables})
            assert answer.status == 201, answer.body
            yield application
        finally:
            await stop_runtime()


def _people() -> tuple[str, str]:
    user = User.objects.create(username="user", password="!", is_staff=True)
    curator = User.objects.create_user("curator", password="correct horse battery", is_staff=True, is_superuser=True)
    session = SessionStore()
    session.update(
        {
            "_auth_user_id": str(curator.pk),
            "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
            "_auth_user_hash": curator.get_session_auth_hash(),
        }
    )
    session.create()
    return family_open(user=user).access, str(session.session_key)

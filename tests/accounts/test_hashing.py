"""Who waits for whom where passwords are hashed."""

from __future__ import annotations

import asyncio
import json
import threading
from io import BytesIO

import pytest
from django.core.handlers.asgi import ASGIRequest

from apps.accounts.hashing import HASHING, hashing_share
from apps.accounts.identity import share_of_claims
from apps.accounts.tokens import verify_refresh
from apps.accounts.views import LogoutView, MeView, RefreshView, RegisterView, TokenView, VerifyView
from apps.core.work_queue import Share, user_share
from apps.llm.errors import AuthenticationFailed, RateLimited
from promptcraft.context import RequestContext, set_context
from promptcraft.database import DATABASE


def request_of(body: object, *, peer: str = "192.0.2.1", method: str = "POST", **headers: str) -> ASGIRequest:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = [(b"content-type", b"application/json"), *((name.encode(), text.encode()) for name, text in headers.items())]
    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "query_string": b"",
        "headers": sent,
        "client": (peer, 4711),
    }
    request = ASGIRequest(scope, BytesIO(data))
    request._body = data
    blank = RequestContext(request_id="r", trace_id="t", span_id="s", trace_flags="00", started=0.0)
    set_context(request, blank)
    return request


class TestWhoseTurnItIs:
    @pytest.mark.parametrize("view", [TokenView, RegisterView])
    async def test_a_name_as_it_is_tried_from_a_network(self, view):
        first = await view.admit(request_of({"username": "ada", "password": "x"}))
        assert first.queue is HASHING
        assert first.share == hashing_share("192.0.2.1", "ada")
        same = await view.admit(request_of({"username": "\uff21DA", "password": "y"}))
        assert same.share == first.share, "spellings of a name are one"
        other = await view.admit(request_of({"username": "bob", "password": "x"}))
        assert (other.share.owner, other.share == first.share) == (first.share.owner, False)
        elsewhere = await view.admit(request_of({"username": "ada"}, peer="192.0.2.2"))
        assert elsewhere.share.owner != first.share.owner

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'{"username": 1}', b'{"username": "%b"}' % (b"n" * 70_000), b'{"username": "\xff"}']
    )
    async def test_whatever_is_sent_as_a_name(self, body):
        turn = await TokenView.admit(request_of(body))
        assert turn.share == hashing_share("192.0.2.1", "")

    async def test_nothing_but_a_post_hashes(self):
        for method in ("GET", "OPTIONS"):
            turn = await TokenView.admit(request_of({"username": "ada"}, method=method))
            assert (turn.queue, turn.share) == (DATABASE, Share("192.0.2.1"))

    @pytest.mark.django_db(transaction=True)
    async def test_the_log_in_of_a_token_in_the_body(self, user, pair):
        """It is not on its user's own account: the log-in may have ended."""
        for view, field in ((RefreshView, "refresh"), (VerifyView, "token"), (LogoutView, "refresh")):
            turn = await view.admit(request_of({field: pair.refresh}))
            assert (turn.queue, turn.share) == (DATABASE, share_of_claims(verify_refresh(pair.refresh)))
            assert turn.share.owner != user_share(user.pk).owner
            turn = await view.admit(request_of({field: pair.refresh[:-1]}))
            assert turn.share == Share("192.0.2.1")

    @pytest.mark.django_db(transaction=True)
    async def test_the_user_of_the_token_in_the_head(self, user, pair):
        turn = await MeView.admit(request_of(b"", method="GET", authorization=f"Bearer {pair.access}"))
        assert (turn.queue, turn.share) == (DATABASE, user_share(user.pk))
        with pytest.raises(AuthenticationFailed):
            await MeView.admit(request_of(b"", method="GET", authorization=f"Bearer {pair.access}x"))


async def test_one_accounts_crowd_keeps_nobody_out():
    """Eighty log-ins of one name, which take as long as they like: another name from there has a thread at once."""
    over, turns = threading.Event(), hashing_share("192.0.2.1", "ada")

    async def log_in() -> str:
        try:
            await HASHING.run(turns, lambda: over.wait(30))
        except RateLimited:
            return "refused"
        return "served"

    crowd = [asyncio.ensure_future(log_in()) for _ in range(80)]
    try:
        await asyncio.sleep(0)
        for other in (hashing_share("192.0.2.1", "bob"), hashing_share("192.0.2.2", "ada")):
            assert await HASHING.run(other, lambda: "hashed") == "hashed"
        assert sum(one.done() for one in crowd) == 80 - 1 - 8, "its line is bounded, and what is over it told at once"
    finally:
        over.set()
    assert sorted(await asyncio.gather(*crowd)) == ["refused"] * 71 + ["served"] * 9


async def test_one_networks_crowd_keeps_nobody_out():
    """Thirty names that are tried from there: whoever comes from elsewhere has a thread at once."""
    over = threading.Event()
    tried = [hashing_share("192.0.2.1", f"name {number}") for number in range(30)]
    crowd = [asyncio.ensure_future(HASHING.run(one, lambda: over.wait(30))) for one in tried]
    try:
        await asyncio.sleep(0)
        assert await HASHING.run(hashing_share("192.0.2.2", "ada"), lambda: "hashed") == "hashed"
    finally:
        over.set()
    assert all(await asyncio.gather(*crowd))

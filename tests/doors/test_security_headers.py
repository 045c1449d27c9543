"""The headers that keep an answer from being made into something else, on every kind of answer."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings

from promptcraft.schema.page import PAGE_POLICY
from tests.contract.limit_fixtures import COMPLETIONS, LIVE, Door, send_raw
from tests.doors.test_cross_origin import ROUTES, ask
from tests.doors.test_heads import exchange, head
from tests.server import ROOT

EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.mark.parametrize("name", ROUTES)
def test_every_answer_has_them(door: Door, name: str) -> None:
    _, headers, _ = ask(door, name, None)
    expected = EVERYWHERE | ({"content-security-policy": PAGE_POLICY} if name == "docs" else {})
    assert {header: headers.get(header) for header in expected} == expected


@pytest.mark.parametrize(
    ("path", "status"), [("/", 302), (f"{COMPLETIONS}?{'a' * 170_000}", 431), ("*", 404)], ids=["/", "431", "*"]
)
def test_so_have_those_that_no_view_made(door: Door, path: str, status: int) -> None:
    answered, headers, _ = exchange(door, head(door, path))
    assert answered == status
    if status != 431:
        assert headers["x-frame-options"] == "deny"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-request-id"]


def test_what_callers_get_is_not_stored(door: Door) -> None:
    for name, (_, path, _, _) in ROUTES.items():
        _, headers, _ = ask(door, name, None)
        if path.startswith("/api/"):
            assert "no-" in headers["cache-control"], name


def test_a_preflight_has_them_too(door: Door) -> None:
    asks = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST"}
    with door.server.open(LIVE, user=None, method="OPTIONS", headers=asks) as answer:
        assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE


def test_the_process_leaves_strict_transport_to_whoever_ends_tls(door: Door) -> None:
    """A header that cannot be taken back for a year is for the proxy that knows the domain."""
    for name in ("health", "docs", "nothing"):
        assert "strict-transport-security" not in ask(door, name, None)[1]
    forwarded = head(door, LIVE, b"X-Forwarded-Proto: https")
    assert "strict-transport-security" not in exchange(door, forwarded)[1]


def test_an_answer_is_not_split_by_what_a_client_chose(door: Door) -> None:
    """Names of models and ids come back in headers."""
    for header in (b"X-Request-Id: a%0d%0aForged: 1", b"X-Request-Id: a\tForged", b"Origin: https://a%0d%0aForged: 1"):
        answer = exchange(door, head(door, LIVE, header))[1]
        assert "forged" not in answer
    _, headers, body = door.whole(model="deepseek-flash@\u00e9\u2028")
    assert "forged" not in headers
    with send_raw(door.server, head(door, "/x%0d%0aForged:%201"), timeout_s=2) as connection:
        assert b"\r\nForged" not in connection.recv(65_536)
    assert body


def test_nothing_says_what_runs_here() -> None:
    """`manage.py serve` names neither the server nor its version."""
    text = (ROOT / "apps/chat/management/commands/serve.py").read_text()
    assert "server_header=False" in text


def test_the_deploy_check_is_clean() -> None:
    with override_settings(SECRET_KEY="kYw8zQ7-" * 8 + "fPn_", ALLOWED_HOSTS=["example.org"], DEBUG=False):
        problems = [one for one in run_checks(include_deployment_checks=True) if not one.is_silenced()]
    assert problems == []


def test_what_is_silenced_has_its_reason_beside_it() -> None:
    source = (ROOT / "promptcraft/settings.py").read_text()
    silenced = source.split("SILENCED_SYSTEM_CHECKS = [", 1)[1].split("]", 1)[0]
    explained = True
    for line in silenced.split("\n"):
        if line.strip().startswith("#"):
            explained = True
        elif line.strip():
            assert explained, line
    # Whoever adds one says why, here and there: the first six are about middleware that is not installed for all.
    assert set(settings.SILENCED_SYSTEM_CHECKS) <= {
        "security.W001",
        "security.W002",
        "security.W003",
        "admin.E408",
        "admin.E409",
        "admin.E410",
        "django_ratelimit.E003",
        "django_ratelimit.W001",
    }

"""Keys and tokens in every place of a request where they do not belong, under every server: none is in a log line."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.contract.conftest import SERVERS
from tests.contract.limit_fixtures import COMPLETIONS, KEY, LIVE, eventually
from tests.server import ServerProcess

API_KEY = "pc-" + "aB3_x-Z9" * 5 + "qrs"
TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyX2lkIjoiMSJ9.s5Kf-0_abcDEF"
TEMPLATE = "/admin/prompt_templates/template/said-by-a-client/change/"
METRICS = "metrics-token-of-tests-0001"


def encoded(secret: str) -> list[str]:
    """Return the forms in which a secret is sent: plain, percent-encoded once and twice, in base64 of three kinds."""
    percent = "".join(f"%{byte:02x}" for byte in secret.encode())
    return [
        secret,
        percent,
        quote(percent),
        base64.b64encode(secret.encode()).decode(),
        base64.urlsafe_b64encode(f"user:{secret}".encode()).decode().rstrip("="),
        base64.b64encode(f":{secret}".encode()).decode(),
    ]


FORMS = [*encoded(API_KEY), *encoded(KEY)[::3], TOKEN, *encoded(METRICS)[::3]]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    environment = {"LOG_LEVEL": "DEBUG", "METRICS_TOKEN": METRICS, "DEEPSEEK_API_KEY": KEY, "PROVIDER_CHAIN": "mock"}
    with ServerProcess(environment, server=request.param) as server:
        yield server


def sent(server: ServerProcess, lines: list[str]) -> None:
    """Send the head of a request as it is, and read until the server closes or has answered."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
        while connection.recv(65536):
            continue


def requests_with(form: str) -> Iterator[list[str]]:
    host = "Host: localhost"
    yield [f"GET /{form} HTTP/1.1", host]
    yield [f"GET /api/v2/{form}/ HTTP/1.1", host]
    yield [f"GET {COMPLETIONS}{form}/events/ HTTP/1.1", host]
    yield [f"GET /api/v2/models/{form}/ HTTP/1.1", host]
    yield [f"GET /api/v2/templates/{form}/ HTTP/1.1", host]
    yield [f"GET /static/{form} HTTP/1.1", host]
    yield [f"GET /admin/{form}/ HTTP/1.1", host]
    yield [f"GET {LIVE}?token={form}&{form} HTTP/1.1", host]
    names = ("X-Request-Id", "traceparent", "Origin", "Cookie", "Authorization", "Referer")
    yield [f"GET {LIVE} HTTP/1.1", host, *(f"{name}: {form}" for name in names)]
    yield [f"GET {LIVE} HTTP/1.1", f"Host: {form}"]
    yield [
        f"OPTIONS {COMPLETIONS}{form}/ HTTP/1.1",
        host,
        f"Origin: https://{form}",
        "Access-Control-Request-Method: GET",
    ]
    if form.replace("-", "").replace("_", "").isalnum():
        yield [f"GET {LIVE} HTTP/1.1", host, f"{form}: 1"]
        yield [f"{form} {LIVE} HTTP/1.1", host]


def test_nothing_of_them_is_logged(server: ServerProcess) -> None:
    for form in FORMS:
        for lines in requests_with(form):
            sent(server, lines)
    # Django has a line of its own for this one.
    empty = ["Content-Type: application/x-www-form-urlencoded", "Content-Length: 0"]
    sent(server, [f"POST {TEMPLATE} HTTP/1.1", "Host: localhost", *empty])
    sent(server, [f"GET {LIVE} HTTP/1.1", "Host: localhost", "X-Request-Id: the-last-one"])
    eventually(lambda: "the-last-one" in server.output(), "the last line")
    output = server.output()
    assert "said-by-a-client" not in output
    for form in FORMS:
        assert form not in output
        assert form[:40] not in output
    logged = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert len([line for line in logged if line["logger"] == "promptcraft.request"]) > len(FORMS) * 8
    assert {line["path"] for line in logged if "path" in line} >= {
        "/{unknown}/",
        "/api/v2/{unknown}/",
        "/admin/{unknown}/",
        "/static/{path}/",
        f"{COMPLETIONS}{{completion_id}}/events/",
        "/api/v2/models/{model}/",
        "/api/v2/templates/{slug}/",
    }


def test_an_id_that_is_a_secret_is_none(server: ServerProcess) -> None:
    for form in (API_KEY, KEY, METRICS, base64.urlsafe_b64encode(API_KEY.encode()).decode().rstrip("=")):
        _, headers, _ = server.call(LIVE, user=None, method="GET", headers={"X-Request-Id": form})
        assert headers["x-request-id"].startswith("req_")
    for name in ("pc-board-7", "a-task-force.1", "0123456789abcdef0123456789abcdef"):
        _, headers, _ = server.call(LIVE, user=None, method="GET", headers={"X-Request-Id": name})
        assert headers["x-request-id"] == name

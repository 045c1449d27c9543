"""A page on a developer's machine, and a page that the operator has forgotten."""

from __future__ import annotations

from tests.contract.limit_fixtures import COMPLETIONS, LIVE
from tests.server import ServerProcess

LOCAL = "http://localhost:5173"
ALLOW = "access-control-allow-origin"


def headers_for(server: ServerProcess, origin: str, **more: str) -> dict[str, str]:
    asked = {"Origin": origin} | {name.replace("_", "-"): value for name, value in more.items()}
    path, method = (COMPLETIONS, "OPTIONS") if more else (LIVE, "GET")
    with server.open(path, user=None, method=method, headers=asked) as answer:
        answer.read()
        return answer.headers


def test_pages_of_this_machine_may_read_in_development_alone(server: ServerProcess) -> None:
    allowed = LOCAL if server.env["DEBUG"] == "1" else None
    assert headers_for(server, LOCAL).get(ALLOW) == allowed
    assert headers_for(server, LOCAL, Access_Control_Request_Method="POST").get(ALLOW) == allowed
    assert ALLOW not in headers_for(server, "http://localhost.evil.example")


def test_a_refused_origin_is_one_line_of_the_log(server: ServerProcess) -> None:
    for _ in range(2):
        headers_for(server, "https://forgotten.example")
        headers_for(server, f"http://127.0.0.1:{server.port}")
    lines = [line for line in server.output().splitlines() if "CORS_ALLOWED_ORIGINS" in line]
    assert sum("forgotten.example" in line for line in lines) == 1
    assert not any(f"127.0.0.1:{server.port}" in line for line in lines)

"""What holds for every answer: its id and trace, its headers, the envelope of its errors."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.each import each

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
AUTH = "/api/v2/auth/token/"
CHAT = "/api/v2/chat/completions/"
MIB = 1024 * 1024
HELLO = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}

KINDS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "object": ("POST", CHAT, {"json": HELLO}, 200),
    "stream": ("POST", CHAT, {"json": {**HELLO, "stream": True}}, 200),
    "list": ("GET", "/api/v2/models/", {}, 200),
    "health": ("GET", "/api/v2/chat/health/live/", {}, 200),
    "page": ("GET", "/api/v2/docs/", {}, 200),
    "schema": ("GET", "/api/v2/schema/", {}, 200),
    "options": ("OPTIONS", CHAT, {}, 204),
    "redirect": ("GET", "/", {}, 302),
    "bad host": ("GET", "/api/v2/models/", {"headers": {"Host": "evil.example"}}, 400),
    "bad field": ("POST", CHAT, {"json": {}}, 400),
    "bad field of an account": ("POST", AUTH, {"json": {}}, 400),
    "bad token": ("GET", "/api/v2/models/", {"headers": {"Authorization": "Bearer x"}}, 401),
    "bad token of an account": ("GET", "/api/v2/auth/me/", {"headers": {"Authorization": "Bearer x"}}, 401),
    "nothing": ("GET", "/nothing", {}, 404),
    "no completion": ("GET", f"{CHAT}nothing/", {}, 404),
    "no method": ("DELETE", CHAT, {}, 405),
    "no method of an account": ("DELETE", AUTH, {}, 405),
    "too large": ("POST", CHAT, {"content": b" " * (MIB + 1)}, 413),
    "too large for an account": ("POST", AUTH, {"content": b" " * (MIB + 1)}, 413),
    "not json": ("POST", CHAT, {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
    "not json of an account": ("POST", AUTH, {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
    "failed": ("POST", CHAT, {"json": HELLO, "headers": {"X-Mock-Scenario": "error_first"}}, 502),
}
each_kind = each("kind", KINDS)


def ask(caller, kind, **more_headers):
    method, path, sent, status = KINDS[kind]
    answer = caller.request(method, path, **{**sent, "headers": {**sent.get("headers", {}), **more_headers}})
    assert answer.status_code == status, answer.text
    return answer


def error_of(answer, status, code):
    """Check that an answer is the envelope and nothing else, and return the error."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert list(body) == ["error"]
    error = body["error"]
    assert set(error) - {"attempts"} == {
        "message",
        "type",
        "code",
        "param",
        "request_id",
        "retryable",
        "retry_after",
    }
    assert error["code"] == code
    assert error["request_id"] == answer.headers["X-Request-Id"]
    return error


@each_kind
def test_has_an_id_a_trace_and_the_security_headers(caller, kind):
    answer = ask(caller, kind)
    assert re.fullmatch(r"req_[0-9a-f]{24}", answer.headers["X-Request-Id"])
    assert TRACEPARENT.fullmatch(answer.headers["traceparent"])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    if kind not in ("nothing", "redirect"):
        assert "no-" in answer.headers["Cache-Control"]


@each_kind
def test_takes_part_in_the_id_and_the_trace(caller, kind):
    answer = ask(caller, kind, **{"X-Request-Id": "mine-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    assert answer.headers["X-Request-Id"] == "mine-1"
    version, trace, span, flags = answer.headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span not in ("b7ad6b7169203331", "0" * 16)
    if answer.is_error:
        assert answer.json()["error"]["request_id"] == "mine-1"


@each("given", ["a", "A.b_c-9", "7", "x" * 128])
def test_an_id_of_the_right_form_is_echoed(client, given):
    assert client.get("/nothing", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given


@each("given", ["", "x" * 129, "a b", "a/b", "a:b", "<b>", "na\xefve".encode("latin-1"), b"a\tb"])
def test_an_id_of_another_form_is_replaced(client, given):
    answers = [client.get("/nothing", headers={"X-Request-Id": given}) for _ in range(2)]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert all(re.fullmatch(r"req_[0-9a-f]{24}", one) for one in ids)
    assert ids[0] != ids[1]
    assert [answer.json()["error"]["request_id"] for answer in answers] == ids


@each(
    "given",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"00-{TRACE}-b7ad6b7169203331",
        f"00-{TRACE}-b7ad6b7169203331-01-more",
        f"ff-{TRACE}-b7ad6b7169203331-01",
    ],
)
def test_a_broken_trace_is_replaced(client, given):
    trace = client.get("/nothing", headers={"traceparent": given}).headers["traceparent"]
    assert TRACEPARENT.fullmatch(trace)
    assert TRACE not in trace


@each("host", ["evil.example", "127.0.0.1.evil.example", "evil host", "", "127.0.0.1@evil", "a/b"])
@each("path", ["/", "/nothing", "/api/v2/docs/", "/api/v2/chat/health/", "/api/v2/models/", AUTH])
def test_a_host_that_is_not_served(caller, path, host):
    answer = caller.get(path, headers={"Host": host})
    assert error_of(answer, 400, "invalid_value")["param"] == "Host"
    assert not host or host not in answer.text


@each(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b'{"messages":[],}',
        b"{'messages':[]}",
        b'{"a":1} {"b":2}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"a":"\x00"}',
        b'{"a":"\n"}',
        b"\xef\xbb\xbf{}x",
        b'{"a":' * 20_000,
        b"[" * 100_000 + b"]" * 100_000,
        '{"a":1}'.encode("utf-16"),
    ],
    ids=lambda body: repr(body[:24]),
)
@each("path", [AUTH, CHAT])
def test_a_body_that_is_not_json(caller, path, body):
    answer = caller.post(path, content=body, headers={"Content-Type": "application/json"})
    error_of(answer, 400, "invalid_json")


@each("value", [[], "text", 7, None, True])
@each("path", [AUTH, CHAT])
def test_a_body_that_is_no_object(caller, path, value):
    answer = caller.post(path, content=json.dumps(value), headers={"Content-Type": "application/json"})
    assert answer.json()["error"]["code"] in ("invalid_json", "invalid_value")
    error_of(answer, 400, answer.json()["error"]["code"])


@each("field", ["username", "password"])
def test_nul_in_an_account_is_refused(client, field):
    body = {"username": "somebody", "password": "something", field: "a\0b"}
    assert error_of(client.post(AUTH, json=body), 400, "invalid_value")["param"] == field


def test_nul_in_a_message_is_text(caller):
    answer = caller.post(CHAT, json={**HELLO, "messages": [{"role": "user", "content": "a\0b"}]})
    assert answer.status_code == 200
    kept = caller.get(f"{CHAT}{answer.json()['id']}/").json()
    assert kept["status"] == "completed"


@each("chunked", [False, True])
@each("path", ["token/", "token/refresh/", "token/verify/", "logout/", "register/"])
def test_a_body_over_its_bound(client, path, chunked):
    body = b'{"a":"' + b"x" * MIB + b'"}'
    sent = iter([body[:MIB], body[MIB:]]) if chunked else body
    answer = client.post(f"/api/v2/auth/{path}", content=sent, headers={"Content-Type": "application/json"})
    error_of(answer, 413, "body_too_large")


def test_a_body_at_its_bound(client):
    body = b"{" + b" " * (MIB - 2) + b"}"
    answer = client.post(AUTH, content=body, headers={"Content-Type": "application/json"})
    error_of(answer, 400, "missing_field")


@each(
    "target",
    [
        "/<script>alert(1)</script>",
        "/%3Cscript%3E",
        "/api/v2/models/%3Cscript%3E/",
        "/api/v2/models/<script>/",
        f"{CHAT}%3Cb%3E/",
        f"{CHAT}%00/",
        f"{CHAT}%FF%FE/events/",
        f"{CHAT}%E2%80%A8/",
        f"{CHAT}x/events/?after=%3Cb%3E",
        f"{CHAT}?limit=%FF",
        f"{CHAT}?after=%00",
        f"{CHAT}?after=%ED%A0%80",
        "/api/v2/schema/?format=%3Cb%3E",
        "//evil.example/..",
        "/api/v2/../../etc/passwd",
        "/api/v2/models/../../../etc/passwd",
        "/" + "x" * 8_000,
    ],
    ids=lambda target: target[:40],
)
def test_an_odd_path_is_answered_without_html(server, target):
    for path in (target, f"{target}&x=<b>" if "?" in target else f"{target}?x=<b>"):
        with server.open(path, headers={"Accept": "text/html"}) as answer:
            body = answer.read()
        assert answer.status in (400, 404), body
        assert answer.headers["content-type"] == "application/json"
        assert b"<" not in body
        assert set(json.loads(body)) == {"error"}

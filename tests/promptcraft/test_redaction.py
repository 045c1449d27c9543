from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pytest

from promptcraft import redaction
from promptcraft.redaction import REDACTED, hide, holds_secret, scrubbed, scrubbed_encoded
from tests.each import each

TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VyX2lkIjoiMSJ9.s5Kf-0_abcDEF"
ZAI = "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp"
API_KEY = "pc-" + "aB3_x-Z9" * 5 + "qrs"
OWN = "a-value-of-ours-4471"


@pytest.fixture(autouse=True)
def _own_values(monkeypatch):
    monkeypatch.setattr(redaction, "_hidden", ())


@each(
    ("text", "secret"),
    [
        ("key sk-abcdefgh12345678 refused", "sk-abcdefgh12345678"),
        ('{"key":"sk-proj-A_b-C12345"}', "sk-proj-A_b-C12345"),
        (f"zai {ZAI}.", ZAI),
        (f"Authorization: Bearer {TOKEN}", TOKEN),
        (f"bare {TOKEN}", TOKEN),
        (f"cut {TOKEN[:40]}", TOKEN[:40]),
        ("BEARER abcdefgh12345678", "abcdefgh12345678"),
        ("basic YWRhOmxvdmVsYWNl", "YWRhOmxvdmVsYWNl"),
        (f"key {API_KEY} revoked", API_KEY),
        (f"/v1/{API_KEY[:24]}", API_KEY[:24]),
        ("postgres://user:pass-word@host/name", "pass-word"),
        ("redis://:hunter2hunter2@cache:6379", "hunter2hunter2"),
        ("mail to ada.lovelace+x@mail.example.org now", "ada.lovelace+x@mail.example.org"),
        ("Ada@Example.org", "Ada@Example.org"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text, secret):
    assert secret not in scrubbed(text)
    assert REDACTED in scrubbed(text)


@each(
    "text",
    [
        "",
        "POST /api/v2/chat/completions/ 200 12.1 ms",
        'File "/srv/apps/chat/views.py", line 53, in create_completion',
        "deepseek-flash answered after 0.5 s; asked at 12:00 by user 7",
        "a task-force of risk-takers, a disk-shaped thing",
        "no bearer, nothing basic",
        "chatcmpl-0b2f6e5ad1c94c0e9b7d3c1f8a6e4d20",
        "key pc-aB3_x of the user's, on a pc-based thing",
        "5c1f4d9e-8f0e-4b7e-9f5e-1e2d3c4b5a69",
        "100% of them; a%20b",
    ],
)
def test_other_text_stays(text):
    assert scrubbed(text) == scrubbed_encoded(text) == text
    assert not holds_secret(text)


@each("secret", [API_KEY, "sk-abcdefgh12345678", ZAI, TOKEN, OWN])
@each("before", ["", "u:", "ab:"])
def test_encoded_ones_are_taken_out(secret, before):
    hide([OWN])
    plain = f"{before}{secret}".encode()
    percent = "".join(f"%{byte:02X}" for byte in plain)
    for form in (
        base64.b64encode(plain).decode(),
        base64.urlsafe_b64encode(plain).decode().rstrip("="),
        percent,
        quote(quote(percent)),
        quote(base64.b64encode(plain).decode().replace("b", "%62").replace("c", "%63")),
    ):
        for text in (form, f"GET /api/{form}/x 404", f"a={form}&b=1", f"'{form}'"):
            assert REDACTED in scrubbed_encoded(text)
            assert form[4:40] not in scrubbed_encoded(text)
            assert holds_secret(text)


def test_an_id_is_looked_at_for_values_of_ours():
    hide(["0123456789abcdef0123456789abcdef"])
    assert holds_secret("0123456789abcdef0123456789abcdef")
    assert not holds_secret("0123456789abcdef0123456789abcdee")


def test_values_are_hidden_as_they_are_and_as_json_writes_them():
    value = 'a "quoted"\\ värde'
    hide([value, None, "", "short", "longer-value-1", "longer-value-1-and-more"])
    line = json.dumps({"first": value, "second": "longer-value-1-and-more", "third": "short"})
    assert json.loads(scrubbed(line)) == {"first": REDACTED, "second": REDACTED, "third": "short"}
    assert scrubbed(f"<{value}>") == f"<{REDACTED}>"


def test_it_is_linear():
    """Text of any kind: from a provider's error to a client's path."""
    hide(["a-value-of-ours"])
    for piece in (
        "%41",
        "%2541",
        "%",
        "aaaa",
        "c2st",
        "pc-",
        "a@",
        "eyJ",
        "sk-",
        "bearer ",
        "//",
        "@a.",
        "0123456789abcdef.",
        ".AbCdEfGhIjKlMnOp",
        "a" * 64 + ".",
    ):
        text = piece * (100_000 // len(piece))
        took_s = []
        for _ in range(3):
            began_s = time.thread_time()
            scrubbed_encoded(text)
            took_s.append(time.thread_time() - began_s)
        assert min(took_s) < 0.25, piece

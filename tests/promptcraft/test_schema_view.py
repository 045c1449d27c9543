"""`GET schema/`: which form is answered, and how it refuses."""

from __future__ import annotations

from promptcraft.schema.document import rendered
from tests.each import each

SCHEMA = "/api/v2/schema/"


@each(
    ("accept", "media_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("application/json", "application/json"),
        ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
        ("application/yaml", "application/yaml"),
        ("application/vnd.oai.openapi", "application/vnd.oai.openapi"),
        ("application/json;q=0.5, application/yaml", "application/yaml"),
        ("text/html, application/yaml;q=0.1", "application/yaml"),
        # Not read at all.
        ("application/yaml" + ";a=b" * 250, "application/json"),
    ],
)
def test_accept_chooses(client, accept, media_type):
    answer = client.get(SCHEMA, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    assert "Accept" in answer.headers["Vary"]
    assert answer.content == rendered("json" if "json" in media_type else "yaml")


def test_no_accept_at_all(server):
    with server.open(SCHEMA, user=None) as answer:
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")


@each("path", [SCHEMA, "/api/v2/schema"])
@each(("form", "media_type"), [("json", "application/json"), ("yaml", "application/yaml")])
@each("accept", ["*/*", "text/html", "application/json", "application/yaml"])
def test_format_wins(client, path, form, media_type, accept):
    answer = client.get(path, params={"format": form}, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    assert answer.headers["Content-Disposition"] == f'inline; filename="promptcraft-openapi.{form}"'
    assert answer.content == rendered(form)


@each("form", ["xml", "", "JSON", "openapi-json", "yaml\n", "<b>"])
def test_another_format(client, form):
    answer = client.get(SCHEMA, params={"format": form})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/json")
    assert answer.json()["error"]["code"] == "invalid_value"
    assert answer.json()["error"]["param"] == "format"


@each("accept", ["text/html", "image/*", "application/xml", "application/json;q=0"])
@each("method", ["GET", "HEAD"])
def test_nothing_that_is_wanted(client, method, accept):
    answer = client.request(method, SCHEMA, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/json")
    assert method == "HEAD" or answer.json()["error"]["param"] == "Accept"


@each("accept", ["application/yaml", "text/html", "*/*"])
@each("path", [SCHEMA, "/api/v2/docs/"])
def test_errors_are_the_json_envelope_whatever_is_wanted(client, path, accept):
    answer = client.post(path, params={"format": "yaml"}, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (405, "application/json")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_a_version_in_the_query_is_not_echoed(client):
    answer = client.get(SCHEMA, params={"version": "9\r\nX-Evil: 1", "lang": "de"})
    assert answer.content == rendered("json")
    assert "X-Evil" not in answer.headers

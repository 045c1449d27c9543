"""The docs page: everything it needs comes from this server, and it works in a real browser."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser

import pytest

from tests.each import each
from tests.promptcraft import chromium

DOCS = "/api/v2/docs/"
FOREIGN = re.compile(r"(?:https?|wss?):|//[a-z0-9]", re.IGNORECASE)


class Assets(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def handle_starttag(self, tag, attributes):
        of = {"script": "src", "link": "href", "img": "src"}.get(tag)
        self.paths += [value for name, value in attributes if name == of and value]


def assets_of(html):
    parser = Assets()
    parser.feed(html)
    return parser.paths


def test_the_page_names_no_other_host(client):
    answer = client.get(DOCS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert FOREIGN.findall(answer.text) == []
    assert len(assets_of(answer.text)) == 3


def test_every_asset_is_served(client):
    for path in assets_of(client.get(DOCS).text):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert len(answer.content) > 500
        asked = client.head(path)
        assert (asked.status_code, asked.content) == (200, b"")


def test_what_the_page_reads_is_served(client):
    (url,) = re.findall(r'"url": "([^"]+)"', client.get(DOCS).text)
    assert client.get(url).json()["openapi"].startswith("3.1")


@each("accept", ["text/html", "application/json", "*/*", "image/png"])
def test_the_page_is_html_whatever_is_wanted(client, accept):
    answer = client.get(DOCS, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_the_policy_is_strict(client):
    policy = dict(part.split(" ", 1) for part in client.get(DOCS).headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    for name, sources in policy.items():
        assert not re.search(r"unsafe|\*|https?:|nonce", sources), name
    assert re.fullmatch(r"'self' 'sha256-[A-Za-z0-9+/]{43}='", policy["script-src"])


@pytest.fixture(scope="module")
def browser():
    if chromium.installed() is None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail("Chromium is not installed, and CI is set: install the package `chromium`.")
        pytest.skip("Chromium is not installed: the docs page was not tried in a browser.")
    with chromium.Browser() as browser:
        yield browser


def own(url, server):
    return url.startswith((server.url("/"), "data:"))


def test_a_browser_shows_it_and_can_try_it(production, browser):
    models = "#operations-models-model_list"
    browser.open(production.url(DOCS))
    assert browser.wait_for("document.querySelectorAll('.opblock').length > 14")

    browser.click(".btn.authorize")
    browser.wait_for("document.querySelector('.auth-container input')")
    browser.run("document.querySelector('.auth-container input').focus()")
    browser.type_text(production.token())
    browser.click(".auth-container .btn.authorize")
    browser.wait_for("[...document.querySelectorAll('.auth-container button')].some((b) => b.innerText === 'Logout')")
    browser.click(".btn-done")

    browser.click(f"{models} .opblock-summary-control")
    browser.click(f"{models} .try-out__btn")
    browser.click(f"{models} .execute")
    answered = f"document.querySelector('{models} .live-responses-table tbody .response-col_status')"
    assert browser.wait_for(f"{answered}?.innerText").startswith("200")
    body = browser.run(f"document.querySelector('{models} .live-responses-table .highlight-code').innerText")
    assert '"object": "list"' in body
    assert '"id": "mock"' in body

    assert production.url("/api/v2/models/") in browser.requests
    assert [url for url in browser.requests if not own(url, production)] == []
    assert browser.violations() == []
    assert browser.problems == []

    # What the policy forbids is not done.
    browser.run("void fetch('https://evil.example/').catch(() => 0)")
    browser.run("document.body.append(Object.assign(document.createElement('script'), {text: 'window.evil = 1'}))")
    assert browser.wait_for("window.violations.length >= 2")
    assert browser.run("window.evil === undefined")
    browser.problems.clear()


def test_a_link_does_not_choose_another_schema(production, browser):
    browser.open(production.url(f"{DOCS}?url=https://evil.example/openapi.json&configUrl=https://evil.example/c.json"))
    assert browser.wait_for(
        "performance.getEntriesByType('resource').some((one) => one.name.includes('/api/v2/schema'))"
    )
    assert [url for url in browser.requests if not own(url, production)] == []
    # What the page makes of it is another test's: it costs seconds.
    browser.open("about:blank")

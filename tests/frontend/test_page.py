"""The example page in a real browser, served from another origin than the service."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.frontend.code_blocks import EXAMPLES
from tests.promptcraft.chromium import Browser, installed
from tests.server import PASSWORD, USERNAME, ServerProcess

STREAM = {"messages": [{"role": "user", "content": "Say hello"}]}


class Files(SimpleHTTPRequestHandler):
    """Serves the page, silently."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=EXAMPLES)) as files:
        thread = threading.Thread(target=files.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{files.server_port}"
        files.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(origin: str) -> Iterator[ServerProcess]:
    with ServerProcess(
        {"PROVIDER_CHAIN": "mock", "CORS_ALLOWED_ORIGINS": origin, "CHAT_RATE_LIMIT": "100/m"}
    ) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if installed() is None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail("Chromium is not installed, and CI is set: install the package `chromium`.")
        pytest.skip("Chromium is not installed: the example page was not tried in a browser.")
    with Browser() as browser:
        yield browser


def log_in(browser: Browser, server: ServerProcess) -> None:
    for name, value in {"server": server.url(), "username": USERNAME, "password": PASSWORD}.items():
        browser.run(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")
    browser.click("#log-in button")
    browser.wait_for("document.querySelector('#ask').checkVisibility()")
    assert not browser.run("document.querySelector('#log-in').checkVisibility()")


def status(browser: Browser, text: str) -> None:
    browser.wait_for(f"document.querySelector('#status').textContent === {json.dumps(text)}")


def test_it_streams_and_stops(browser: Browser, server: ServerProcess, origin: str) -> None:
    browser.open(origin)
    log_in(browser, server)
    browser.click("#ask button:not([type])")
    status(browser, "Done.")
    assert browser.run("document.querySelector('#answer').textContent")
    browser.click("#ask button:not([type])")
    browser.wait_for("document.querySelector('#answer').textContent")
    browser.click("#stop")
    status(browser, "Stopped.")


def test_after_a_reload_it_shows_the_answer_that_was_under_way(
    browser: Browser, server: ServerProcess, origin: str
) -> None:
    _, _, completion = server.call("/api/v2/chat/completions/", json=STREAM)
    browser.open(origin)
    browser.run(f"sessionStorage.setItem('completion', {json.dumps(completion['id'])})")
    browser.open(origin)
    log_in(browser, server)
    status(browser, "Done.")
    shown = browser.run("document.querySelector('#answer').textContent")
    assert shown == completion["choices"][0]["message"]["content"]


def test_a_refused_log_in_is_told(browser: Browser, server: ServerProcess, origin: str) -> None:
    browser.open(origin)
    for name, value in {"server": server.url(), "username": USERNAME, "password": "wrong"}.items():
        browser.run(f"document.querySelector('[name={name}]').value = {json.dumps(value)}")
    browser.click("#log-in button")
    browser.wait_for("document.querySelector('#status').textContent")
    assert not browser.run("document.querySelector('#ask').checkVisibility()")

"""The admin in a real browser, on a server process: signing in, changing a template, publishing it."""

from __future__ import annotations

import os

import pytest

from tests.promptcraft import chromium
from tests.server import PASSWORD, ServerProcess


@pytest.fixture(scope="module")
def browser():
    if chromium.installed() is None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail("Chromium is not installed, and CI is set: install the package `chromium`.")
        pytest.skip("Chromium is not installed: the admin was not tried in a browser.")
    with chromium.Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def server():
    # With DEBUG off its cookies would ask for TLS.
    with ServerProcess(env={"DEBUG": "1"}, library=True) as server:
        server.manage("create_user", "curator", "--staff", "--password-stdin", stdin=f"{PASSWORD}\n")
        yield server


def arrive(browser, condition):
    """Wait for something on the page that a click leads to; the one before it is left while it is looked at."""
    for _ in range(3):
        try:
            return browser.wait_for(condition)
        except chromium.BrowserFailed as error:
            if "navigated" not in str(error):
                raise
    raise AssertionError("the page changes again and again")


def test_staff_curate_in_a_browser(server, browser):
    browser.open(server.url("/admin/prompt_templates/template/?q=cold-email-from-trigger-event"))
    arrive(browser, "document.querySelector('#id_username')")
    for field, text in (("username", "curator"), ("password", PASSWORD)):
        browser.run(f"document.querySelector('#id_{field}').focus()")
        browser.type_text(text)
    browser.click("[type=submit]")

    arrive(browser, "document.querySelector('#result_list')")
    browser.click("#result_list tbody th a")
    assert arrive(browser, "document.querySelector('#id_tags')?.value")
    arrive(browser, "document.querySelector('#labels-group a')")
    assert browser.run("document.querySelectorAll('#versions-group textarea, #versions-group select').length") == 0
    browser.run("document.querySelector('#id_title').value = ''")
    browser.run("document.querySelector('#id_title').focus()")
    browser.type_text("Curated")
    browser.click("[name=_continue]")
    arrive(browser, "document.querySelector('.messagelist .success')")
    assert browser.run("document.querySelector('#id_title').value") == "Curated"

    browser.open(server.url("/admin/prompt_templates/template/?q=Curated"))
    arrive(browser, "document.querySelector('.action-select')")
    browser.click(".action-select")
    browser.run("document.querySelector('[name=action]').value = 'unpublish'")
    browser.click("[name=index]")
    assert "1 made private" in arrive(browser, "document.querySelector('.messagelist .success')?.innerText")

    assert [url for url in browser.requests if not url.startswith((server.url("/"), "data:"))] == []
    assert browser.violations() == []
    # The pages name no icon, and a browser asks for one.
    assert [problem for problem in browser.problems if "favicon.ico" not in problem] == []

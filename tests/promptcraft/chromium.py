"""A headless Chromium over its debugging pipe: no driver to install, no port to open.

with Browser() as browser:
    browser.open("http://127.0.0.1:8000/")
    assert browser.run("document.title") == "..."

The protocol is the DevTools one (https://chromedevtools.github.io/devtools-protocol/); messages end with a NUL.
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Browser", "BrowserFailed", "installed"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_TIMEOUT_S = 30.0
# No name resolves, so that a request to another host is seen to be tried and goes nowhere.
_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1280,1600",
)
# The browser reads from descriptor 3 and writes to 4; the ends of the pipes, moved out of the way first, may be those.
_LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD_CLOEXEC, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
    (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


class BrowserFailed(AssertionError):
    """The browser did not do what was asked of it."""


def installed() -> str | None:
    """Return the path of a Chromium, None if there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Browser:
    """One browser with one page. Leaving the `with` block ends it.

    `requests` are the URLs it asked for, `problems` what its console says is wrong.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._next_id = 0
        self._buffer = bytearray()
        self._session: str | None = None
        self._loaded = False

    def __enter__(self) -> Self:
        path = installed()
        if path is None:
            raise BrowserFailed("no Chromium is installed")
        self._profile = tempfile.mkdtemp(prefix="promptcraft-chromium-")
        browser_reads, self._write = os.pipe()
        self._read, browser_writes = os.pipe()
        command = [path, *_FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(browser_reads), str(browser_writes), *command],
            pass_fds=(browser_reads, browser_writes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(browser_reads)
        os.close(browser_writes)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._read, selectors.EVENT_READ)
        try:
            self._attach()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._loaded = False
        self.call("Page.navigate", url=url)
        deadline_s = time.monotonic() + _TIMEOUT_S
        while not self._loaded:
            self._take(self._receive(deadline_s))

    def run(self, expression: str) -> Any:
        """Return the value of an expression, awaited if it is a promise. Raises BrowserFailed if it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserFailed(f"{expression}: {json.dumps(answer['exceptionDetails'])[:2000]}")
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> Any:
        """Wait until an expression is truthy, looking again whenever the page changes; return its value, if plain."""
        return self.run(
            f"""new Promise((resolve, reject) => {{
                const look = () => {{
                    const value = {condition};
                    if (!value) return;
                    observer.disconnect();
                    resolve(value instanceof Node ? true : value);
                }};
                const observer = new MutationObserver(look);
                observer.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}});
                setTimeout(() => reject(new Error("not within 20 s: " + document.body.innerText.slice(0, 500))), 20000);
                look();
            }})"""
        )

    def click(self, selector: str) -> None:
        """Click an element once it is there."""
        self.wait_for(f"document.querySelector({json.dumps(selector)})")
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def type_text(self, text: str) -> None:
        """Type into the element that has the focus."""
        self.call("Input.insertText", text=text)

    def violations(self) -> list[str]:
        """Return what the page's Content-Security-Policy has refused since it was opened."""
        found: list[str] = self.run("window.violations")
        return found

    def screenshot(self, path: Path) -> None:
        """Save what the page looks like."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result. Raises BrowserFailed."""
        self._next_id += 1
        message: dict[str, Any] = {"id": self._next_id, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        deadline_s = time.monotonic() + _TIMEOUT_S
        while True:
            answer = self._receive(deadline_s)
            if answer.get("id") == self._next_id:
                if "error" in answer:
                    raise BrowserFailed(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._take(answer)

    def _attach(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=_VIOLATIONS)

    def _take(self, event: Mapping[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded" if params["entry"]["level"] in ("warning", "error"):
                self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(params["exceptionDetails"])[:500])

    def _receive(self, deadline_s: float) -> dict[str, Any]:
        while (end := self._buffer.find(b"\0")) < 0:
            if not self._selector.select(max(0.0, deadline_s - time.monotonic())):
                raise BrowserFailed(f"the browser said nothing for {_TIMEOUT_S} s")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise BrowserFailed("the browser has left")
            self._buffer += data
        message: dict[str, Any] = json.loads(self._buffer[:end])
        del self._buffer[: end + 1]
        return message

    def _end(self) -> None:
        self._selector.close()
        os.close(self._read)
        os.close(self._write)
        try:
            # It leads a group of its own, which its many processes are in.
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait(10)
        shutil.rmtree(self._profile, ignore_errors=True)

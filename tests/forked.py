"""Python processes that have the libraries already: forked off one that has imported them, as most of a start is that.

The libraries, and what of the project reads no settings: each process reads its own environment and imports the other
modules for itself.

    with open("log", "wb") as log:
        process = started(["-m", "uvicorn", "promptcraft.asgi:application"], env, output=log.fileno())
    code, output, errors = run(["manage.py", "check"], env)
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, Union

from tests.waiting import HANG_S

__all__ = ["HASHES_AS_USUAL", "Process", "hash_quickly", "run", "started"]

_ROOT = Path(__file__).resolve().parents[1]
_LIBRARIES = """
charset_normalizer corsheaders.middleware django.contrib.admin.decorators django.contrib.admin.views.main
django.contrib.admindocs.views django.contrib.auth.password_validation django.contrib.messages.middleware
django.contrib.postgres.fields django.contrib.sessions.backends.db django.contrib.sessions.middleware
django.contrib.staticfiles.finders django.core.asgi django.core.handlers.asgi django.core.mail django.core.management
django.core.management.commands.migrate django.db.backends.sqlite3.base django.db.migrations.autodetector django.http
django.template.defaultfilters django.test.signals django.views.generic drf_spectacular.utils environs httptools httpx
jwt marshmallow msgspec orjson psycopg pygments.lexers requests rest_framework.authentication rest_framework.metadata
rest_framework.mixins rest_framework.permissions rest_framework.serializers sentry_sdk.integrations.asyncio
sentry_sdk.integrations.logging urllib3 uvicorn.lifespan.on uvicorn.main uvicorn.protocols.http.httptools_impl
uvicorn.protocols.websockets.auto uvloop yaml
"""
"""What every server imports, of what can be imported before there are settings. One that is missing costs time alone.

Not Channels, Daphne, Redis and LangChain: a server that does not need them does not load them, which tests look at.
"""
_OURS = """
apps.accounts.access apps.accounts.attempts apps.chat.engine.generation apps.chat.engine.writer apps.chat.responses
apps.limits.opening apps.llm.providers.mock apps.llm.providers.openai_compatible apps.templates.curation.bounds
apps.templates.library.differences apps.templates.library.drafts apps.templates.prompts.comparing
apps.templates.prompts.model_answers apps.templates.prompts.workload apps.templates.rules.preloading
apps.templates.slug_forms promptcraft.handler promptcraft.logs promptcraft.routes promptcraft.schema.page
promptcraft.scope promptcraft.server.connection promptcraft.server.uvicorn_program promptcraft.websocket
"""
"""What reads no settings, with all that it imports: a module that read some would be told that there are none."""
_ROUNDS = 1_000
"""Of the hasher. A test of what hashing costs brings its own settings (`tests.operations.hasty_settings`)."""
HASHES_AS_USUAL = "HASHES_AS_USUAL"
"""A variable of the environment of those for which hashing is to cost what it does: a server that is attacked."""
_quick = False
_MOST_ORDER_BYTES = 200_000
_CLOSE_S = 10


Process = Union[subprocess.Popen[bytes], "_Forked"]


def started(
    arguments: Sequence[str],
    env: Mapping[str, str],
    *,
    output: int,
    errors: int | None = None,
    given: int | None = None,
) -> Process:
    """Start `python <arguments>` in the project's directory, with this environment, in a session of its own.

    `arguments` begin with `-m` and a module, with `-c` and a program, or with a script; the descriptors stay the
    caller's. Where it cannot be forked, it is started in the plain way, to the same end.
    """
    with open(os.devnull, "rb") as nothing:
        standard = (nothing.fileno() if given is None else given, output, output if errors is None else errors)
        if sys.platform == "linux" and "COVERAGE_PROCESS_START" not in env:
            return _Forked(arguments, env, standard)
        command, (stdin, stdout, stderr) = [sys.executable, *arguments], standard
        return subprocess.Popen(
            command, cwd=_ROOT, env=dict(env), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )


def run(
    arguments: Sequence[str], env: Mapping[str, str], given: str = "", *, within_s: float = HANG_S
) -> tuple[int, str, str]:
    """Run one to its end; return its exit code and what it wrote. Raises subprocess.TimeoutExpired."""
    with ExitStack() as stack:
        stdin, stdout, stderr = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
        stdin.write(given)
        stdin.seek(0)
        process = started(arguments, env, output=stdout.fileno(), errors=stderr.fileno(), given=stdin.fileno())
        try:
            code = process.wait(within_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        stdout.seek(0)
        stderr.seek(0)
        return code, stdout.read(), stderr.read()


def hash_quickly() -> None:
    """Have passwords hashed in a moment, here and in what is started from now on without `HASHES_AS_USUAL`.

    Django's hasher takes half a second, on purpose, and none of ours is in it.
    """
    global _quick
    _quick = True
    _take_few_rounds()


def _take_few_rounds() -> None:
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    PBKDF2PasswordHasher.iterations = _ROUNDS


class _Forked:
    """A forked process; a part of what Popen is."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], standard: tuple[int, int, int]) -> None:
        quick = _quick and HASHES_AS_USUAL not in env
        order = json.dumps({"arguments": list(arguments), "env": dict(env), "quick": quick}).encode()
        assert len(order) < _MOST_ORDER_BYTES
        self.args = list(arguments)
        self.returncode: int | None = None
        told, tells = os.pipe()
        self._told = os.fdopen(told, "rb", buffering=0)
        # Not `select`: this process may have more than a thousand descriptors.
        self._exits = select.poll()
        self._exits.register(told, select.POLLIN)
        try:
            _parent().send(order, (*standard, tells))
        finally:
            os.close(tells)
        self._lock = threading.Lock()
        self.pid = int(self._line())

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit and return its code, negative for a signal. Raises subprocess.TimeoutExpired."""
        with self._lock:
            if self.returncode is None:
                if timeout is not None and not self._exits.poll(timeout * 1000):
                    raise subprocess.TimeoutExpired(self.args, timeout)
                self.returncode = int(self._line())
                self._told.close()
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal; no-op if it has left."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            more = self._told.read(32)
            assert more, "the process that forks the others has left"
            line += more
        return line


class _Parent:
    """The process with the libraries. It ends when this one does, and kills what it has forked."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            theirs.set_inheritable(True)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked", str(theirs.fileno())],
                cwd=_ROOT,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._lock = threading.Lock()
        atexit.register(self._close)

    def send(self, order: bytes, descriptors: Sequence[int]) -> None:
        with self._lock:
            socket.send_fds(self._orders, [order], list(descriptors))

    def _close(self) -> None:
        self._orders.close()
        self._process.wait(_CLOSE_S)


@cache
def _parent() -> _Parent:
    inherited = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return _Parent({name: os.environ[name] for name in inherited if name in os.environ})


def _main(orders: socket.socket) -> None:
    gc.disable()
    for name in _LIBRARIES.split():
        with suppress(ImportError):
            importlib.import_module(name)
    # Whoever breaks one of these sees it in the processes that need it.
    for name in _OURS.split():
        with suppress(Exception):
            importlib.import_module(name)
    with suppress(Exception):
        importlib.import_module("apps.templates.rules.preloading").preload()
    # What they share is not for each of them to look through, and so to copy.
    gc.enable()
    gc.collect()
    gc.freeze()
    running: dict[int, int] = {}
    woken, wake = os.pipe()
    waited_for: list[Any] = [orders, woken]
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        ready, _, _ = select.select(waited_for, [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_exits(running)
        if orders in ready:
            order, descriptors, _, _ = socket.recv_fds(orders, _MOST_ORDER_BYTES, 4)
            if not order:
                break
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                orders.close()
                _become(json.loads(order), descriptors, [woken, wake, *running.values()])
            *standard, tells = descriptors
            for descriptor in standard:
                os.close(descriptor)
            running[pid] = tells
            os.write(tells, b"%d\n" % pid)
    for pid in running:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _tell_exits(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        tells = running.pop(pid)
        with suppress(BrokenPipeError):
            os.write(tells, b"%d\n" % os.waitstatus_to_exitcode(status))
        os.close(tells)


def _become(order: Mapping[str, Any], descriptors: Sequence[int], foreign: Sequence[int]) -> NoReturn:
    """Be the process that was ordered, from its first line to its exit."""
    os.setsid()
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    for descriptor in (*descriptors, *foreign):
        os.close(descriptor)
    arguments, env = order["arguments"], order["env"]
    os.environ.clear()
    os.environ.update(env)
    if order["quick"]:
        _take_few_rounds()
    del sys.modules["__main__"]
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(arguments[1], "<string>", "exec"), vars(sys.modules["__main__"]))
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])))

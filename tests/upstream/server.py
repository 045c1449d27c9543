"""The simulator's server: listens, tells vendors apart by path, picks scenarios, keeps the journal."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Literal, Self, TypeVar

from tests.upstream.catalogue import CATALOGUE, scenario_named
from tests.upstream.connection import UpstreamConnection
from tests.upstream.framing import response
from tests.upstream.healthy import healthy
from tests.upstream.journal import Connection, Exchange, Journal
from tests.upstream.request import RawRequest, UpstreamRequest, parse_json
from tests.upstream.rules import refusal
from tests.upstream.scenario import Outcome, Scenario
from tests.upstream.steps import Send, Step
from tests.upstream.vendor import dumps
from tests.upstream.vendors import VENDORS
from tests.waiting import HANG_S, soon

__all__ = ["UpstreamServer"]

Answer = TypeVar("Answer")
Endpoint = Literal["chat", "models", "balance"]
_ENDPOINTS = {
    ("POST", "/chat/completions"): "chat",
    ("GET", "/models"): "models",
    ("GET", "/user/balance"): "balance",
}
_BALANCE = {
    "is_available": True,
    "balance_infos": [
        {"currency": "CNY", "total_balance": "110.00", "granted_balance": "10.00", "topped_up_balance": "100.00"}
    ],
}
_IN_PROMPT = re.compile(r"\[\[([a-z0-9-]+)\]\]")


class UpstreamServer:
    """All three vendors behind one port of 127.0.0.1.

    `with UpstreamServer() as upstream` runs it on a thread with a loop of its own, `async with` in the running
    loop; leaving either way drops every connection and raises if a script raised. `strict` refuses what a
    vendor would refuse (`rules.py`), where a whole answer was about to be given.

    A request's scenario is, first found first taken: its `X-Scenario` header; what stands behind an `@` in its
    model; `[[name]]` in its last user message; the vendor's queue; the vendor's default; a whole answer.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, strict: bool = True) -> None:
        self.host = host
        self.port = port
        self.strict = strict
        self.log = Journal()
        self._lock = threading.Lock()
        self._queues: defaultdict[tuple[str, str], deque[Scenario]] = defaultdict(deque)
        self._defaults: dict[tuple[str, str], Scenario] = {}
        self._live: set[UpstreamConnection] = set()
        self._thread: threading.Thread | None = None

    # -- scripting -------------------------------------------------------------------------------------

    def base_url(self, vendor: str) -> str:
        """Return what the vendor's `*_BASE_URL` is to be."""
        return f"http://{self.host}:{self.port}{VENDORS[vendor].path}"

    def environment(self, *vendors: str, api_key: str = "sk-upstream-0001") -> dict[str, str]:
        """Return the variables that point a relay at these vendors here, at all of them if none is named.

        The others get an empty key, so that nothing of the machine's own environment shines through.
        """
        wanted = vendors or tuple(VENDORS)
        variables = {}
        for name in VENDORS:
            variables[f"{name.upper()}_BASE_URL"] = self.base_url(name)
            variables[f"{name.upper()}_API_KEY"] = api_key if name in wanted else ""
        return variables

    def script(
        self, vendor: str, scenario: Scenario | str, times: int | None = None, *, endpoint: Endpoint = "chat"
    ) -> None:
        """Answer with a scenario: the next `times` requests, or, if None, all that no queue answers."""
        chosen = scenario_named(scenario) if isinstance(scenario, str) else scenario
        key = (VENDORS[vendor].name, endpoint)
        with self._lock:
            if times is None:
                self._defaults[key] = chosen
            else:
                self._queues[key].extend([chosen] * times)

    def reset(self) -> None:
        """Forget every script and every exchange, for the next test of a shared server."""
        with self._lock:
            self._queues.clear()
            self._defaults.clear()
        self.log.clear()

    # -- reading ---------------------------------------------------------------------------------------

    @property
    def journal(self) -> tuple[Exchange, ...]:
        """Return every request so far."""
        return self.log.exchanges

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Return every connection so far."""
        return self.log.connections

    def exchanges(self, vendor: str | None = None, endpoint: str = "chat") -> tuple[Exchange, ...]:
        """Return the requests to one vendor's endpoint, to anyone's if None."""
        return tuple(e for e in self.log.exchanges if vendor in (None, e.vendor) and e.endpoint == endpoint)

    def wait_for(self, predicate: Callable[[tuple[Exchange, ...]], Answer], timeout_s: float = HANG_S) -> Answer:
        """Block until `predicate(journal)` is true and return what it returned. Raises JournalTimeout.

        In a coroutine on the server's own loop it would block the server: use `wait_for_async` there.
        """
        return self.log.wait_for(predicate, timeout_s)

    async def wait_for_async(
        self, predicate: Callable[[tuple[Exchange, ...]], Answer], timeout_s: float = HANG_S
    ) -> Answer:
        """Do the same without blocking the loop."""
        return await asyncio.to_thread(self.log.wait_for, predicate, timeout_s)

    def wait_one(self, predicate: Callable[[Exchange], object], timeout_s: float = HANG_S) -> Exchange:
        """Block until one exchange is as the predicate wants it and return the first such. Raises JournalTimeout."""
        found = self.wait_for(lambda journal: next((e for e in journal if predicate(e)), None), timeout_s)
        assert found is not None
        return found

    def wait_over(self, vendor: str | None = None, timeout_s: float = HANG_S) -> Exchange:
        """Block until an exchange is over, whichever way, and return the first such."""
        return self.wait_one(lambda exchange: exchange.over and vendor in (None, exchange.vendor), timeout_s)

    def wait_hung_up(self, vendor: str | None = None, timeout_s: float = HANG_S) -> Exchange:
        """Block until the peer has left an exchange before its script was over, and return the first such."""
        return self.wait_one(lambda exchange: exchange.hung_up_at_s and vendor in (None, exchange.vendor), timeout_s)

    def soon_hung_up(self, turn: Callable[[], object], vendor: str = "deepseek") -> Exchange:
        """Return the first exchange that the peer has left; it does so within a few turns of its own (`soon`)."""

        def left() -> Exchange | None:
            return next((one for one in self.log.exchanges if one.hung_up_at_s and one.vendor == vendor), None)

        found = soon(left, turn, "a connection that the peer has closed")
        assert found is not None
        return found

    # -- running ---------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Listen, in the running loop. `aclose` ends it."""
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(
            lambda: UpstreamConnection(self.log, self._choose, self._live), self.host, self.port, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def aclose(self) -> None:
        """Stop listening and drop every connection. Raises AssertionError if a script raised."""
        self._server.close()
        await asyncio.gather(*(connection.aclose() for connection in tuple(self._live)))
        await self._server.wait_closed()
        assert not self.log.script_errors, f"scripts raised: {self.log.script_errors}"

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="upstream-simulator", daemon=True)
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result(10)
        except BaseException:
            self._stop_thread(loop)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self.aclose(), self._loop).result(10)
        finally:
            self._stop_thread(self._loop)

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        loop.run_forever()
        loop.close()

    def _stop_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join(10)

    # -- choosing --------------------------------------------------------------------------------------

    def _choose(self, raw: RawRequest, number: int) -> tuple[UpstreamRequest, Scenario]:
        request = self._read(raw, number)
        if request.endpoint == "unknown":
            return request, _fixed("no-such-path", response(404, b'{"error":{"message":"no such path"}}'))
        scenario = self._scripted(request)
        if self.strict and request.endpoint == "chat" and scenario.checked:
            refused = refusal(request)
            if refused is not None:
                return request, _fixed(f"refused: {refused[0]}", refused[1])
        return request, scenario

    def _read(self, raw: RawRequest, number: int) -> UpstreamRequest:
        path = raw.path.partition("?")[0]
        vendor, endpoint, beta = "unknown", "unknown", False
        for candidate in VENDORS.values():
            if path.startswith(candidate.path + "/"):
                vendor = candidate.name
                rest = path.removeprefix(candidate.path).rstrip("/")
                if vendor == "deepseek":
                    beta = rest.startswith("/beta/")
                    rest = rest.removeprefix("/beta").removeprefix("/v1")
                endpoint = _ENDPOINTS.get((raw.method, rest), "unknown")
                if endpoint == "balance" and vendor != "deepseek":
                    endpoint = "unknown"
        return UpstreamRequest(
            number=number, vendor=vendor, endpoint=endpoint, beta=beta, raw=raw, json=parse_json(raw.body)
        )

    def _scripted(self, request: UpstreamRequest) -> Scenario:
        asked = self._asked_for(request)
        if asked is not None:
            return CATALOGUE.get(asked) or _fixed(
                "unknown-scenario", response(400, dumps({"error": {"message": f"no scenario {asked!r}"}}))
            )
        key = (request.vendor, request.endpoint)
        with self._lock:
            if self._queues[key]:
                return self._queues[key].popleft()
            return self._defaults.get(key) or _plain(request)

    def _asked_for(self, request: UpstreamRequest) -> str | None:
        headers: Mapping[str, str] = request.raw.headers
        if "x-scenario" in headers:
            return headers["x-scenario"]
        if request.endpoint != "chat":
            return None
        suffix = str(request.body.get("model") or "").partition("@")[2]
        if suffix:
            return suffix
        in_prompt = _IN_PROMPT.search(request.last_user_text)
        return in_prompt[1] if in_prompt and in_prompt[1] in CATALOGUE else None


def _plain(request: UpstreamRequest) -> Scenario:
    headers = [("content-type", "application/json")]
    if request.endpoint == "models":
        return _fixed("models", response(200, VENDORS[request.vendor].models(), headers))
    if request.endpoint == "balance":
        return _fixed("balance", response(200, dumps(_BALANCE), headers))
    return _HEALTHY


def _fixed(name: str, data: bytes) -> Scenario:
    def steps(request: UpstreamRequest) -> Iterator[Step]:
        yield Send(data)

    return Scenario(name=name, description=name, steps=steps, outcome=Outcome.OPEN)


_HEALTHY = healthy()

"""The window of the workbench over WebSockets: one with that over HTTP."""

from __future__ import annotations

from tests.contract.limit_fixtures import started
from tests.server import ServerProcess
from tests.templates.sockets.client import Client
from tests.templates.sockets.conftest import ON

SEARCH = "/ws/search/"


def test_every_message_but_chat_counts():
    server = ServerProcess(ON | {"PROVIDER_CHAIN": "mock", "WORKBENCH_RATE_LIMIT": "3/m"})
    with started(server):
        with Client(server) as client, Client(server, path=SEARCH) as searching:
            assert client.ask("process_intent", query="a blog post about rivers").kind == "intent_result"
            assert searching.ask("search", query="rivers").kind == "search_results"
            assert server.call("/api/v2/templates/")[1]["ratelimit"] == '"workbench";r=0;t=60'
            for way, kind, members in (
                (client, "process_intent", {"query": "a blog post about rivers"}),
                (client, "optimize_prompt", {"prompt": "write something about rivers"}),
                (client, "generate_content", {"prompt": "Write about rivers."}),
                (searching, "search", {"query": "rivers"}),
            ):
                error = way.ask(kind, **members).error
                assert (error["code"], error["type"]) == ("rate_limited", "rate_limit_error")
                assert 1 <= error["retry_after"] <= 60
            assert client.ask("chat_message", message="When does the tide turn?").kind == "chat_result"
        assert server.call("/api/v2/prompts/intent/", json={"query": "a blog post"})[0] == 429

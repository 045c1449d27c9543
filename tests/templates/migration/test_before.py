"""The old client of the guide, over a real WebSocket: what the new one is measured against."""

from __future__ import annotations

from typing import Any

from tests.templates.migration.conftest import FrontEnd
from tests.templates.migration.test_after import PROMPT, QUERY, content_of

LONG = {"X-Mock-Scenario": "long"}


def test_both_clients_give_the_same_answers(page: FrontEnd) -> None:
    asked: dict[str, Any] = {
        "query": QUERY,
        "prompt": PROMPT,
        "search": "newsleter",
        "filters": {"category": "marketing_email"},
    }
    old, new = page.run("before", **asked), page.run("after", **asked)
    for name, kind in (("intent", "intent_result"), ("optimization", "optimization_result")):
        assert old[name].pop("type") == kind
        assert old[name].pop("request_id")
    assert old == new
    assert new["results"]


def test_stop(page: FrontEnd) -> None:
    outcome = page.run("stoppedBefore", headers=LONG)
    assert outcome["finish_reason"] == "cancelled"
    assert content_of(page.stored(outcome["completion_id"])) == outcome["content"]


def test_a_refusal_is_the_same_envelope(page: FrontEnd) -> None:
    body = {"prompt": "Hello", "temperature": 9}
    old, new = page.run("refusedBefore", body=body), page.run("refused", body=body)
    assert (old["code"], old["param"], old["message"]) == (new["code"], new["param"], new["message"])


def test_a_shadow_of_a_websocket_sees_the_same(page: FrontEnd, user: str) -> None:
    assert page.run("shadowBefore", user=user, headers=LONG) == {"same": True, "live": True}
    assert len(page.completions(user)) == 1

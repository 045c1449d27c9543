"""Contract 3 and 4: any OpenAI-compatible server is a provider by configuration, and `/v1` is for it too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.contract.limit_fixtures import CALM, Door, error_of, started
from tests.contract.settings_reader import Outcome, ReadSettings, settings_reader
from tests.each import each
from tests.server import ROOT, ServerProcess
from tests.upstream import UpstreamServer

ROUTER_MODEL = "gpt-4o"
SETTINGS = {"DEBUG": "1", "PROVIDER_CHAIN": "my-llm", "MY_LLM_BASE_URL": "http://127.0.0.1:9/v1", "MY_LLM_MODEL": "owl"}


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with UpstreamServer(strict=False) as upstream:
        server = ServerProcess(
            CALM
            | {
                "PROVIDER_CHAIN": "my-llm,deepseek,router",
                "MY_LLM_BASE_URL": upstream.base_url("zai") + "/",
                "MY_LLM_MODEL": "glm-4.7",
                "MY_LLM_API_KEY": "sk-upstream-0001",
                "MY_LLM_PRICE": "1/2",
                "ROUTER_BASE_URL": upstream.base_url("openai"),
                "ROUTER_MODEL": ROUTER_MODEL,
                "ROUTER_API_KEY": "sk-upstream-0001",
            },
            upstream=upstream,
            vendors=("deepseek",),
        )
        with started(server):
            yield Door(server, upstream)


@pytest.fixture(scope="module")
def read() -> Iterator[ReadSettings]:
    with settings_reader() as reader:
        yield reader


def provider_of(headers: dict[str, str]) -> tuple[str, str]:
    return headers["x-promptcraft-provider"], headers["x-promptcraft-model"]


def test_it_is_asked_named_and_priced(door: Door) -> None:
    status, headers, body = door.whole(door.user())
    assert (status, *provider_of(headers)) == (200, "my-llm", "glm-4.7")
    usage = body["usage"]
    expected = usage["prompt_tokens"] * 1e-6 + usage["completion_tokens"] * 2e-6
    assert usage["cost"] == pytest.approx(expected, abs=1e-9)
    assert [one["name"] for one in door.health()["providers"]] == ["my-llm", "deepseek", "router"]


def test_it_fails_over_to_and_from(door: Door) -> None:
    door.upstream.script("zai", "status-500", times=1)
    assert provider_of(door.whole(door.user())[1]) == ("deepseek", "deepseek-flash")
    door.upstream.script("deepseek", "status-500", times=1)
    assert door.whole(door.user(), model="deepseek-flash")[1]["x-promptcraft-provider"] == "my-llm"


@each(
    ("model", "provider", "really"),
    [
        ("router/gpt-4o-mini", "router", "gpt-4o-mini"),
        ("router/vendor/owl-1", "router", "vendor/owl-1"),
        ("deepseek/deepseek-v4-pro", "deepseek", "deepseek-v4-pro"),
        (ROUTER_MODEL, "router", ROUTER_MODEL),
    ],
)
def test_chain_begins_where_a_name_says(door: Door, model: str, provider: str, really: str) -> None:
    status, headers, body = door.whole(door.user(), model=model)
    assert (status, *provider_of(headers)) == (200, provider, really)
    assert (body["usage"].get("cost") is None) == (provider == "router")
    assert door.call(f"/api/v2/models/{model}/", door.user())[2]["id"] == really


@each("model", ["gpt-6-luna", "owl-1", "zai/glm-4.7", "deepseek/owl", "vendor/owl", "router/", "router/a b"])
def test_a_model_that_nobody_serves_is_404_and_names_what_can_be_had(door: Door, model: str) -> None:
    status, _, body = door.whole(door.user(), model=model)
    error = error_of(body)
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "glm-4.7" in error["message"]


@each("model", ["..", "router%2F..%2F%20", "owl%2F1", "%F0%9F%A6%89", "o" * 300])
def test_an_absent_model_is_404(door: Door, model: str) -> None:
    status, _, body = door.call(f"/v1/models/{model}", door.user())
    assert (status, error_of(body)["code"]) == (404, "model_not_found")


@each("model", ["router/a/b", "router%2Fa%2Fb"])
def test_an_id_may_hold_slashes(door: Door, model: str) -> None:
    status, _, body = door.call(f"/v1/models/{model}", door.user())
    assert (status, body["id"], body["provider"], body["pricing"]) == (200, "a/b", "router", None)


@each("ending", ["", "/"])
@each("path", ["models", "models/glm-4.7", "chat/completions"])
def test_v1_is_the_same(door: Door, path: str, ending: str) -> None:
    user = door.user()
    theirs, ours = door.call(f"/v1/{path}{ending}", user), door.call(f"/api/v2/{path}{ending}", user)
    assert (theirs[0], theirs[2]) == (ours[0], ours[2])
    assert set(theirs[1]) == set(ours[1])
    for method in ("DELETE", "PUT"):
        assert door.call(f"/v1/{path}{ending}", user, method=method)[0] == 405


def test_openais_client_streams_from_v1(door: Door) -> None:
    token = door.server.bearer(door.user())["Authorization"].removeprefix("Bearer ")
    with openai.OpenAI(base_url=f"http://127.0.0.1:{door.server.port}/v1", api_key=token) as client:
        messages: Any = [{"role": "user", "content": "When does the tide turn?"}]
        stream = client.chat.completions.create(model="auto", messages=messages, stream=True)
        assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "stop"


# --- the environment


@each(
    ("changed", "named"),
    [
        ({"MY_LLM_BASE_URL": ""}, "MY_LLM_BASE_URL"),
        ({"MY_LLM_MODEL": ""}, "MY_LLM_MODEL"),
        *(({"MY_LLM_MODEL": model}, "MY_LLM_MODEL") for model in ("an owl", "o" * 129, "høg")),
        *(
            ({"MY_LLM_BASE_URL": url}, "MY_LLM_BASE_URL")
            for url in ("host/v1", "ftp://host", "http://u:p@host/v1", "http://[::1", "http://host/#a")
        ),
        ({"MY_LLM_API_KEY": "a b"}, "MY_LLM_API_KEY"),
        *(({"MY_LLM_PRICE": text}, "MY_LLM_PRICE") for text in ("1", "-1/2", "1e3/x", "nan/inf", "1/2/3", "/")),
        *(
            ({"PROVIDER_CHAIN": text}, "PROVIDER_CHAIN")
            for text in ("DEEPSEEK", "my_llm", "my-llm,my-llm", "-a", "a--b", "høg", "2a", "o" * 33)
        ),
        ({"PROVIDER_CHAIN": "my-llm,mock2"}, "MOCK2_BASE_URL"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(read: ReadSettings, changed: dict[str, str], named: str) -> None:
    (outcome,) = read([SETTINGS | changed])
    assert f'"{named}"' in outcome["stop"]
    assert len(outcome["stop"].splitlines()) == 1


def test_twenty_providers_and_any_good_url_are_read(read: ReadSettings) -> None:
    urls = ("http://[::1]:1/v1", "https://host", "https://host/", "http://host/v1/", "https://host/v1?version=2")
    names = [f"llm-{number}" for number in range(20)]
    many = {"PROVIDER_CHAIN": ",".join(names)}
    for number, name in enumerate(names):
        prefix = name.upper().replace("-", "_")
        many |= {f"{prefix}_BASE_URL": urls[number % len(urls)], f"{prefix}_MODEL": "owl", f"{prefix}_PRICE": "0/0.5"}
    outcome: Outcome = read([{"DEBUG": "1"} | many])[0]
    assert set(names) <= set(outcome["settings"]["PROVIDERS"])
    assert outcome["settings"]["PROVIDER_PRICES"] == {name: [0, 500_000_000] for name in names}


RECIPE = re.compile(r"```sh\n(.*?)```", re.DOTALL)


@each("recipe", RECIPE.findall((ROOT / "docs/providers.md").read_text(encoding="utf-8")))
def test_every_recipe_is_read(read: ReadSettings, recipe: str) -> None:
    variables = dict(line.split("=", 1) for line in recipe.splitlines())
    settings = read([{"DEBUG": "1"} | variables])[0]["settings"]
    names = variables.pop("PROVIDER_CHAIN").split(",")
    assert settings["PROVIDER_CHAIN"] == names
    known = {
        f"{name.upper().replace('-', '_')}_{part}"
        for name in names
        for part in ("BASE_URL", "API_KEY", "MODEL", "PRICE")
    }
    assert set(variables) <= known

"""The contract's fixtures, and the servers that it holds under.

`pytest tests/contract --server=granian` (or daphne) runs the whole package under another server than uvicorn. Without
the option a core of it runs under all three, and the rest under uvicorn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.contract.limit_fixtures import talkative
from tests.contract.machine import Machine, fresh_machine
from tests.contract.settings_reader import ReadSettings, settings_reader
from tests.contract.stream_fixtures import hasty, relay, relays, simulator, strict, upstream
from tests.server import ServerName, other_default_server

__all__ = ["SERVERS", "hasty", "relay", "relays", "simulator", "strict", "talkative", "upstream"]

SERVERS: tuple[ServerName, ...] = ("uvicorn", "granian", "daphne")
"""Those that everything is promised for."""
EVERY_SERVER: Mapping[str, frozenset[str]] = {
    "test_cancel": frozenset(
        {
            "test_every_reader_is_told_and_upstream_is_closed",
            "test_before_the_first_content",
            "test_one_that_does_not_stream",
        }
    ),
    "test_disconnect": frozenset(
        {
            "test_mid_stream",
            "test_while_the_provider_talks",
            "test_before_the_first_content",
            "test_one_that_does_not_stream",
            "test_second_reader_keeps_it_alive_to_the_end",
            "test_runs_on_and_can_be_resumed_to_the_end",
            "test_is_cancelled_when_nobody_came_back_in_time",
        }
    ),
    "test_failover": frozenset(
        {
            "test_nothing_is_committed",
            "test_true_status_when_nobody_answers",
            "test_stream_ends_with_one_error_and_no_done",
            "test_head_and_a_ping_go_out",
            "test_later_failure_arrives_in_the_stream",
            "test_client_that_left_meanwhile_is_gone",
        }
    ),
    "test_framing": frozenset(
        {
            "test_a_whole_address_of_another_host",
            "test_a_whole_address_of_this_host",
            "test_answers_that_have_chunks_still_have_them",
            "test_chunked_in_any_case",
            "test_error_in_a_stream",
            "test_every_method",
            "test_in_two_lines",
            "test_leading_zeros_are_no_length",
            "test_nobody_is_told_to_go_on",
            "test_nothing_comes_before_the_answer",
            "test_one_and_no_more",
            "test_one_that_is_not_read_here",
            "test_only_completions_may_be_larger_than_a_mebibyte",
            "test_others",
            "test_over_the_bound",
            "test_stream",
            "test_the_connection_ends",
            "test_whole",
            "test_without_a_host",
        }
    ),
    "test_idempotency": frozenset({"test_replay_is_not_counted"}),
    "test_keepalive": frozenset({"test_is_one_line_after_the_interval", "test_naive_decoders_see_no_empty_event"}),
    "test_offers": frozenset(
        {
            "test_with_its_head",
            "test_later",
            "test_one_that_looks_like_a_request_is_none",
            "test_in_chunks",
            "test_without_a_body",
            "test_every_method",
            "test_requests_behind_it_have_their_answers",
            "test_an_offer_of_http_1_0_is_ignored_as_well",
            "test_a_websocket_where_none_is_served_is_404",
        }
    ),
    "test_readers": frozenset({"test_a_slot_comes_back_on_every_way_out"}),
    "test_resume": frozenset(
        {
            "test_rest_after_every_event",
            "test_nothing_new_is_204_with_nothing_in_it",
            "test_replay_then_live_to_the_end",
            "test_many_readers_from_many_places",
        }
    ),
    "test_slow_readers": frozenset(
        {"test_those_that_read_nothing_cost_little_and_get_everything", "test_reader_that_stops_and_goes_on"}
    ),
    "test_stream": frozenset(
        {
            "test_every_byte_is_the_contracts",
            "test_events_are_sent_as_they_come",
            "test_one_delta_of_half_a_mebibyte",
            "test_they_are_exactly_these",
            "test_never_encoded_nor_sized",
            "test_line_separators_travel_escaped",
        }
    ),
    "test_whole": frozenset({"test_chat_completion", "test_headers", "test_failure_has_its_true_status"}),
}
"""By module: the tests that run under each of them in every run. Leaving has its own scenes, in test_drain."""
OWN_LIMITS: Mapping[tuple[ServerName, str], str] = {
    ("granian", "TestHosts::test_a_whole_address_of_another_host"): "granian hands on the path of one and no host",
}
"""What a server does by itself and an application cannot change: by server and a part of the test's id."""


@pytest.fixture(scope="package")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Where somebody has just typed `make run`."""
    with fresh_machine(tmp_path_factory.mktemp("first") / "promptcraft") as machine:
        yield machine


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", choices=SERVERS, help="run tests/contract under this server (default uvicorn)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = _chosen(metafunc.config)
    module = metafunc.module.__name__.rpartition(".")[2]
    if "server_name" in metafunc.fixturenames and metafunc.function.__name__ in EVERY_SERVER.get(module, ()):
        metafunc.parametrize("server_name", SERVERS if chosen is None else (chosen,))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = _chosen(config)
    for item in items:
        parameters = getattr(item, "callspec", None)
        name = chosen if parameters is None else parameters.params.get("server_name", chosen)
        for (server, part), reason in OWN_LIMITS.items():
            if name == server and part in item.nodeid:
                item.add_marker(pytest.mark.xfail(reason=reason, run=False))


@pytest.fixture
def server_name(request: pytest.FixtureRequest) -> ServerName:
    """The server that a test's relays run under."""
    return _chosen(request.config) or "uvicorn"


@pytest.fixture(scope="package", autouse=True)
def chosen_server(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have the servers that tests start by themselves be the chosen one too."""
    with other_default_server(_chosen(request.config) or "uvicorn"):
        yield


def _chosen(config: pytest.Config) -> ServerName | None:
    # It is not known where this file is found after the command line was read.
    chosen: ServerName | None = config.getoption("--server", default=None)
    return chosen


@pytest.fixture(scope="package")
def read_settings() -> Iterator[ReadSettings]:
    with settings_reader() as read:
        yield read

"""Work never grows faster than what is sent, whoever sends it and wherever.

Every door has an entry, and each entry is measured at three sizes in lines and calls of Python or in blocks that the
processor executes (tests/doors/growth). `python -m tests.doors.growth` prints all of it.
"""

from __future__ import annotations

import msgspec
import pytest

from apps.llm.providers.base import Provider, Sink
from apps.llm.wire.openai import Chunk
from apps.templates.sockets.operations import OPERATIONS
from tests.doors.growth.answers import MEMBERS_OF_EVENTS, MEMBERS_OF_PROVIDERS
from tests.doors.growth.checking import check
from tests.doors.growth.counting import LineCounter
from tests.doors.growth.described import described_routes
from tests.doors.growth.growing import Growing, measured
from tests.doors.growth.pages import PAGES
from tests.doors.growth.patterns import near_misses
from tests.doors.growth.sockets import MESSAGES
from tests.forked import run
from tests.promptcraft.surface import ROUTES

SPOKEN_BY_THE_SESSION = {"authenticate", "cancel", "ping"}


class Steps:
    """A counter of what the work itself says that it does."""

    least = 0
    most = 0

    def __init__(self) -> None:
        self.done = 0
        self._marks = (0, 0)

    def mark(self) -> None:
        self._marks = self._marks[1], self.done

    def between_marks(self) -> int:
        return self._marks[1] - self._marks[0]


def test_every_route_has_an_entry():
    missing = {route.path for route in ROUTES} - described_routes() - {*PAGES} - {"/api/v2/schema/", "/api/v2/docs/"}
    assert not missing, (
        f"Say what can grow at {sorted(missing)}: describe them in the OpenAPI document, whose parameters and members "
        "are measured, or add them to PAGES in tests/doors/growth/pages.py."
    )
    gone = {*PAGES} - {route.path for route in ROUTES}
    assert not gone, f"Take what is no route any more out of PAGES: {sorted(gone)}."


def test_every_message_of_a_socket_has_an_entry():
    assert {*MESSAGES} == {*OPERATIONS} | SPOKEN_BY_THE_SESSION, (
        "Add the type and its members to MESSAGES in tests/doors/growth/sockets.py."
    )


def test_every_member_of_the_providers_protocol_has_an_entry():
    members = {name for name in (*vars(Provider), *Provider.__annotations__) if not name.startswith("_")}
    assert {*MEMBERS_OF_PROVIDERS} == members, (
        "Say in MEMBERS_OF_PROVIDERS of tests/doors/growth/answers.py what can grow of it, and measure it there."
    )
    assert [name for name in vars(Sink) if not name.startswith("_")] == ["feed"]


def test_every_member_of_an_event_has_an_entry():
    assert {*MEMBERS_OF_EVENTS} == {field.name for field in msgspec.structs.fields(Chunk)}, (
        "Add the member to MEMBERS_OF_EVENTS in tests/doors/growth/answers.py, with how it grows."
    )


@pytest.mark.parametrize(
    ("power", "too_fast"), [(0, False), (1, False), (1.2, False), (1.5, True), (2, True), (3, True)]
)
async def test_what_is_too_fast(power: float, too_fast: bool):
    steps = Steps()

    def work(size: int):
        def do() -> None:
            steps.done += 10_000 + 100 * int(size**power)

        return do

    (result,) = await measured(Growing(door="a", thing="b", size=100, works={"c": work}), steps)
    assert result.grows_too_fast == too_fast, result


@pytest.mark.parametrize("at", [150, 250, 350, 450])
async def test_one_step_is_no_growth(at: int):
    steps = Steps()

    def work(size: int):
        def do() -> None:
            steps.done += 10_000 + 10 * size + (50_000 if size > at else 0)

        return do

    (result,) = await measured(Growing(door="a", thing="b", size=100, works={"c": work}), steps)
    assert not result.grows_too_fast, result


@pytest.mark.parametrize("pattern", [r"\s*x(?:y)?\s*\n(.*)\n\s*x", r"(a+)+$", r"\d+[.,]\d+x", r"^(?:\s|\n)*def"])
def test_near_misses_hold_what_an_expression_goes_back_over(pattern: str):
    repeated = {miss[1] for miss in near_misses(pattern, 0)}
    assert {"\n", "a", "1"} & repeated


COUNTED = """
import threading
from tests.doors.growth import counting

def work():
    for number in range(1000):
        number += 1

counter = counting.LineCounter()
counter.mark()
work()
counter.mark()
print(counter.between_marks())
counter.mark()
other = threading.Thread(target=work)
other.start()
other.join()
counter.mark()
print(counter.between_marks())
"""


def test_lines_are_counted_in_every_thread():
    code, output, errors = run(["-c", COUNTED], {"PYTHONHASHSEED": "0"})
    assert code == 0, errors
    here, elsewhere = map(int, output.split())
    assert 2_000 <= here <= 2_000 + LineCounter.least
    assert 2_000 <= elsewhere <= 2_000 + LineCounter.least


def test_doors_take_no_more_than_they_are_sent():
    check("lines")

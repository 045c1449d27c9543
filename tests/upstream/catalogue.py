"""Every named scenario."""

from __future__ import annotations

from collections.abc import Mapping

from tests.upstream.quirks import HEALTHY, QUIRKS
from tests.upstream.samples import SAMPLES
from tests.upstream.scenario import Scenario
from tests.upstream.stream_faults import STREAM_FAULTS
from tests.upstream.transport_faults import TRANSPORT_FAULTS
from tests.upstream.vendor_errors import ERRORS, error_scenario, status_scenario

__all__ = ["CATALOGUE", "pairs", "scenario_named"]

_ALL = (
    *HEALTHY,
    *QUIRKS,
    *TRANSPORT_FAULTS,
    *STREAM_FAULTS,
    *map(status_scenario, sorted({error.status for error in ERRORS})),
    *map(error_scenario, ERRORS),
    *SAMPLES,
)
CATALOGUE: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
assert len(CATALOGUE) == len(_ALL), "two scenarios share a name"


def scenario_named(name: str) -> Scenario:
    """Return a scenario of the catalogue. Raises KeyError with the way to list them."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise KeyError(f"no scenario {name!r}; `python -m tests.upstream --list` shows them") from None


def pairs(*groups: str) -> list[tuple[str, str]]:
    """Return (vendor, scenario name) for every vendor that answers like that; all groups if none is named."""
    return [
        (vendor, scenario.name)
        for scenario in _ALL
        if not groups or scenario.group in groups
        for vendor in scenario.vendors
    ]

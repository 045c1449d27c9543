"""A simulator of DeepSeek, Z.AI and OpenAI for tests: byte-exact, scripted, with a journal.

    with UpstreamServer() as upstream:
        upstream.script("deepseek", "stall", times=1)
        ...                                  # point a relay at upstream.base_url("deepseek")
        exchange = upstream.wait_hung_up("deepseek")

`python -m tests.upstream --list` names the scenarios; it also serves them by hand.
"""

from __future__ import annotations

from tests.upstream.catalogue import CATALOGUE, pairs, scenario_named
from tests.upstream.gate import Gate
from tests.upstream.healthy import echo, healthy
from tests.upstream.journal import Connection, Exchange, JournalTimeout, Tokens
from tests.upstream.ports import free_port, refusing_port, unanswering_port
from tests.upstream.quirks import slow_first_token
from tests.upstream.reply import KEEP_ALIVE, Reply
from tests.upstream.request import UpstreamRequest
from tests.upstream.scenario import VENDOR_NAMES, Outcome, Scenario, named, scripted
from tests.upstream.server import UpstreamServer
from tests.upstream.steps import Fin, Flood, Forever, Hold, Pause, Rst, Send, Silence, Step, Trickle, Wire
from tests.upstream.stream_faults import drip_for_ever, empty_deltas_for_ever, keep_alives_for_ever, stall
from tests.upstream.transport_faults import PARTIAL, TEXT
from tests.upstream.vendor import Answer, Event, ToolCall
from tests.upstream.vendor_errors import ERRORS, VendorError
from tests.upstream.vendors import VENDORS

__all__ = [
    "CATALOGUE",
    "ERRORS",
    "KEEP_ALIVE",
    "PARTIAL",
    "TEXT",
    "VENDORS",
    "VENDOR_NAMES",
    "Answer",
    "Connection",
    "Event",
    "Exchange",
    "Fin",
    "Flood",
    "Forever",
    "Gate",
    "Hold",
    "JournalTimeout",
    "Outcome",
    "Pause",
    "Reply",
    "Rst",
    "Scenario",
    "Send",
    "Silence",
    "Step",
    "Tokens",
    "ToolCall",
    "Trickle",
    "UpstreamRequest",
    "UpstreamServer",
    "VendorError",
    "Wire",
    "drip_for_ever",
    "echo",
    "empty_deltas_for_ever",
    "free_port",
    "healthy",
    "keep_alives_for_ever",
    "named",
    "pairs",
    "refusing_port",
    "scenario_named",
    "scripted",
    "slow_first_token",
    "stall",
    "unanswering_port",
]

from __future__ import annotations

from tests.contract.limit_fixtures import talkative
from tests.contract.stream_fixtures import fleet, hasty, relay, simulator, stream_servers, upstream

__all__ = ["fleet", "hasty", "relay", "simulator", "stream_servers", "talkative", "upstream"]

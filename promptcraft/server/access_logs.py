"""Access logs that servers write by themselves: they have paths and queries as sent, and a token may be in those."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["quiet_daphne"]


def quiet_daphne() -> None:
    """Have daphne, if it runs this process, write no access log but one that its operator named a file for.

    By default it writes one to the standard output, beside our lines. uvicorn's goes to a logger, which the settings
    leave without handlers; granian writes none unless it is told to.
    """
    generator: Any = getattr(sys.modules.get("daphne.access"), "AccessLogGenerator", None)
    if generator is None:
        return
    written = generator.write_entry

    def write_entry(self: Any, *args: Any, **kwargs: Any) -> None:
        if self.stream is not sys.stdout:
            written(self, *args, **kwargs)

    generator.write_entry = write_entry

"""One JSON line for each log record, and the one line that each request leaves behind."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

__all__ = ["REQUEST_LOGGER", "JsonFormatter"]

REQUEST_LOGGER = logging.getLogger("promptcraft.request")


class JsonFormatter(logging.Formatter):
    """Write a record as one line of JSON; `extra={"fields": {...}}` become its members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. Values that JSON does not know are written as their str()."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)

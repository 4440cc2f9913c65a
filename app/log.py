"""How this process logs: one line each on standard error, as text or as JSON."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import msgspec

from app.times import format_time


class JsonFormatter(logging.Formatter):
    """A record as one JSON object; of several workers each names itself."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._of: dict[str, int] = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": format_time(record.created),
            "level": record.levelname.lower(),
            **self._of,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


def set_up(log_format: Literal["text", "json"], worker: int | None = None) -> None:
    """Send everything from INFO on to standard error; of several workers each names itself."""
    handler = logging.StreamHandler(sys.stderr)
    who = "" if worker is None else f"worker {worker} "
    text = logging.Formatter(f"%(asctime)s %(levelname)-8s {who}%(name)s: %(message)s")
    handler.setFormatter(JsonFormatter(worker) if log_format == "json" else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it names every socket that opens

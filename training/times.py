"""Times and durations as people write them, and as whole seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "min": 60, "s": 1}
DURATION = re.compile(r"(?P<count>\d*)\s*(?P<unit>w|d|h|min|s|)")
COMPACT_DATE = 8  # digits: 20160131 is a day; whole numbers of any other length are epoch seconds
LATEST = 10**11  # the year 5138; larger numbers are milliseconds


def parse_time(text: str) -> int:
    """Epoch seconds of an ISO 8601 time (UTC where it has no offset) or of whole epoch seconds.

    Raises ValueError for anything else, fractions of a second included.
    """
    text = text.strip()
    try:
        seconds = int(text) if _is_epoch(text) else _parse_iso(text)
    except (ValueError, OverflowError):
        seconds = None
    if seconds is None or abs(seconds) >= LATEST:
        raise ValueError(f"{text[:40]!r} is not a time; write it as 2018-05-01 17:00 or in whole epoch seconds")
    return seconds


def format_time(seconds: int) -> str:
    """ISO 8601 in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def parse_duration(text: str) -> int:
    """Seconds of a duration such as 1h, 30min, 1d, 1w, 90s or 3600; raises ValueError for anything else and for none."""
    match = DURATION.fullmatch(text.strip())
    seconds = int(match["count"] or 1) * UNITS.get(match["unit"], 1) if match and text.strip() else 0
    if seconds == 0:
        raise ValueError(f"{text[:40]!r} is not a duration; write it as 1h, 30min, 1d or in whole seconds")
    return seconds


def format_duration(seconds: int) -> str:
    """The shortest way to write a duration: 3600 as 1h."""
    unit = next(unit for unit, size in UNITS.items() if seconds % size == 0)
    return f"{seconds // UNITS[unit]}{unit}"


def _is_epoch(text: str) -> bool:
    return bool(re.fullmatch(r"-?[0-9]+", text)) and len(text) != COMPACT_DATE


def _parse_iso(text: str) -> int | None:
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None if moment.microsecond else int(moment.timestamp())

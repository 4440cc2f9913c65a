"""Times on the wire: RFC 3339 or whole epoch seconds in, RFC 3339 in UTC out; years that this has no place for have a sign (ISO 8601)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from app.errors import InvalidRequest

EARLIEST, LATEST = -62_135_596_800, 221_845_392_000  # the years 1 to 9000: forecasts reach beyond the last observation
DAY = 86400
LATEST_YEAR = 9999  # of RFC 3339
CYCLE_DAYS, CYCLE_YEARS = 146_097, 400  # after which the calendar repeats itself
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.0+)?([Zz]|[+-]\d\d:\d\d)")


def parse_time(value: int | str) -> int:
    """Epoch seconds; raises InvalidRequest for what is no time, has no offset or a fraction of a second."""
    seconds = _parse_text(value) if isinstance(value, str) else value
    if not EARLIEST <= seconds < LATEST:
        raise InvalidRequest(f"the time {str(value)[:40]} is outside the years 1 to 8999")
    return seconds


def format_time(seconds: float) -> str:
    """RFC 3339 in UTC, in whole seconds. Any time can be written: long histories reach beyond what may be sent."""
    day, rest = divmod(int(seconds), DAY)
    minutes, second = divmod(rest, 60)
    return f"{_date(day)}T{minutes // 60:02}:{minutes % 60:02}:{second:02}Z"


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    cycles, day_of_cycle = divmod(day, CYCLE_DAYS)
    date = datetime.fromtimestamp(day_of_cycle * DAY, UTC)
    year = date.year + cycles * CYCLE_YEARS
    return f"{year:{'04' if 0 <= year <= LATEST_YEAR else '+05'}}{date:-%m-%d}"


def _parse_text(text: str) -> int:
    try:
        if RFC_3339.fullmatch(text):
            return int(datetime.fromisoformat(text.upper()).timestamp())
    except (ValueError, OverflowError):
        pass
    raise InvalidRequest(
        f"{text[:40]!r} is not a time; give RFC 3339 in whole seconds with an offset, such as 2026-01-31T12:00:00Z, or epoch seconds"
    )

"""Times on the wire: RFC 3339 or whole epoch seconds in, RFC 3339 in UTC out."""

from __future__ import annotations

import pytest

from app.errors import InvalidRequest
from app.times import format_time, parse_time

NOON = 1_767_268_800


@pytest.mark.parametrize(
    "text", ["2026-01-01T12:00:00Z", "2026-01-01t12:00:00z", "2026-01-01 13:00:00+01:00", "2026-01-01T12:00:00.000Z"]
)
def test_times_are_read(text):
    assert parse_time(text) == parse_time(NOON) == NOON


@pytest.mark.parametrize(
    "value",
    ["", "noon", "2026-01-01", "2026-01-01T12:00:00", "2026-01-01T12:00:00.5Z", "2026-02-30T12:00:00Z", 10**15, -(10**15)],
)  # fmt: skip
def test_what_is_no_time_is_refused(value):
    with pytest.raises(InvalidRequest):
        parse_time(value)


@pytest.mark.parametrize("text", ["2026-01-01T12:00:00Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_times_come_back(text):
    assert format_time(parse_time(text)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (951_782_400, "2000-02-29T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
        (253_402_300_800, "+10000-01-01T00:00:00Z"),
        (-62_135_596_801, "0000-12-31T23:59:59Z"),
        (-62_167_219_201, "-0001-12-31T23:59:59Z"),
        (2**62, "+146138514283-06-19T07:45:04Z"),
    ],
)
def test_every_time_can_be_written(seconds, text):
    assert format_time(seconds) == text

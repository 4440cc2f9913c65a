"""Times and durations are read as people write them."""

import pytest

from training.times import format_duration, format_time, parse_duration, parse_time

MAY = 1_525_132_800  # 2018-05-01 00:00 UTC


@pytest.mark.parametrize(
    "text",
    ["2018-05-01", "2018-05-01 00:00", "2018-05-01T00:00:00Z", "2018-05-01T02:00+02:00", "20180501", "1525132800"],
)
def test_iso_times_and_epoch_seconds_name_the_same_moment(text):
    assert parse_time(text) == MAY
    assert format_time(MAY) == "2018-05-01T00:00:00Z"


@pytest.mark.parametrize(
    "text", ["", "May", "2018-13-01", "2018-05-01 00:00:00.5", "1525132800000", "1525132800.0", "99999-01-01"]
)
def test_what_is_no_time_in_whole_seconds_is_refused(text):
    with pytest.raises(ValueError, match="is not a time; write it as"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3600), ("30min", 1800), ("h", 3600), ("1 d", 86400), ("2w", 1209600), ("90", 90)]
)
def test_durations_are_read_with_their_units(text, seconds):
    assert parse_duration(text) == seconds
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "0", "0h", "-1h", "1.5h", "1 month", "h1"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration; write it as"):
        parse_duration(text)

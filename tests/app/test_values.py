"""Numbers as clients send them: what is no finite number is refused where it stands, null is missing."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from msgspec.msgpack import Ext

from app.errors import InvalidRequest
from app.values import columns, numbers, observations

GOOD = {
    "one number": ([1.5], [[1.5]]),
    "one whole number": ([2], [[2]]),
    "one missing": ([None], [[np.nan]]),
    "many": ([1, None, 2.5], [[1], [np.nan], [2.5]]),
    "two channels": ([[1, 2], None, [None, 3]], [[1, 2], [np.nan, np.nan], [np.nan, 3]]),
    "one channel in a list": ([[1]], [[1]]),
}


@pytest.mark.parametrize(("sent", "read"), GOOD.values(), ids=GOOD.keys())
def test_observations_become_rows(sent, read):
    array = observations(sent)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, np.array(read, np.float32))


@pytest.mark.parametrize(
    "value", [True, "1", float("nan"), float("inf"), -1e31, 10**400, {}, b"1", [1, "2"], [[1]], []], ids=str
)
def test_what_is_no_finite_number_is_refused_alone_and_among_others(value):
    for sent in ([value], [1.0, value]):
        with pytest.raises(InvalidRequest) as refused:
            observations(sent)
        assert len(refused.value.detail) < 200


@pytest.mark.parametrize(
    "value", [b"1", Ext(5, b"1"), datetime(2026, 1, 1, tzinfo=UTC)], ids=["bytes", "an extension", "a time"]
)
def test_what_only_messagepack_can_say_is_not_shown_as_python_has_it(value):
    with pytest.raises(InvalidRequest) as refused:
        observations([1, value])
    assert refused.value.detail == "what JSON has no kind for is not a number; use null for a missing value"


def test_the_place_is_named():
    with pytest.raises(InvalidRequest) as refused:
        numbers([1, None, True])
    assert refused.value.extra["errors"] == [
        {"pointer": "/2", "detail": "true is not a number; use null for a missing value"}
    ]
    with pytest.raises(InvalidRequest) as refused:
        columns({"a/b": [1, "2"]})
    assert refused.value.extra["errors"][0]["pointer"] == "/a~1b/1"

"""Replies as bytes: arrays read back are the arrays, with the digits of a float32, in JSON and in MessagePack."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from app.encoding import JSON, MESSAGE_PACK, MOST_IN_JSON, MOST_IN_MESSAGE_PACK, Numbers, Quantiles

CODECS = {"json": (JSON, msgspec.json), "messagepack": (MESSAGE_PACK, msgspec.msgpack)}
both = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())


@both
@given(array=arrays(np.float32, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=20)))
def test_arrays_come_back(codec, array):
    array = np.where(np.isfinite(array), array, np.float32(0))
    written, read = codec
    back = np.array(read.decode(written.encode(Numbers(array))), np.float32)
    np.testing.assert_array_equal(back.reshape(array.shape), array)


@both
def test_large_arrays_missing_numbers_and_missing_arrays(codec):
    written, read = codec
    large = np.arange(70_000, dtype=np.float32)
    assert read.decode(written.encode(Numbers(large))) == large.tolist()
    mixed = Numbers([np.array([1, np.nan], np.float32), None])
    assert read.decode(written.encode(mixed)) == [[1, None], None]


@both
def test_quantiles_are_written_by_level(codec):
    written, read = codec
    values = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    assert read.decode(written.encode(Quantiles(("0.1", "0.9"), values))) == {"0.1": [1, 2, 3], "0.9": [4, 5, 6]}


def test_json_has_as_many_digits_as_a_float32():
    assert JSON.encode(Numbers(np.array([0.1, 1e30, 12345.678], np.float32))) == b"[0.1,1e+30,12345.678]"


LARGE = {
    "a matrix": Numbers(np.random.default_rng(0).normal(size=(700, 9, 3)).astype(np.float32)),
    "a long row": Numbers(np.arange(70_001, dtype=np.float32)),
    "large rows": Numbers(np.ones((3, 20_000), np.float32)),
    "what is seen the other way round": Numbers(np.arange(40_000, dtype=np.float32).reshape(4, -1).T),
    "arrays with gaps": Numbers([None if i % 7 == 3 else np.full((2, 30), i, np.float32) for i in range(500)]),
    "many levels": Quantiles(tuple(map(str, range(99))), np.arange(99_000, dtype=np.float32).reshape(99, -1)),
}


@both
@pytest.mark.parametrize("large", LARGE.values(), ids=LARGE.keys())
def test_slices_are_the_bytes_of_the_whole(codec, large):
    written, _ = codec
    reply = {"before": [1], "large": large, "small": Numbers(np.ones(3, np.float32)), "again": [large], "after": "é"}
    slices = list(written.slices(reply))
    assert b"".join(data for data, _ in slices) == written.encode(reply)
    assert len(slices) > large.count / MOST_IN_MESSAGE_PACK
    assert [is_last for _, is_last in slices] == [False] * (len(slices) - 1) + [True]
    assert max(len(data) for data, _ in slices) < 15 * max(MOST_IN_JSON, large.count // len(large.values))


@both
def test_missing_numbers_come_back_from_slices(codec):
    written, read = codec
    numbers = np.where(np.arange(40_000) % 3, np.nan, np.arange(40_000)).astype(np.float32)
    text = b"".join(data for data, _ in written.slices(Numbers(numbers)))
    assert read.decode(text) == [None if i % 3 else i for i in range(40_000)]


@both
def test_what_is_small_is_one_slice(codec):
    written, _ = codec
    reply = {"values": Numbers(np.ones((4, MOST_IN_JSON // 4), np.float32))}
    assert list(written.slices(reply)) == [(written.encode(reply), True)]

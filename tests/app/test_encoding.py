"""Replies as bytes: arrays read back are the arrays, with the digits of a float32, in JSON and in MessagePack."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from app.encoding import JSON, MESSAGE_PACK, Numbers, Quantiles

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

"""How replies become bytes. Arrays are written whole, with as many digits as a float32 has; NaN is null."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson

from app.engine.arrays import Floats

FLOAT_32 = 0xCA  # MessagePack's mark before four bytes, big end first
FEW = 4  # numbers that are written sooner one by one
MOST_CACHED = 4096  # numbers in an array whose form is kept for the next one of its shape


class Numbers:
    """An array of any shape, or a list of arrays with None between them: written as nested lists."""

    __slots__ = ("values",)

    def __init__(self, values: Floats | list[Floats | None]) -> None:
        self.values = values


class Quantiles:
    """An array (levels, H) or (levels, H, C) of finite numbers, levels ≥ 1: written as an object with a list for each level."""

    __slots__ = ("names", "values")

    def __init__(self, names: tuple[str, ...], values: Floats) -> None:
        self.names = names
        self.values = values


def packed(array: Floats) -> bytearray:
    """An array of finite numbers in MessagePack, all at once: every number and every list of it has the same size."""
    form = _cached_form(array.shape) if array.size <= MOST_CACHED else _form(array.shape)
    return form.filled(array)


class _Form(NamedTuple):
    """MessagePack for arrays of one shape: zeros, and where among the bytes the numbers are."""

    zeros: bytes
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]

    def filled(self, array: Floats) -> bytearray:
        block = bytearray(self.zeros)
        if array.size:
            np.ndarray(self.shape, ">f4", block, self.offset, self.strides)[...] = array
        return block


def _form(shape: tuple[int, ...]) -> _Form:
    zeros, offset = bytes([FLOAT_32, 0, 0, 0, 0]), 1
    strides: list[int] = []
    for length in reversed(shape):
        strides.insert(0, len(zeros))
        header = _list_header(length)
        zeros, offset = header + zeros * length, offset + len(header)
    return _Form(zeros, shape, offset, tuple(strides))


_cached_form = lru_cache(maxsize=256)(_form)


def _list_header(length: int) -> bytes:
    if length < 16:
        return bytes([0x90 | length])
    return struct.pack(">BH", 0xDC, length) if length < 2**16 else struct.pack(">BI", 0xDD, length)


@lru_cache(maxsize=1024)
def _map_keys(names: tuple[str, ...]) -> list[bytes]:
    """What stands before each value of a map with these keys."""
    keys = list(map(msgspec.msgpack.encode, names))
    empty = msgspec.msgpack.encode(dict.fromkeys(names))
    return [empty[: empty.index(keys[0])] + keys[0], *keys[1:]] if keys else []


def _map_of_lists(names: tuple[str, ...], values: Floats) -> bytes:
    """Finite numbers (levels, …) as a map with one list for each level."""
    lists, keys = packed(values), _map_keys(names)
    start = len(_list_header(len(values)))
    size = (len(lists) - start) // len(values)
    return b"".join(
        part for i, key in enumerate(keys) for part in (key, lists[start + i * size : start + (i + 1) * size])
    )


def _as_json(value: Any) -> msgspec.Raw:
    content = dict(zip(value.names, value.values, strict=True)) if type(value) is Quantiles else value.values
    return msgspec.Raw(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))


def _as_message_pack(value: Any) -> Any:
    if type(value) is Quantiles:
        return msgspec.Raw(_map_of_lists(value.names, value.values))
    if isinstance(value.values, list):
        return list(map(_array_or_none, value.values))
    return _array_or_none(value.values)


def _array_or_none(array: Floats | None) -> Any:
    if array is None:
        return None
    if array.ndim == 1 and len(array) <= FEW:
        return [None if number != number else number for number in array.tolist()]  # noqa: PLR0124 - NaN is unlike itself
    if array.size and np.isfinite(array).all():
        return msgspec.Raw(packed(array))
    numbers = array.astype(object)
    numbers[np.isnan(array)] = None
    return numbers.tolist()


JSON = msgspec.json.Encoder(enc_hook=_as_json)
MESSAGE_PACK = msgspec.msgpack.Encoder(enc_hook=_as_message_pack)

"""Arrays of finite numbers in MessagePack, written all at once instead of number by number."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np

from app.engine.arrays import Floats

FLOAT_32 = 0xCA  # MessagePack's mark before four bytes, big end first
MOST_CACHED = 4096  # numbers in an array whose form is kept for the next one of its shape


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
        header = list_header(length)
        zeros, offset = header + zeros * length, offset + len(header)
    return _Form(zeros, shape, offset, tuple(strides))


_cached_form = lru_cache(maxsize=256)(_form)


def list_header(length: int) -> bytes:
    """What stands before the items of a list."""
    return _header(0x90, 0xDC, length)


def map_header(length: int) -> bytes:
    """What stands before the items of a map."""
    return _header(0x80, 0xDE, length)


def _header(few: int, many: int, length: int) -> bytes:
    if length < 16:
        return bytes([few | length])
    return struct.pack(">BH", many, length) if length < 2**16 else struct.pack(">BI", many + 1, length)


@lru_cache(maxsize=1024)
def _map_keys(names: tuple[str, ...]) -> list[bytes]:
    """What stands before each value of a map with these keys."""
    first, *others = map(msgspec.msgpack.encode, names)
    return [map_header(len(names)) + first, *others]


def map_of_lists(names: tuple[str, ...], values: Floats) -> bytes:
    """Finite numbers (levels, …) as a map with one list for each level."""
    lists, keys = packed(values), _map_keys(names)
    start = len(list_header(len(values)))
    size = (len(lists) - start) // len(values)
    return b"".join(
        part for i, key in enumerate(keys) for part in (key, lists[start + i * size : start + (i + 1) * size])
    )

"""How replies become bytes. Arrays are written whole, with as many digits as a float32 has; NaN is null."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np
import orjson

from app.engine.arrays import Floats

FLOAT_32 = 0xCA  # MessagePack's mark before four bytes, big end first


class Numbers:
    """An array of any shape, or a list of arrays with None between them: written as nested lists."""

    __slots__ = ("values",)

    def __init__(self, values: Floats | list[Floats | None]) -> None:
        self.values = values


class Quantiles:
    """An array (levels, H) or (levels, H, C): written as an object with a list for each level."""

    __slots__ = ("names", "values")

    def __init__(self, names: tuple[str, ...], values: Floats) -> None:
        self.names = names
        self.values = values


def packed(array: Floats) -> bytes:
    """An array of finite numbers in MessagePack, all at once: every number and every list of it has the same size."""
    block = np.empty((array.size, 5), np.uint8)
    block[:, 0] = FLOAT_32
    block[:, 1:] = array.astype(">f4").reshape(-1).view(np.uint8).reshape(-1, 4)
    for length in reversed(array.shape):
        block = block.reshape(-1, length * block.shape[1])
        head = np.frombuffer(_list_header(length), np.uint8)
        block = np.concatenate([np.broadcast_to(head, (len(block), len(head))), block], axis=1)
    return block.tobytes()


def _list_header(length: int) -> bytes:
    if length < 16:
        return bytes([0x90 | length])
    return struct.pack(">BH", 0xDC, length) if length < 2**16 else struct.pack(">BI", 0xDD, length)


def _as_json(value: Any) -> msgspec.Raw:
    content = dict(zip(value.names, value.values, strict=True)) if type(value) is Quantiles else value.values
    return msgspec.Raw(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))


def _as_message_pack(value: Any) -> Any:
    if type(value) is Quantiles:
        return dict(zip(value.names, map(_array_or_none, value.values), strict=True))
    if isinstance(value.values, list):
        return list(map(_array_or_none, value.values))
    return _array_or_none(value.values)


def _array_or_none(array: Floats | None) -> Any:
    if array is None:
        return None
    if array.size and np.isfinite(array).all():
        return msgspec.Raw(packed(array))
    numbers = array.astype(object)
    numbers[np.isnan(array)] = None
    return numbers.tolist()


JSON = msgspec.json.Encoder(enc_hook=_as_json)
MESSAGE_PACK = msgspec.msgpack.Encoder(enc_hook=_as_message_pack)

"""How replies become bytes. Arrays are written whole, with as many digits as a float32 has; NaN is null.

A reply of many numbers can be written in slices: while one is made nobody else has a turn, between two of them everybody.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
import orjson

from app.engine.arrays import Floats
from app.packing import list_header, map_header, map_of_lists, packed

FEW = 4  # numbers that are written sooner one by one
MOST_IN_JSON, MOST_IN_MESSAGE_PACK = 8192, 16_384  # numbers in a slice: 80 KB, a tenth of a millisecond in JSON


class Numbers:
    """An array of any shape, or a list of arrays with None between them: written as nested lists."""

    __slots__ = ("count", "values")

    def __init__(self, values: Floats | list[Floats | None]) -> None:
        self.values = values
        self.count = sum(one.size for one in values if one is not None) if isinstance(values, list) else values.size

    def parts(self, most: int) -> Iterator[Numbers]:
        """The same in parts of at most so many numbers, or of one item."""
        return (Numbers(self.values[items]) for items in _cuts(len(self.values), self.count, most))


class Quantiles:
    """An array (levels, H) or (levels, H, C) of finite numbers, levels ≥ 1: written as an object with a list for each level."""

    __slots__ = ("count", "names", "values")

    def __init__(self, names: tuple[str, ...], values: Floats) -> None:
        self.names = names
        self.values = values
        self.count = values.size

    def parts(self, most: int) -> Iterator[Quantiles]:
        """The same in parts of at most so many numbers, or of one level."""
        return (Quantiles(self.names[items], self.values[items]) for items in _cuts(len(self.names), self.count, most))


Many = Numbers | Quantiles
Slice = tuple[bytes, bool]  # some of a reply's bytes, and whether they are the last of them


class Enclosure(NamedTuple):
    """What stands before, between and after the items of a list or an object."""

    opening: bytes
    between: bytes
    closing: bytes


class Encoder:
    """Writes replies in one format: `write` writes numbers, `enclosure` is that of their items, and `most` of them are in a slice."""

    def __init__(
        self,
        encoder: Callable[..., Any],
        write: Callable[[Any], Any],
        enclosure: Callable[[Many], Enclosure],
        most: int,
    ) -> None:
        self.encode: Callable[[Any], bytes] = encoder(enc_hook=write).encode
        self._enclosure = enclosure
        self._most = most
        self._mark = os.urandom(16)  # where numbers are left out; nobody can guess it, so it is nowhere else
        self._left_out: list[Many] = []

        def write_or_leave_out(value: Many) -> Any:
            if value.count <= most:
                return write(value)
            self._left_out.append(value)
            return msgspec.Raw(self._mark)

        self._encode_around: Callable[[Any], bytes] = encoder(enc_hook=write_or_leave_out).encode

    def slices(self, reply: Any) -> Iterator[Slice]:
        """The bytes of `encode`, each slice made when it is asked for. One thread may do this."""
        left_out = self._left_out = []
        data = self._encode_around(reply)
        return self._with(left_out, data) if left_out else iter(((data, True),))

    def _with(self, left_out: list[Many], around: bytes) -> Iterator[Slice]:
        """What is around the numbers, with the numbers, part by part."""
        before, *others = around.split(self._mark)
        for value, after in zip(left_out, others, strict=True):
            enclosure = self._enclosure(value)
            before += enclosure.opening
            for part in value.parts(self._most):
                yield before + self._items(part), False
                before = enclosure.between
            before = enclosure.closing + after
        yield before, True

    def _items(self, part: Many) -> bytes:
        text, enclosure = self.encode(part), self._enclosure(part)
        return text[len(enclosure.opening) : len(text) - len(enclosure.closing)]


def _cuts(length: int, count: int, most: int) -> Iterator[slice]:
    """Where a list of so many items, with `count` numbers in all, is cut into parts of `most` numbers."""
    items = max(1, length * most // count)
    return (slice(begin, begin + items) for begin in range(0, length, items))


def _as_json(value: Many) -> msgspec.Raw:
    content: Any
    if isinstance(value, Quantiles):
        content = dict(zip(value.names, value.values.copy(), strict=True))  # orjson wants rows one after the other
    elif isinstance(value.values, list):
        content = [one if one is None else one.copy() for one in value.values]
    else:
        content = value.values.copy()
    return msgspec.Raw(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))


def _json_enclosure(value: Many) -> Enclosure:
    return Enclosure(b"{", b",", b"}") if isinstance(value, Quantiles) else Enclosure(b"[", b",", b"]")


def _as_message_pack(value: Many) -> Any:
    if isinstance(value, Quantiles):
        return msgspec.Raw(map_of_lists(value.names, value.values))
    if isinstance(value.values, list):
        return list(map(_array_or_none, value.values))
    return _array_or_none(value.values)


def _message_pack_enclosure(value: Many) -> Enclosure:
    header = map_header if isinstance(value, Quantiles) else list_header
    return Enclosure(header(len(value.values)), b"", b"")


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


JSON = Encoder(msgspec.json.Encoder, _as_json, _json_enclosure, MOST_IN_JSON)
MESSAGE_PACK = Encoder(msgspec.msgpack.Encoder, _as_message_pack, _message_pack_enclosure, MOST_IN_MESSAGE_PACK)

"""The store that lives and dies with the process. It keeps encoded records, so that nothing in it can be changed from outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from types import TracebackType
from typing import Self

from sortedcontainers import SortedDict  # type: ignore[import-untyped]  # the package has no type information

from app.stores.base import Record, StoreError


class MemoryStore:
    """A sorted map in memory; durability `none`."""

    durability = "none"

    def __init__(self) -> None:
        self._records: SortedDict[bytes, bytes] | None = SortedDict()

    def commit(self, puts: Mapping[bytes, Record], deletes: Iterable[bytes]) -> None:
        """Remove and write records as one transaction."""
        records = self._open()
        encoded = {key: record.encode() for key, record in puts.items()}
        for key in deletes:
            records.pop(key, None)
        records.update(encoded)

    def get(self, key: bytes) -> Record | None:
        """The record under a key, or None."""
        data = self._open().get(key)
        return None if data is None else Record.decode(data)

    def scan(self, prefix: bytes, after: bytes, limit: int) -> list[tuple[bytes, Record]]:
        """At most `limit` records whose keys start with `prefix` and follow `after`, in order."""
        records = self._open()
        start = max(prefix, after)
        keys = records.irange(start, prefix_end(prefix), inclusive=(start != after, False))
        return [(key, Record.decode(records[key])) for key in islice(keys, limit)]

    def count(self, prefix: bytes) -> int:
        """How many keys start with a prefix."""
        records = self._open()
        return int(records.bisect_left(prefix_end(prefix)) - records.bisect_left(prefix))

    def close(self) -> None:
        """Forget everything."""
        self._records = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> SortedDict[bytes, bytes]:
        if self._records is None:
            raise StoreError("the store is closed")
        return self._records


def prefix_end(prefix: bytes) -> bytes:
    """The least key above all keys that start with a prefix; the prefix holds a byte below 255."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1])

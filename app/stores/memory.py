"""The store that lives and dies with the process. It keeps encoded records, so that nothing in it can be changed from outside."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from sortedcontainers import SortedDict  # type: ignore[import-untyped]  # the package has no type information

from app.stores.base import (
    Closing,
    Durability,
    Found,
    Place,
    Puts,
    Record,
    StoreError,
    Table,
    decode_or_none,
    prefix_end,
)


class MemoryStore(Closing):
    """Sorted maps in memory."""

    durability: Durability = "none"

    def __init__(self) -> None:
        self._tables: dict[Table, SortedDict[bytes, bytes]] = {table: SortedDict() for table in Table}

    def commit(self, puts: Puts, deletes: Iterable[Place]) -> None:
        """Remove and then write records as one transaction."""
        encoded = [(self._table(place.table), place.key, record.encode()) for place, record in puts.items()]
        for table, key in deletes:
            self._table(table).pop(key, None)
        for records, key, data in encoded:
            records[key] = data

    def get(self, place: Place) -> Record | None:
        """The record in a place, or None; raises CorruptRecord when it is damaged."""
        data = self._table(place.table).get(place.key)
        return None if data is None else Record.decode(data)

    def scan(self, table: Table, prefix: bytes, after: bytes, limit: int) -> list[Found]:
        """At most `limit` keys that start with `prefix` and follow `after`, in order, with their records: None if damaged."""
        records = self._table(table)
        start = max(prefix, after)
        keys = records.irange(start, prefix_end(prefix), inclusive=(start != after or not after, False))
        return [(key, decode_or_none(records[key])) for key in islice(keys, limit)]

    def count(self, table: Table) -> int:
        """How many records a table has."""
        return len(self._table(table))

    def close(self) -> None:
        """Forget everything."""
        self._tables = {}

    def _table(self, table: Table) -> SortedDict[bytes, bytes]:
        if table not in self._tables:
            raise StoreError("the store is closed")
        return self._tables[table]

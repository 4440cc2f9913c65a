"""Records in an LMDB database of numbered rows, cut into chunks that fill its pages evenly.

LMDB keeps at least two entries in a page and gives larger ones pages of their own: records of 2 KB, whole, would leave almost
half of the file empty. Numbers are given in the order of creation, so that new rows are appended to full pages, and a number
that is free again is given first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

CHUNK = 990  # bytes: four of them with their keys fill a page of 4 KiB
KEY = struct.Struct(">QH")


class Row(NamedTuple):
    """Where a record lies: its number, and in how many chunks."""

    number: int
    chunks: int

    def pack(self) -> bytes:
        return KEY.pack(*self)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        return cls(*KEY.unpack(data))

    def chunk_keys(self, start: int = 0) -> Iterator[bytes]:
        return (KEY.pack(self.number, part) for part in range(start, self.chunks))


class Rows:
    """The rows as one write transaction changes them; `flush` writes what was put."""

    def __init__(self, txn: Any, rows: Any, free: Any) -> None:
        self._txn, self._rows, self._free = txn, rows, free
        self._next: int | None = None
        self._overwritten: list[tuple[bytes, bytes]] = []
        self._appended: list[tuple[bytes, bytes]] = []

    def put(self, data: bytes, row: Row | None) -> Row:
        """Put a record in the place of another or, without one, in a new row; where it lies now."""
        chunks, into = -(-len(data) // CHUNK), self._overwritten
        if row is None:
            number, is_last = self._take_number()
            row, into = Row(number, chunks), self._appended if is_last else into
        elif row.chunks != chunks:
            self._delete(row.chunk_keys(chunks))
            row = Row(row.number, chunks)
        for part in range(chunks):
            into.append((KEY.pack(row.number, part), data[part * CHUNK : (part + 1) * CHUNK]))
        return row

    def remove(self, row: Row) -> None:
        """Remove a record; its number is free again."""
        self._delete(row.chunk_keys())
        self._txn.put(KEY.pack(row.number, 0), b"", db=self._free)

    def flush(self) -> None:
        with self._txn.cursor(self._rows) as rows:
            rows.putmulti(self._overwritten)
            rows.putmulti(self._appended, append=True)

    def _take_number(self) -> tuple[int, bool]:
        """A number, and whether it is behind all others."""
        if self._next is None:
            self._next = self._behind_all()
        with self._txn.cursor(self._free) as free:
            if free.first():
                number = KEY.unpack(free.key())[0]
                free.delete()
                return number, False
        number, self._next = self._next, self._next + 1
        return number, True

    def _behind_all(self) -> int:
        """The number behind all that were ever given, asked before the first is: the last ones may be free."""
        with self._txn.cursor(self._rows) as rows, self._txn.cursor(self._free) as free:
            return max((KEY.unpack(table.key())[0] + 1 for table in (rows, free) if table.last()), default=0)

    def _delete(self, keys: Iterator[bytes]) -> None:
        for key in keys:
            self._txn.delete(key, db=self._rows)


def read(txn: Any, rows: Any, row: Row) -> bytes:
    """The record in a row; what is missing of it is left out."""
    return b"".join(txn.get(key, default=b"", db=rows) for key in row.chunk_keys())

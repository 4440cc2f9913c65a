"""The embedded store: one LMDB file, one transaction per commit.

A record with a state lies in numbered rows (see `app.stores.rows`). `live` and `gone` are the tables: their keys lead to a row,
or to a record without a state itself.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import lmdb

from app.stores.base import (
    Closing,
    CorruptRecord,
    Durability,
    Found,
    Place,
    Puts,
    Record,
    StoreError,
    StoreFailure,
    Table,
    decode_or_none,
)
from app.stores.directory import DataDirectory
from app.stores.rows import Row, Rows, read
from app.stores.unsynced import Unsynced

FILE = "sessions.mdb"
FORMAT = b"1"
INLINE, IN_ROW = b"i", b"r"
QUOTA = os.strerror(errno.EDQUOT)
TABLES = ("live", "gone", "rows", "free", "meta")


class LmdbStore(Closing):
    """Records in an LMDB file of at most `most_bytes` in a data directory of our own.

    With durability `sync` a commit returns when it is on disk. With `none` it returns when the operating system has it: it
    survives the end of the process, and nothing survives a power failure (see `Unsynced`).
    """

    def __init__(self, directory: DataDirectory, durability: Literal["sync", "none"], most_bytes: int) -> None:
        self._directory = directory
        self.durability: Durability = durability
        self._unsynced = Unsynced(directory)
        self._unsynced.set_aside_torn(FILE)
        self._env = _open(directory.path / FILE, most_bytes, synced=durability == "sync")
        self._tables = {name: self._env.open_db(name.encode()) for name in TABLES}
        self._check_format()
        directory.sync()
        if durability == "none":
            self._unsynced.mark()
        elif self._unsynced.is_marked:
            self._settle()

    def commit(self, puts: Puts, deletes: Iterable[Place]) -> None:
        """Remove and then write records as one transaction."""
        with self._writing() as txn:
            rows = Rows(txn, self._tables["rows"], self._tables["free"])
            for place in deletes:
                self._remove(txn, rows, place)
            for place, record in puts.items():
                self._put(txn, rows, place, record)
            rows.flush()

    def get(self, place: Place) -> Record | None:
        """The record in a place, or None; raises CorruptRecord when it is damaged."""
        with self._reading() as txn:
            value = txn.get(place.key, db=self._tables[place.table])
            data = None if value is None else self._data(txn, value)
        return None if data is None else Record.decode(data)

    def scan(self, table: Table, prefix: bytes, after: bytes, limit: int) -> list[Found]:
        """At most `limit` keys that start with `prefix` and follow `after`, in order, with their records: None if damaged."""
        found: list[Found] = []
        with self._reading() as txn, txn.cursor(self._tables[table]) as cursor:
            is_there = cursor.set_range(max(prefix, after))
            while is_there and len(found) < limit and (key := cursor.key()).startswith(prefix):
                if key > after:
                    found.append((key, decode_or_none(self._data(txn, cursor.value()))))
                is_there = cursor.next()
        return found

    def count(self, table: Table) -> int:
        """How many records a table has."""
        with self._reading() as txn:
            return int(txn.stat(self._tables[table])["entries"])

    def close(self) -> None:
        """Bring everything to disk and close the file."""
        try:
            self._settle()
        finally:
            self._env.close()

    def _put(self, txn: Any, rows: Rows, place: Place, record: Record) -> None:
        data, table = record.encode(), self._tables[place.table]
        if not record.state:
            txn.put(place.key, INLINE + data, db=table)
            return
        before = _row(txn.get(place.key, db=table))
        row = rows.put(data, before)
        if row != before:
            txn.put(place.key, IN_ROW + row.pack(), db=table)

    def _remove(self, txn: Any, rows: Rows, place: Place) -> None:
        row = _row(txn.pop(place.key, db=self._tables[place.table]))
        if row is not None:
            rows.remove(row)

    def _data(self, txn: Any, value: bytes) -> bytes:
        """The encoded record that an entry of a table leads to."""
        row = _row(value)
        return value[1:] if row is None else read(txn, self._tables["rows"], row)

    def _settle(self) -> None:
        try:
            self._env.sync(True)  # noqa: FBT003 - positional only
        except lmdb.Error as error:
            raise StoreFailure(f"the session store cannot be brought to disk: {error}") from error
        self._unsynced.unmark()

    def _check_format(self) -> None:
        with self._writing() as txn:
            found = txn.get(b"format", db=self._tables["meta"])
            if found is None:
                txn.put(b"format", FORMAT, db=self._tables["meta"])
        if found not in (None, FORMAT):
            raise StoreFailure(
                f"{self._directory.path / FILE} has format {found!r}, this version reads {FORMAT!r}; "
                f"use the version that wrote it, or name another directory with --data-dir"
            )

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        try:
            with self._env.begin(write=True) as txn:
                yield txn
        except lmdb.MapFullError as error:
            raise StoreError("the session store has reached its size; raise --store-bytes and restart") from error
        except lmdb.Error as error:
            if isinstance(error, lmdb.DiskError) or QUOTA in str(error):
                raise StoreError("the disk is full; free some space, and writing goes on by itself") from error
            raise StoreFailure(f"the session store cannot be written: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        try:
            with self._env.begin() as txn:
                yield txn
        except (lmdb.CorruptedError, lmdb.PageNotFoundError) as error:
            raise CorruptRecord(f"the session store is damaged: {error}") from error
        except lmdb.Error as error:
            raise StoreError(f"the session store cannot be read: {error}") from error


def _open(path: Path, most_bytes: int, *, synced: bool) -> lmdb.Environment:
    try:
        return lmdb.open(
            str(path), map_size=most_bytes, subdir=False, max_dbs=len(TABLES), sync=synced, readahead=False, mode=0o600
        )
    except lmdb.Error as error:
        raise StoreFailure(
            f"{path} cannot be opened: {error}; restore it from a backup, or name another directory with --data-dir"
        ) from error


def _row(value: bytes | None) -> Row | None:
    return Row.unpack(value[1:]) if value is not None and value[:1] == IN_ROW else None

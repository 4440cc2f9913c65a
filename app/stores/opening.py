"""The store that the settings ask for, open until the end of a `with` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from app.stores.base import Changes, Durability, Store, StoreError, StoreFailure, split
from app.stores.buffered import BufferedStore
from app.stores.directory import DataDirectory
from app.stores.journal import Journal, discard, recovered
from app.stores.lmdb import LmdbStore
from app.stores.memory import MemoryStore

Kind = Literal["lmdb", "memory"]


@contextmanager
def open_store(
    kind: Kind, directory: Path, durability: Durability, interval_seconds: float, most_bytes: int
) -> Iterator[Store]:
    """A store of this kind and durability; raises StoreFailure when its directory or file cannot be used."""
    if kind == "memory":
        with MemoryStore() as memory:
            yield memory
        return
    with DataDirectory(directory) as ours:
        take_over_journal(ours, most_bytes)
        lmdb = LmdbStore(ours, "none" if durability == "none" else "sync", most_bytes)
        if durability == "none":
            with lmdb:
                yield lmdb
            return
        buffered = BufferedStore(lmdb, interval_seconds, Journal(ours) if durability == "sync" else None)
        with buffered:
            yield buffered
        if buffered.is_settled:
            discard(ours)


def take_over_journal(directory: DataDirectory, most_bytes: int) -> None:
    """Bring into the store what a process that did not end in order has left in its journal."""
    changes: Changes = {}
    for transaction in recovered(directory):
        changes |= transaction
    if changes:
        with LmdbStore(directory, "sync", most_bytes) as store:
            try:
                store.commit(*split(changes))
            except StoreError as error:
                raise StoreFailure(f"what the journal in {directory.path} holds cannot be stored: {error}") from error
    discard(directory)

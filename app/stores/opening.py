"""The store that the settings ask for, open until the end of a `with` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from app.stores.base import Durability, Store
from app.stores.directory import DataDirectory
from app.stores.interval import IntervalStore
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
        lmdb = LmdbStore(ours, "none" if durability == "none" else "sync", most_bytes)
        with IntervalStore(lmdb, interval_seconds) if durability == "interval" else lmdb as store:
            yield store

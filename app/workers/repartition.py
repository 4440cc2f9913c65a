"""Moves the sessions of a data directory to another number of workers, while no server uses it.

The new parts are complete before they get their name, and the old ones are renamed and not deleted. A move that was interrupted
is done by the same command again.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from app.settings import Settings
from app.stores.base import Place, Record, Store, StoreFailure, Table
from app.stores.directory import DataDirectory
from app.stores.lmdb import LmdbStore
from app.workers import layout
from app.workers.owners import owner_of_stored

MOVING, DAMAGED = "moving", "damaged"
AT_ONCE = 1000  # records of one transaction


class Moved(NamedTuple):
    """What was moved: sessions, remembered ends, records that are damaged and stay behind; and where the old parts are now."""

    live: int
    gone: int
    damaged: int
    old: Sequence[Path]


def repartition(directory: Path, workers: int) -> Moved:
    """Move all sessions in a data directory to so many workers; raises StoreFailure where it is not there, or in use."""
    if not directory.is_dir():
        raise StoreFailure(f"there is no data directory {directory}; correct --data-dir")
    counts: Counter[str] = Counter()
    with DataDirectory(directory):
        found = layout.found(directory)
        before = [number for number in found if number != workers]
        if before and workers not in found:
            counts = _copy(directory, before, workers)
            _name(directory, workers)
        old = [_set_aside(layout.all_parts(directory, number)) for number in before]
    return Moved(counts[Table.LIVE], counts[Table.GONE], counts[DAMAGED], old)


def _copy(directory: Path, before: Sequence[int], workers: int) -> Counter[str]:
    """Fill new parts beside the old ones; how many records there were of each kind."""
    shutil.rmtree(directory / MOVING, ignore_errors=True)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        old = [
            _open(layout.part(directory, worker, number), directory, stack)
            for number in before
            for worker in range(number)
        ]
        new = [_open(layout.part(directory / MOVING, worker, workers), directory, stack) for worker in range(workers)]
        for table in Table:
            for page in (page for store in old for page in _pages(store, table)):
                parts: list[dict[Place, Record]] = [{} for _ in new]
                for key, record in page:
                    counts[DAMAGED if record is None else table] += 1
                    if record is not None:
                        parts[owner_of_stored(key, workers)][Place(table, key)] = record
                for store, part in zip(new, parts, strict=True):
                    store.commit(part, ())
    return counts


def _open(path: Path, locked: Path, stack: ExitStack) -> Store:
    """A part's store. Parts are locked, for workers that lost their supervisor may still be at work."""
    own = DataDirectory(path)
    if path != locked:
        stack.enter_context(own)
    return stack.enter_context(LmdbStore(own, "sync", Settings.model_fields["store_bytes"].default))


def _pages(store: Store, table: Table) -> Iterator[list[tuple[bytes, Record | None]]]:
    after = b""
    while page := store.scan(table, b"", after, AT_ONCE):
        yield page
        after = page[-1][0]


def _name(directory: Path, workers: int) -> None:
    """Make new parts that are complete the ones that a server finds."""
    layout.all_parts(directory / MOVING, workers).rename(layout.all_parts(directory, workers))
    shutil.rmtree(directory / MOVING)


def _set_aside(path: Path) -> Path:
    """Give old parts a name under which no server finds them."""
    number = 1
    while (aside := path.with_name(f"moved-{number}-{path.name}")).exists():
        number += 1
    return path.rename(aside)

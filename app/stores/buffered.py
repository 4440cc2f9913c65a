"""Commits that are collected in memory and brought into the store together, every so often."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from app.stores.base import (
    Changes,
    Closing,
    Durability,
    Found,
    Place,
    Puts,
    Record,
    Store,
    StoreError,
    StoreFailure,
    Table,
    split,
)
from app.stores.journal import Journal

logger = logging.getLogger(__name__)

MOST_JOURNAL_BYTES = 64 * 2**20


class BufferedStore(Closing):
    """A store before which changes wait at most `seconds`; a thread of its own writes them as one synced transaction.

    With a journal, which it closes, every commit is on disk when it returns (durability `sync`); without one, at most the last
    interval is lost (`interval`). While the disk is full nothing is accepted, and what was accepted is tried again. When more
    than `most_waiting` records wait, or the journal has grown large, a commit waits for them.
    """

    def __init__(
        self, store: Store, seconds: float, journal: Journal | None = None, most_waiting: int = 100_000
    ) -> None:
        self.durability: Durability = "interval" if journal is None else "sync"
        self._store = store
        self._seconds = seconds
        self._journal = journal
        self._most_waiting = most_waiting
        self._change = threading.Condition()  # guards what follows
        self._waiting: Changes = {}
        self._writing: Changes = {}
        self._refusal: StoreError | None = None
        self._failure: StoreFailure | None = None
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="tidegate-store", daemon=True)
        self._thread.start()

    @property
    def is_settled(self) -> bool:
        """Whether the store has everything."""
        return not (self._waiting or self._writing)

    def commit(self, puts: Puts, deletes: Iterable[Place]) -> None:
        """Remove and then write records as one transaction, which waits for its turn."""
        changes: Changes = dict.fromkeys(deletes)
        changes.update(puts)
        with self._change:
            self._raise_what_happened()
            while self._is_full() and not (self._failure or self._refusal):
                self._change.notify_all()
                self._change.wait()
            self._raise_what_happened()
            if self._journal is not None:
                self._journal.append(changes)
            self._waiting.update(changes)

    def get(self, place: Place) -> Record | None:
        """The record in a place, or None; raises CorruptRecord when it is damaged."""
        with self._change:
            for changes in (self._waiting, self._writing):
                if place in changes:
                    return changes[place]
        return self._store.get(place)

    def scan(self, table: Table, prefix: bytes, after: bytes, limit: int) -> list[Found]:
        """At most `limit` keys that start with `prefix` and follow `after`, in order, with their records: None if damaged."""
        with self._change:
            changes = self._writing | self._waiting
        changed = {
            p.key: r for p, r in changes.items() if p.table == table and p.key.startswith(prefix) and p.key > after
        }
        removed = sum(record is None for record in changed.values())
        kept = self._store.scan(table, prefix, after, limit + removed)
        found: dict[bytes, Record | None] = {key: record for key, record in kept if key not in changed}
        found |= {key: record for key, record in changed.items() if record is not None}
        beyond = (
            kept[-1][0] if len(kept) == limit + removed else None
        )  # what the store has after this key is not known here
        keys = sorted(key for key in found if beyond is None or key <= beyond)
        return [(key, found[key]) for key in keys[:limit]]

    def count(self, table: Table) -> int:
        """How many records a table has."""
        with self._change:
            changes = self._writing | self._waiting
            changed = {place: record is not None for place, record in changes.items() if place.table == table}
            return self._store.count(table) + sum(
                is_there - (self._store.get(place) is not None) for place, is_there in changed.items()
            )

    def close(self) -> None:
        """Write what waits, and close the store."""
        with self._change:
            self._is_closing = True
            self._change.notify_all()
        self._thread.join()
        try:
            self._write()
        finally:
            if self._journal is not None:
                self._journal.close()
            self._store.close()

    def _is_full(self) -> bool:
        is_long = self._journal is not None and self._journal.size > MOST_JOURNAL_BYTES
        return is_long or len(self._waiting) > self._most_waiting

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._is_closing or self._is_full(), self._seconds)
                if self._is_closing:
                    return
            try:
                self._write()
            except StoreError as refusal:
                self._remember(refusal)
            except BaseException as error:
                logger.critical("sessions could not be brought to disk", exc_info=True)
                failure = (
                    error if isinstance(error, StoreFailure) else StoreFailure(f"the store's thread died: {error}")
                )
                with self._change:
                    self._failure = failure
                    self._change.notify_all()
                return

    def _write(self) -> None:
        """Bring everything that waits to disk; when that is refused, it waits on."""
        with self._change:
            if not self._waiting:
                return
            self._writing, self._waiting = self._waiting, {}
            if self._journal is not None:
                self._journal.turn()
        try:
            self._store.commit(*split(self._writing))
        except StoreError:
            with self._change:
                self._waiting = self._writing | self._waiting
                self._writing = {}
            raise
        with self._change:
            self._writing, self._refusal = {}, None
            if self._journal is not None:
                self._journal.taken_over()
            self._change.notify_all()

    def _remember(self, refusal: StoreError) -> None:
        with self._change:
            self._refusal = refusal
            self._change.notify_all()

    def _raise_what_happened(self) -> None:
        if self._failure:
            raise StoreFailure(str(self._failure)) from self._failure
        if self._refusal:
            raise StoreError(str(self._refusal)) from self._refusal

"""Every store is a sorted map per table, whatever is done to it in whatever order, and after a crash one that was."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.stores.base import Place, Record, Table
from app.stores.buffered import BufferedStore
from app.stores.directory import DataDirectory
from app.stores.journal import Journal, discard
from app.stores.lmdb import LmdbStore
from app.stores.memory import MemoryStore
from app.stores.opening import take_over_journal

MOST_BYTES = 2**26
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]  # to shrink what fails takes longer than a test may
TABLES = st.sampled_from(Table)
KEYS = st.one_of(
    st.sampled_from([b"\x00", b"\x00a", b"\x00b", b"\x00ba", b"\x00bb", b"t\x00a", b"t\xff", b"\xff", b"\xff\xff"]),
    st.binary(min_size=1, max_size=3),
    st.binary(min_size=120, max_size=500),
)
PLACES = st.builds(Place, TABLES, KEYS)
SIZES = st.sampled_from([0, 0, 4, 800, 960, 990, 1652, 1980, 2400, 5000, 70_000])
RECORDS = st.builds(
    lambda head, size, fill: Record(head, bytes([fill]) * size), st.binary(max_size=90), SIZES, st.integers(0, 255)
)


class StoreMachine(RuleBasedStateMachine):
    """A store beside a plain dict. Whatever may be on disk after a crash is in `kept`: all states since the last one that is."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.stack = ExitStack()
        self.model: dict[Place, Record] = {}
        self.kept = [{}]

    @initialize()
    def open(self):
        if self.kind == "memory":
            self.store = MemoryStore()
            return
        directory = self.stack.enter_context(DataDirectory(self.directory))
        take_over_journal(directory, MOST_BYTES)
        self.lmdb = LmdbStore(directory, "none" if self.kind == "none" else "sync", MOST_BYTES)
        journal = Journal(directory) if self.kind == "journal" else None
        self.store = BufferedStore(self.lmdb, 3600, journal) if self.is_buffered else self.lmdb

    @rule(puts=st.dictionaries(PLACES, RECORDS, max_size=6), deletes=st.lists(PLACES, max_size=6))
    def commit(self, puts, deletes):
        self.store.commit(puts, deletes)
        self.model = {place: record for place, record in self.model.items() if place not in deletes} | puts
        self.kept = [*self.kept, self.model] if self.kind == "interval" else [self.model]

    @rule(data=st.data())
    def change_what_is_there(self, data):
        """Overwrite and remove places that are taken, which random ones rarely are."""
        if self.model:
            places = st.lists(st.sampled_from(sorted(self.model)), max_size=5, unique=True)
            self.commit({place: data.draw(RECORDS) for place in data.draw(places)}, data.draw(places))

    @rule(place=PLACES)
    def get(self, place):
        assert self.store.get(place) == self.model.get(place)

    @rule(
        table=TABLES,
        prefix=st.one_of(st.just(b""), st.sampled_from([b"\x00", b"\x00b", b"t", b"\xff"])),
        data=st.data(),
    )
    def scan(self, table, prefix, data):
        keys = [b"", *(place.key for place in self.model if place.table == table)]
        after, limit = data.draw(st.sampled_from(keys)), data.draw(st.integers(1, 12))
        expected = sorted(
            (place.key, record)
            for place, record in self.model.items()
            if place.table == table and place.key.startswith(prefix) and place.key > after
        )
        assert self.store.scan(table, prefix, after, limit) == expected[:limit]

    @property
    def is_buffered(self):
        return self.kind in {"interval", "journal"}

    @precondition(lambda self: self.is_buffered)
    @rule()
    def write_what_waits(self):
        self.store._write()
        self.kept = [self.model]

    @precondition(lambda self: self.kind != "memory")
    @rule()
    def reopen(self):
        self.store.close()
        if self.kind == "journal":
            discard(DataDirectory(self.directory))
        self.stack.close()
        self.open()
        self.kept = [self.model]

    @precondition(lambda self: self.kind != "memory")
    @rule()
    def crash(self):
        """The process ends; nothing is brought to disk, and the operating system lets go of the lock."""
        self._abandon()
        self.open()
        found = self._contents()
        assert found in self.kept
        self.model, self.kept = found, [found]

    @invariant()
    def everything_is_there(self):
        assert self._contents() == self.model
        for table in Table:
            assert self.store.count(table) == sum(place.table == table for place in self.model)

    def teardown(self):
        self._abandon()
        shutil.rmtree(self.directory)

    def _contents(self):
        return {
            Place(table, key): record for table in Table for key, record in self.store.scan(table, b"", b"", 10_000)
        }

    def _abandon(self):
        if self.is_buffered:
            with self.store._change:
                self.store._is_closing = True
                self.store._change.notify_all()
            self.store._thread.join()
        if self.kind != "memory":
            self.lmdb._env.close()
        self.stack.close()


@pytest.mark.parametrize("kind", ["memory", "lmdb", "journal", "interval", "none"])
def test_a_store_is_a_sorted_map_and_after_a_crash_one_that_was(kind):
    machine = type(kind, (StoreMachine,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[*HealthCheck], phases=PHASES
        ),
    )

"""What every store promises."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager

import pytest

from app.stores import unsynced
from app.stores.base import CorruptRecord, Place, Record, StoreError, StoreFailure, Table
from app.stores.buffered import BufferedStore
from app.stores.directory import DataDirectory
from app.stores.journal import FILES, GENERATION, HEAD, Journal, _frames
from app.stores.lmdb import FILE, LmdbStore
from app.stores.opening import open_store

DURABILITIES = ("sync", "interval", "none")
KINDS = ("memory", *DURABILITIES)
MOST_BYTES = 2**26
MISSING = (1).to_bytes(8)


@contextmanager
def opened(kind, path):
    """A store of a kind; one that waits writes only when it is told or closed."""
    durability = "none" if kind == "memory" else kind
    store = "memory" if kind == "memory" else "lmdb"
    with open_store(store, path, durability, interval_seconds=3600, most_bytes=MOST_BYTES) as made:
        yield made


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    with opened(request.param, tmp_path) as store:
        yield store


@pytest.fixture(params=DURABILITIES)
def durability(request):
    return request.param


def live(key: str) -> Place:
    return Place(Table.LIVE, key.encode())


def record(text: str, size: int = 2000) -> Record:
    return Record(text.encode(), bytes(range(250)) * (size // 250))


def keys(found):
    return [key.decode() for key, _ in found]


def test_a_record_comes_back_as_it_was_kept(store):
    store.commit({live("a"): record("one"), Place(Table.GONE, b"a"): Record(b"ending")}, [])
    assert store.get(live("a")) == record("one")
    assert store.get(Place(Table.GONE, b"a")) == Record(b"ending")
    assert store.get(live("b")) is None


@pytest.mark.parametrize("size", [250, 750, 1000, 2000, 5000, 100_000])
def test_records_of_any_size_change_and_change_their_size(store, size):
    for text, change in (("one", 0), ("two", 0), ("three", 3000), ("four", -250)):
        store.commit({live("a"): record(text, size + change), live(text): record(text, size)}, [])
        assert store.get(live("a")) == record(text, size + change)
    assert store.get(live("one")) == record("one", size)


def test_one_commit_writes_and_removes(store):
    store.commit({live("a"): record("one"), live("b"): record("two")}, [])
    store.commit({live("a"): record("three"), live("c"): record("four")}, [live("b"), live("never")])
    assert [store.get(live(key)) for key in "abc"] == [record("three"), None, record("four")]
    store.commit({live("c"): record("five")}, [live("c")])
    assert store.get(live("c")) == record("five")


def test_a_commit_that_fails_keeps_nothing_of_itself(tmp_path):
    for kind in ("memory", "sync", "none"):
        with opened(kind, tmp_path / kind) as store:
            store.commit({live("a"): record("one")}, [])
            with pytest.raises(AttributeError):
                store.commit({live("b"): record("two"), live("c"): object()}, [live("a")])
            assert store.get(live("a")) == record("one")
            assert store.get(live("b")) is None


@pytest.mark.parametrize("in_one", [True, False])
def test_new_records_never_share_the_place_of_one_that_was_removed(store, in_one):
    store.commit({live("a"): record("one"), live("b"): record("two")}, [])
    if in_one:
        store.commit({live("c"): record("three"), live("d"): record("four")}, [live("b")])
    else:
        store.commit({}, [live("b")])
        store.commit({live("c"): record("three"), live("d"): record("four")}, [])
    assert [store.get(live(key)) for key in "acd"] == [record("one"), record("three"), record("four")]


def test_a_scan_gives_keys_with_a_prefix_after_another_in_order(store):
    places = [Place(Table.LIVE, key) for key in (b"a", b"b\x001", b"b\x002", b"b\x003", b"b\xff", b"c")]
    store.commit({place: record("x") for place in places}, [])
    store.commit({Place(Table.GONE, b"b\x002"): Record(b"x")}, [])
    assert [key for key, _ in store.scan(Table.LIVE, b"b\x00", b"", 10)] == [b"b\x001", b"b\x002", b"b\x003"]
    assert store.scan(Table.LIVE, b"b\x00", b"b\x001", 1) == [(b"b\x002", record("x"))]
    assert [key for key, _ in store.scan(Table.LIVE, b"b", b"b\x003", 10)] == [b"b\xff"]
    assert store.scan(Table.LIVE, b"d", b"", 10) == []
    assert keys(store.scan(Table.LIVE, b"", b"", 2)) == ["a", "b\x001"]


def test_a_count_is_of_the_records_of_a_table(store):
    store.commit({live(key): record("x") for key in "abc"}, [])
    store.commit({live("a"): record("y"), Place(Table.GONE, b"b"): Record(b"x")}, [live("b"), live("d")])
    assert (store.count(Table.LIVE), store.count(Table.GONE)) == (2, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_store_says_so(kind, tmp_path):
    with opened(kind, tmp_path) as store:
        pass
    with pytest.raises(StoreError):
        store.get(live("a"))


def test_a_record_with_any_byte_changed_is_refused():
    data = Record(b"header", b"state").encode()
    assert Record.decode(data) == Record(b"header", b"state")
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 1
        with pytest.raises(CorruptRecord):
            Record.decode(bytes(broken))
    for length in range(len(data)):
        with pytest.raises(CorruptRecord):
            Record.decode(data[:length])


def test_what_was_kept_is_there_when_the_store_is_opened_again(durability, tmp_path):
    for turn in range(3):
        with opened(durability, tmp_path) as store:
            assert store.count(Table.LIVE) == turn
            store.commit({live(str(turn)): record(str(turn))}, [])
    with opened(durability, tmp_path) as store:
        assert [found for _, found in store.scan(Table.LIVE, b"", b"", 9)] == [record(str(turn)) for turn in range(3)]


@pytest.mark.parametrize("size", [1750, 2250])
def test_a_file_is_little_larger_than_its_records_and_reuses_what_was_removed(size, tmp_path):
    def new(count):
        return {live(os.urandom(8).hex()): record("x" * 60, size) for _ in range(count)}

    with opened("sync", tmp_path) as store:
        for _ in range(40):
            store.commit(new(100), [])
        grown = (tmp_path / FILE).stat().st_size
        assert grown < 1.4 * 4000 * len(record("x" * 60, size).encode())
        for _ in range(60):
            found = [Place(Table.LIVE, key) for key, _ in store.scan(Table.LIVE, b"", os.urandom(1).hex().encode(), 50)]
            store.commit(new(len(found)), found)
        assert store.count(Table.LIVE) == 4000
        assert (tmp_path / FILE).stat().st_size < 1.3 * grown


def test_a_damaged_record_costs_only_itself(durability, tmp_path):
    with opened(durability, tmp_path) as store:
        store.commit({live(key): record(key * 50) for key in "abc"}, [])
    path = tmp_path / FILE
    data = bytearray(path.read_bytes())
    place = data.index(b"b" * 50)
    while place != -1:
        data[place] ^= 1
        place = data.find(b"b" * 50, place + 1)
    path.write_bytes(data)
    with opened(durability, tmp_path) as store:
        with pytest.raises(CorruptRecord):
            store.get(live("b"))
        assert store.scan(Table.LIVE, b"", b"", 9) == [
            (b"a", record("a" * 50)), (b"b", None), (b"c", record("c" * 50)),
        ]  # fmt: skip


def test_a_directory_serves_one_process_at_a_time(tmp_path):
    second = opened("sync", tmp_path)
    with opened("sync", tmp_path), pytest.raises(StoreFailure, match=f"in use by process {os.getpid()}"):
        second.__enter__()
    with opened("sync", tmp_path):
        pass


def test_a_file_that_is_no_store_is_refused_by_name(tmp_path):
    (tmp_path / FILE).write_bytes(b"no store" * 2000)
    with pytest.raises(StoreFailure, match=f"{FILE} cannot be opened"), opened("sync", tmp_path):
        pass


def test_a_store_of_another_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("app.stores.lmdb.FORMAT", b"9")
    with opened("sync", tmp_path):
        pass
    monkeypatch.undo()
    with pytest.raises(StoreFailure, match="has format b'9'"), opened("sync", tmp_path):
        pass


def fill(store, complaint) -> int:
    """Put records until the store refuses one; how many it took."""
    for kept in range(1000):
        try:
            store.commit({live(f"{kept}"): record("x")}, [])
        except StoreError as error:
            assert complaint in str(error)  # noqa: PT017 - how many went before is what matters
            return kept
    raise AssertionError("it was never full")


def test_a_full_store_refuses_writes_and_goes_on_reading(tmp_path):
    with DataDirectory(tmp_path) as directory, LmdbStore(directory, "sync", 2**17) as store:
        kept = fill(store, "raise --store-bytes")
        assert store.get(live("0")) == record("x")
        assert store.count(Table.LIVE) == kept
    with DataDirectory(tmp_path) as directory, LmdbStore(directory, "sync", 2**18) as store:
        assert store.count(Table.LIVE) == kept
        store.commit({live("after"): record("y")}, [])
        assert store.get(live("after")) == record("y")


@pytest.mark.parametrize("durability", ["sync", "none"])  # with `interval` a commit does not wait for the disk
def test_a_full_disk_refuses_writes_and_they_go_on_when_there_is_space(small_disk, durability):
    with opened(durability, small_disk) as store:
        store.commit({live("first"): record("x")}, [])
        ballast = small_disk / "ballast"
        subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4096"], capture_output=True, check=False)
        fill(store, "disk is full")
        assert store.get(live("first")) == record("x")
        ballast.unlink()
        store.commit({live("after"): record("y", 20_000)}, [])
        assert store.get(live("after")) == record("y", 20_000)


class Torn(LmdbStore):
    """A store whose disk can be full, or fail."""

    error: Exception | None = None

    def commit(self, puts, deletes):
        if self.error:
            raise self.error
        super().commit(puts, deletes)


@pytest.fixture
def behind(tmp_path):
    with DataDirectory(tmp_path) as directory:
        store = Torn(directory, "sync", MOST_BYTES)
        yield store


def wait_until(condition):
    deadline = threading.Event()
    for _ in range(500):
        if condition():
            return
        deadline.wait(0.01)
    raise AssertionError("it never happened")


def test_what_waits_is_seen_and_written_within_the_interval(behind):
    with BufferedStore(behind, 0.05) as store:
        store.commit({live("a"): record("one"), live("b"): record("two")}, [])
        assert store.get(live("a")) == record("one")
        wait_until(lambda: behind.get(live("a")))
        store.commit({live("c"): record("three")}, [live("a")])
        assert store.get(live("a")) is None
        assert keys(store.scan(Table.LIVE, b"", b"", 9)) == ["b", "c"]
        wait_until(lambda: behind.get(live("a")) is None)
        assert behind.get(live("c")) == record("three")


def test_a_page_of_what_is_kept_and_what_waits_is_in_order_and_complete(behind):
    behind.commit({live(f"{n:02}"): record("old") for n in range(0, 20, 2)}, [])
    with BufferedStore(behind, 3600) as store:
        store.commit({live(f"{n:02}"): record("new") for n in range(1, 20, 2)}, [live("04"), live("06")])
        expected = [f"{n:02}" for n in range(20) if n not in {4, 6}]
        for limit in range(1, 20):
            seen, after = [], b""
            while found := store.scan(Table.LIVE, b"", after, limit):
                seen += keys(found)
                after = found[-1][0]
            assert seen == expected
        assert store.count(Table.LIVE) == 18


def test_while_the_disk_is_full_nothing_is_accepted_and_nothing_accepted_is_lost(behind):
    with BufferedStore(behind, 0.02) as store:
        behind.error = StoreError("the disk is full")
        store.commit({live("a"): record("one")}, [])
        wait_until(lambda: store._refusal)
        with pytest.raises(StoreError, match="the disk is full"):
            store.commit({live("b"): record("two")}, [])
        assert store.get(live("a")) == record("one")
        behind.error = None
        wait_until(lambda: behind.get(live("a")))
        store.commit({live("b"): record("two")}, [])


def test_when_the_disk_fails_the_next_commit_says_so_for_good(behind, caplog):
    store = BufferedStore(behind, 0.02)
    behind.error = StoreFailure("input/output error")
    store.commit({live("a"): record("one")}, [])
    wait_until(lambda: store._failure)
    with pytest.raises(StoreFailure, match="input/output error"):
        store.commit({live("b"): record("two")}, [])
    assert "could not be brought to disk" in caplog.text
    behind.error = None
    store.close()


@pytest.fixture
def journaled(tmp_path):
    """What stands in a data directory whose process was killed: seven transactions in the journal, the first three in the store."""
    with DataDirectory(tmp_path) as directory:
        lmdb = LmdbStore(directory, "sync", MOST_BYTES)
        store = BufferedStore(lmdb, 3600, Journal(directory))
        for number in range(7):
            store.commit({live("a"): record(f"{number}"), live(f"{number}"): record("x")}, [live(f"{number - 1}")])
            if number in {1, 2}:
                store._write()
        end(store)
    return tmp_path


def end(store):
    """As SIGKILL would: nothing more is written."""
    with store._change:
        store._is_closing = True
        store._change.notify_all()
    store._thread.join()
    store._store._env.close()


def contents(path):
    with opened("sync", path) as store:
        return dict(store.scan(Table.LIVE, b"", b"", 99))


def test_what_is_in_the_journal_is_in_the_store_when_it_is_opened_again(journaled, durability):
    assert all((journaled / file).stat().st_size for file in FILES)
    with opened(durability, journaled) as store:
        assert dict(store.scan(Table.LIVE, b"", b"", 99)) == {b"a": record("6"), b"6": record("x")}
    assert contents(journaled) == {b"a": record("6"), b"6": record("x")}


def test_a_store_that_is_closed_in_order_leaves_no_journal(journaled):
    contents(journaled)
    assert not any((journaled / file).exists() for file in FILES)


def test_a_transaction_that_was_cut_off_is_left_out_and_those_before_it_count(journaled):
    newest = max((journaled / file for file in FILES), key=lambda path: path.stat().st_mtime_ns)
    data = newest.read_bytes()
    frames = list(_frames(data))
    sizes = [HEAD.size + GENERATION.size + len(body) for _, body in frames]
    assert len(frames) == 4
    for cut in (sum(sizes) - 1, sum(sizes[:3]) + 5, sum(sizes[:3]), sum(sizes[:3]) - 1, sizes[0] - 1, 3):
        newest.write_bytes(data[:cut])
        kept = [sum(sizes[:count]) <= cut for count in range(1, 5)].count(True)
        assert list(_frames(newest.read_bytes())) == frames[:kept]
    newest.write_bytes(data[: sum(sizes) - 1])
    assert contents(journaled) == {b"a": record("5"), b"5": record("x")}


def test_a_file_that_is_written_again_says_nothing_of_what_it_held_before(tmp_path):
    with DataDirectory(tmp_path) as directory:
        lmdb = LmdbStore(directory, "sync", MOST_BYTES)
        store = BufferedStore(lmdb, 3600, Journal(directory))
        for turn in range(5):  # less and less, so that earlier turns' frames stand behind the newest
            for number in range(10 - 2 * turn):
                store.commit({live(f"{number}"): record(f"{turn}")}, [])
            store._write()
        store.commit({live("0"): record("last")}, [])
        end(store)
        assert [len(list(_frames((tmp_path / file).read_bytes()))) for file in FILES] == [2, 1]
    assert contents(tmp_path) == {b"%d" % n: record("last" if n == 0 else f"{(9 - n) // 2}") for n in range(10)}


def test_a_journal_is_not_written_over_before_the_store_has_it(tmp_path):
    with DataDirectory(tmp_path) as directory:
        lmdb = Torn(directory, "sync", MOST_BYTES)
        store = BufferedStore(lmdb, 3600, Journal(directory))
        store.commit({live("a"): record("one")}, [])
        lmdb.error = StoreError("the disk is full")
        for _ in range(3):
            with pytest.raises(StoreError):
                store._write()
        store.commit({live("b"): record("two")}, [])
        end(store)
    assert contents(tmp_path) == {b"a": record("one"), b"b": record("two")}


def test_a_journal_that_has_grown_is_taken_over_before_more_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr("app.stores.buffered.MOST_JOURNAL_BYTES", 10_000)
    with opened("sync", tmp_path) as store:
        for number in range(100):
            store.commit({live(f"{number:02}"): record("x")}, [])
        assert max((tmp_path / file).stat().st_size for file in FILES) < 15_000
        assert store.count(Table.LIVE) == 100


def test_more_waiting_records_than_allowed_are_waited_for(behind):
    with BufferedStore(behind, 3600, most_waiting=10) as store:
        for number in range(100):
            store.commit({live(f"{number:02}"): record("x")}, [])
        assert behind.count(Table.LIVE) > 50
        assert store.count(Table.LIVE) == 100


def test_unsynced_data_are_trusted_until_the_machine_has_gone_down(tmp_path, monkeypatch, caplog):
    with DataDirectory(tmp_path) as directory:
        killed = LmdbStore(directory, "none", MOST_BYTES)
        killed.commit({live("a"): record("one")}, [])
        killed._env.close()  # as SIGKILL would
    with DataDirectory(tmp_path) as directory:
        killed = LmdbStore(directory, "none", MOST_BYTES)
        assert killed.get(live("a")) == record("one")
        killed._env.close()
    monkeypatch.setattr(unsynced, "boot", lambda: "another")
    with opened("sync", tmp_path) as store:
        assert store.get(live("a")) is None
    assert "may be torn" in caplog.text
    assert len(list(tmp_path.glob(f"{FILE}.untrusted-*"))) == 1

"""What every store promises."""

from __future__ import annotations

import pytest

from app.stores.base import CorruptRecord, Record, StoreError
from app.stores.memory import MemoryStore

STORES = {"memory": MemoryStore}


@pytest.fixture(params=STORES)
def store(request):
    with STORES[request.param]() as store:
        yield store


def record(text: str) -> Record:
    return Record(text.encode(), b"\x00\x01" * 3)


def test_a_record_comes_back_as_it_was_kept(store):
    store.commit({b"a": record("one")}, [])
    assert store.get(b"a") == record("one")
    assert store.get(b"b") is None


def test_one_commit_writes_and_removes(store):
    store.commit({b"a": record("one"), b"b": record("two")}, [])
    store.commit({b"a": record("three"), b"c": record("four")}, [b"b", b"never"])
    assert [store.get(key) for key in (b"a", b"b", b"c")] == [record("three"), None, record("four")]


def test_a_commit_that_fails_keeps_nothing_of_itself(store):
    store.commit({b"a": record("one")}, [])
    with pytest.raises(Exception, match="has no attribute"):
        store.commit({b"b": record("two"), b"c": object()}, [b"a"])
    assert store.get(b"a") == record("one")
    assert store.get(b"b") is None


def test_a_scan_gives_keys_with_a_prefix_after_another_in_order(store):
    keys = [b"a", b"b\x001", b"b\x002", b"b\x003", b"b\xff", b"c"]
    store.commit({key: record("x") for key in keys}, [])
    assert [key for key, _ in store.scan(b"b\x00", b"", 10)] == [b"b\x001", b"b\x002", b"b\x003"]
    assert [key for key, _ in store.scan(b"b\x00", b"b\x001", 1)] == [b"b\x002"]
    assert [key for key, _ in store.scan(b"b", b"b\x003", 10)] == [b"b\xff"]
    assert store.scan(b"d", b"", 10) == []


def test_a_count_is_of_keys_with_a_prefix(store):
    store.commit({key: record("x") for key in (b"a", b"b1", b"b2", b"b\xff", b"c")}, [])
    assert store.count(b"b") == 3
    assert store.count(b"d") == 0


def test_a_closed_store_says_so():
    for kind in STORES.values():
        store = kind()
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.get(b"a")


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

"""From a session's first step to the day nobody remembers it: incarnations, forks, exports, idle sessions, damaged ones."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from app.engine.forecast import Wish
from app.engine.operations.copying import MAGIC, Export, Fork, Import, parse_export
from app.engine.operations.looking import Describe, Peek
from app.engine.operations.opening import Close, Open
from app.engine.operations.stepping import TakeColumns, TakeSteps
from app.engine.operations.sweeping import Expire, FindForgettable, FindIdle, Forget
from app.engine.registry import Models, open_models
from app.engine.session import NO_METADATA, pack_tail, unpack
from app.engine.steps import Place
from app.errors import InvalidRequest, ModelMismatch, Moment, Overloaded, SessionExists, SessionGone, SessionNotFound
from app.requests import to_import
from app.schemas import ImportQuery
from app.stores.base import Place as StorePlace
from app.stores.base import Record, Table
from app.stores.memory import MemoryStore
from tests.bundles import expected, write_bundle
from tests.conftest import NOON, Lab, column, key

ANY = Wish(levels=(0.5,))
DAY = 86400


def opened(name="a", *history, **more):
    return Open(key(name), model="sum", version="1", start=NOON, history=column(*history), **more)


def step(name, value, **more):
    return TakeSteps(key(name), column(value), wish=ANY, **more)


def median(reply) -> list[float]:
    return reply.forecast.values[:, 0, 0].tolist()


def refusal(lab, operation) -> dict:
    with pytest.raises(SessionGone) as error:
        lab.ask(operation)
    return error.value.extra


def test_a_session_never_takes_a_step_that_was_meant_for_one_before_it(lab):
    first = lab.ask(opened("a", 1)).session.incarnation
    lab.ask(Close(key()))
    second = lab.ask(opened("a", 5)).session.incarnation
    for late in (step("a", 2, incarnation=first), TakeSteps(key(), column(2, 3), Place(2), incarnation=first)):
        assert refusal(lab, late) == {"reason": "replaced", "incarnation": f"{second:016x}"}
    assert refusal(lab, Close(key(), first))["reason"] == "replaced"
    assert median(lab.ask(step("a", 2, incarnation=second))) == expected([5, 2])


def test_a_fork_goes_on_by_itself(lab):
    source = lab.ask(opened("a", 1, 2, metadata=b'{"room":7}')).session
    fork = lab.ask(Fork(key("a"), key("b"))).session
    assert (fork.step, fork.metadata) == (2, b'{"room":7}')
    assert fork.incarnation != source.incarnation
    assert median(lab.ask(step("b", 10))) == expected([1, 2, 10])
    assert median(lab.ask(step("a", 3))) == expected([1, 2, 3])
    with pytest.raises(SessionExists):
        lab.ask(Fork(key("a"), key("b")))
    with pytest.raises(SessionNotFound):
        lab.ask(Fork(key("nobody"), key("c")))


def test_an_export_comes_back_bit_for_bit_here_and_elsewhere(lab, models):
    lab.ask(opened("a", 1, None, 3, on_gap="missing", metadata=b'{"room":7}'))
    blob = lab.ask(Export(key("a")))
    assert parse_export(blob).id == "a"
    other = Lab(models)
    for place, name in ((lab, "b"), (other, "a")):
        session = place.ask(Import(key(name), parse_export(blob))).session
        assert (session.step, session.start, session.on_gap, session.metadata) == (3, NOON, "missing", b'{"room":7}')
        assert np.array_equal(place.state(name), lab.state("a"), equal_nan=True)
        assert median(place.ask(step(name, 4))) == expected([1, None, 3, 4])
    with pytest.raises(SessionExists):
        lab.ask(Import(key("a"), parse_export(blob)))


def test_an_export_with_any_byte_changed_is_refused(lab):
    lab.ask(opened("a", 1, 2))
    blob = lab.ask(Export(key("a")))
    for place in range(0, len(blob), 7):
        broken = bytearray(blob)
        broken[place] ^= 1
        with pytest.raises(InvalidRequest):
            parse_export(bytes(broken))
    for broken in (b"", blob[:-1], b"tidegate session 2\n" + blob[19:]):
        with pytest.raises(InvalidRequest):
            parse_export(broken)


FORGED = {
    "an id that can be none": {"name": "a/b"},
    "an id that the store has no room for": {"name": "a" * 600},
    "no id": {"name": ""},
    "a start beyond all times": {"start": 2**62},
    "less than no steps": {"step": -1},
    "steps beyond all times": {"step": 2**62},
    "no frequency": {"frequency": 0},
    "another frequency": {"frequency": 60},
    "a state of NaN": {"state": np.nan},
    "an infinite state": {"state": np.inf},
    "metadata that end too early": {"metadata": b'{"a":1'},
    "metadata that are no object": {"metadata": b"[]"},
    "metadata that are too large": {"metadata": b'{"a":"%s"}' % (b"x" * 17_000)},
}


@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED.keys())
def test_an_export_that_holds_what_no_session_has_is_refused(changes, lab):
    lab.ask(opened("a", 1))
    blob = lab.ask(Export(key("a")))
    lab.ask(to_import("", forged(blob, name="b"), ImportQuery()))
    with pytest.raises(InvalidRequest):
        lab.ask(to_import("", forged(blob, **{"name": "c", **changes}), ImportQuery()))


def forged(blob, name, metadata=NO_METADATA, state=None, **facts) -> bytes:
    """An export with other contents and a checksum that holds."""
    record = Record.decode(blob[len(MAGIC) :])
    row, build, _ = unpack(msgspec.msgpack.decode(record.header)[1])
    row = row.copy()
    for field, value in facts.items():
        row[field] = value
    head = msgspec.msgpack.encode((name, row.tobytes() + pack_tail(build, metadata)))
    floats = len(record.state) // 4
    return (
        MAGIC + Record(head, record.state if state is None else np.full(floats, state, np.float32).tobytes()).encode()
    )


@pytest.fixture
def other_build(tmp_path):
    """Models with the same names and versions as the usual ones, but other insides."""
    write_bundle(tmp_path, "sum", "1", recent=9)
    return open_models(tmp_path, "cpu", "encoder")


def test_a_session_is_only_served_by_the_build_it_was_made_by(lab, other_build):
    lab.ask(opened("a", 1))
    blob = lab.ask(Export(key("a")))
    other = Lab(other_build, store=lab.store)
    for operation in (step("a", 1), Peek(key("a"), ANY), Export(key("a")), Import(key("b"), parse_export(blob))):
        with pytest.raises(ModelMismatch, match="build"):
            other.ask(operation)
    assert other.ask(Describe(key("a"))).session.step == 1
    other.ask(Close(key("a")))
    assert other.ask(opened("a", 1, 2)).session.step == 2


def test_a_session_idle_for_too_long_has_expired_wherever_it_is(models):
    for resident in (10, 1):
        lab = Lab(models, idle_seconds=30 * DAY, resident=resident)
        lab.ask_all([opened("a", 1), opened("b", 1)])
        lab.clock += 30 * DAY
        lab.ask(step("a", 1))
        lab.clock += 1
        for late in (step("b", 1), Peek(key("b"), ANY), Describe(key("b")), TakeSteps(key("b"), column(1, 2))):
            assert refusal(lab, late) == {"reason": "expired", "at": Moment(NOON + 30 * DAY)}
        (answer,) = lab.ask(TakeColumns([key("b")], column(1)))
        assert answer.code == "session-gone"
        assert lab.ask(step("a", 1)).step == 3


def test_an_expired_id_can_be_used_again(models):
    lab = Lab(models, idle_seconds=DAY)
    lab.ask(opened("a", 1))
    lab.clock += 2 * DAY
    assert lab.ask(opened("a", 5, 6)).session.step == 2
    assert lab.sessions.total == 1
    assert median(lab.ask(step("a", 7))) == expected([5, 6, 7])


def swept(lab, find, end):
    """Everything that is found, a few at a time, and ended."""
    after, ended = b"", []
    while True:
        found = lab.ask(find(after, 3))
        ended += [one.id for one in found.keys if lab.ask(end(one))]
        after = found.after
        if not after:
            return ended


def test_sweeping_ends_the_idle_and_later_forgets_them(models):
    lab = Lab(models, idle_seconds=DAY, tombstone_seconds=7 * DAY)
    lab.ask_all([opened(f"s{i}", 1) for i in range(10)])
    lab.clock += 0.6 * DAY
    lab.ask_all([step(f"s{i}", 1) for i in range(0, 10, 2)])
    lab.clock += 0.6 * DAY
    assert swept(lab, FindIdle, Expire) == ["s1", "s3", "s5", "s7", "s9"]
    assert (lab.sessions.total, lab.store.count(Table.LIVE), len(lab.sessions.residency)) == (5, 5, 5)
    assert refusal(lab, step("s1", 1))["reason"] == "expired"
    assert swept(lab, FindForgettable, Forget) == []
    lab.ask_all([step(f"s{i}", 1) for i in range(0, 10, 2)])
    lab.clock += 7 * DAY
    assert swept(lab, FindForgettable, Forget) == ["s1", "s3", "s5", "s7", "s9"]
    assert lab.store.count(Table.GONE) == 0
    with pytest.raises(SessionNotFound):
        lab.ask(step("s1", 1))


def test_a_session_used_between_being_found_idle_and_ending_lives_on(models):
    lab = Lab(models, idle_seconds=DAY)
    lab.ask(opened("a", 1))
    lab.clock += 2 * DAY
    (found,) = lab.ask(FindIdle(b"", 10)).keys
    lab.ask(opened("a", 5))
    assert not lab.ask(Expire(found))
    assert not lab.ask(Forget(found))
    assert lab.ask(step("a", 1)).step == 2


class Damaging(MemoryStore):
    """A store whose records can be damaged."""

    def damage(self, name):
        records, stored = self._tables[Table.LIVE], StorePlace(Table.LIVE, f"\0{name}".encode())
        data = bytearray(records[stored.key])
        data[-1] ^= 1
        records[stored.key] = bytes(data)


def test_a_damaged_record_costs_its_session_and_nobody_else(models):
    store = Damaging()
    Lab(models, store=store).ask_all([opened("a", 1), opened("b", 1), opened("c", 1)])
    store.damage("b")
    lab = Lab(models, store=store)
    a, b, c = lab.ask(TakeColumns([key("a"), key("b"), key("c")], column(2, 2, 2), wish=ANY))
    assert median(a) == median(c) == expected([1, 2])
    assert (b.code, b.extra["reason"]) == ("session-gone", "damaged")
    for operation in (Describe(key("b")), Peek(key("b"), ANY), step("b", 1), Close(key("b"))):
        assert refusal(lab, operation)["reason"] == "damaged"
    assert lab.ask(FindIdle(b"", 10)).keys == []
    lab.ask(opened("b", 7))
    assert median(lab.ask(step("b", 8))) == expected([7, 8])
    assert lab.sessions.total == 3


def test_metadata_outlive_the_arena(models):
    lab = Lab(models, resident=1)
    lab.ask_all([opened("a", 1, metadata=b'{"room":7}'), opened("b", 1, metadata=b'{"room":8}'), opened("c", 1)])
    lab.ask_all([step(name, 1) for name in "abc"])
    lab.ask(TakeColumns([key(name) for name in "abc"], column(1, 1, 1)))
    found = [lab.ask(Describe(key(name))).session for name in "abc"]
    assert [one.metadata for one in found] == [b'{"room":7}', b'{"room":8}', b"{}"]
    assert [one.step for one in found] == [3, 3, 3]


def test_forks_and_imports_count_as_sessions(models):
    lab = Lab(models, sessions=1)
    lab.ask(opened("a", 1))
    blob = lab.ask(Export(key("a")))
    for operation in (Fork(key("a"), key("b")), Import(key("b"), parse_export(blob))):
        with pytest.raises(Overloaded):
            lab.ask(operation)


def test_no_model_serves_no_session(lab):
    lab.ask(opened("a", 1))
    with pytest.raises(ModelMismatch, match="is not served here"):
        Lab(replace(Models(), served={})).ask(Import(key("a"), parse_export(lab.ask(Export(key("a"))))))

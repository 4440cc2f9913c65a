"""Lists of sessions that are named again and again: quick, and never out of date."""

from __future__ import annotations

import pickle

import msgspec
import pytest

from app import acquaintance
from app.acquaintance import Acquaintance
from app.engine.forecast import Wish
from app.engine.operations.opening import Close, Open
from app.engine.operations.stepping import TakeColumns, TakeSteps
from app.engine.roster import Roster
from app.errors import InvalidRequest, SessionGone
from app.frames import JSON
from tests.bundles import expected
from tests.conftest import NOON, Lab, column, key

MEDIAN = Wish(levels=(0.5,))


def opened(name, *history):
    return Open(key(name), model="sum", version="1", start=NOON, history=column(*history))


def roster(*names) -> Roster:
    return Roster(map(key, names))


def columns(sessions, *values):
    return TakeColumns(sessions, column(*values), wish=MEDIAN)


def medians(answers) -> list[list[float]]:
    return [answer.forecast.values[:, 0, 0].tolist() for answer in answers]


def written(*names) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(names))


@pytest.fixture
def known() -> Acquaintance:
    return Acquaintance("", JSON.session_ids)


def test_a_roster_is_located_once_while_nobody_comes_or_goes(lab):
    lab.ask_all([opened("a", 1), opened("b", 2)])
    sessions = roster("a", "b")
    assert medians(lab.ask(columns(sessions, 3, 4))) == [expected([1, 3]), expected([2, 4])]
    found = sessions.found
    assert medians(lab.ask(columns(sessions, 5, 6))) == [expected([1, 3, 5]), expected([2, 4, 6])]
    assert sessions.found is found
    assert found.holds


def test_a_roster_finds_a_session_that_was_closed_and_opened_in_another_place(lab):
    lab.ask_all([opened("a", 1), opened("b", 2)])
    sessions = roster("a", "b")
    lab.ask(columns(sessions, 3, 4))
    lab.ask_all([Close(key("a")), Close(key("b"))])
    lab.ask_all([opened("b", 20), opened("a", 10)])  # each gets the place of the other
    assert medians(lab.ask(columns(sessions, 1, 2))) == [expected([10, 1]), expected([20, 2])]


def test_a_roster_does_not_move_a_session_that_has_ended(lab):
    lab.ask_all([opened("a", 1), opened("b", 2)])
    sessions = roster("a", "b")
    lab.ask(columns(sessions, 3, 4))
    lab.ask(Close(key("a")))
    lab.ask(opened("c", 7))  # where a was
    gone, b = lab.ask(columns(sessions, 5, 6))
    assert isinstance(gone, SessionGone)
    assert medians([b]) == [expected([2, 4, 6])]
    assert lab.ask(TakeSteps(key("c"), column(8), wish=MEDIAN)).step == 2


def test_a_roster_brings_sessions_back_that_left_memory(models):
    lab = Lab(models, resident=2)
    lab.ask_all([opened(name, number) for number, name in enumerate("abcd", 1)])
    first, second = roster("a", "b"), roster("c", "d")
    for value in (5, 6):
        lab.ask(columns(first, value, value))
        lab.ask(columns(second, value, value))
    assert medians(lab.ask(columns(first, 7, 7))) == [expected([1, 5, 6, 7]), expected([2, 5, 6, 7])]


def test_another_process_gets_the_keys_alone(lab):
    lab.ask(opened("a", 1))
    sessions = roster("a")
    lab.ask(columns(sessions, 2))
    assert sessions.found
    copy = pickle.loads(pickle.dumps(sessions))  # noqa: S301 - our own bytes
    assert (copy, copy.found, type(copy)) == (sessions, None, Roster)


def test_the_same_list_is_read_once(known):
    assert known.roster(written("a", "b")) is known.roster(written("a", "b"))
    assert known.roster(written("b", "a")) == roster("b", "a")


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ((), "length >= 1"),
        (("a", "no blanks"), r"\$\[1\]"),
        (("a", 7), r"\$\[1\]"),
        (("a", "b", "a"), "named twice"),
    ],
)
def test_a_list_that_cannot_be_is_refused_each_time(known, names, complaint):
    for _ in range(2):
        with pytest.raises(InvalidRequest, match=complaint):
            known.roster(written(*names))


def test_lists_that_were_not_named_for_long_are_forgotten(known, monkeypatch):
    monkeypatch.setattr(acquaintance, "MOST_IDS", 6)
    one, two = known.roster(written("a", "b")), known.roster(written("c", "d"))
    known.roster(written("e", "f"))
    assert known.roster(written("a", "b")) is one
    known.roster(written("g", "h"))
    assert known.roster(written("a", "b")) is one
    assert known.roster(written("c", "d")) is not two


def test_lists_that_are_mostly_blank_are_forgotten_by_their_bytes(known, monkeypatch):
    monkeypatch.setattr(acquaintance, "MOST_BYTES", 30)
    blank = msgspec.Raw(b'["a"              ]')
    one = known.roster(blank)
    assert known.roster(blank) is one
    assert known.roster(written("b", "c")) == roster("b", "c")
    assert known.roster(blank) is one
    assert known.roster(written("d", "e")) == roster("d", "e")
    assert known.roster(written("b", "c")) == roster("b", "c")
    assert known.roster(blank) is not one
    huge = msgspec.Raw(b'["a"' + b" " * 40 + b"]")
    assert known.roster(huge) == roster("a")
    assert known.roster(huge) is not known.roster(huge)

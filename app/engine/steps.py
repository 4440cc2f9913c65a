"""The identity of a step is its place on the session's time grid, so a step sent twice is applied once.

Pure functions: a claim is judged against what the session has seen, and nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from app.engine.arrays import Floats
from app.engine.session import Session
from app.errors import InvalidRequest, Moment, OffGrid, StepConflict, StepGap
from app.times import format_time


class Place(msgspec.Struct, frozen=True):
    """Where a client says its first observation belongs: at a step number, at a time, at both or, by default, next."""

    step: int | None = None
    time: int | None = None


NEXT = Place()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with T observations: leave out the first `known`, put `missing` ones before the rest.

    `last` is the number of the last of the T steps. `is_newest` says that it is the session's last step once all is done,
    so that a forecast can follow it.
    """

    known: int
    missing: int
    last: int
    is_newest: bool
    replayed: bool


def judge(session: Session, recent: Floats, place: Place, values: Floats, gap_limit: int) -> Verdict:
    """Decide about observations `values` (T, C), T ≥ 1, of a session that remembers `recent` (R, C), newest last.

    Raises OffGrid, StepConflict for applied steps with other values, StepGap for steps beyond the next one (where gaps are
    filled: beyond `gap_limit`) and InvalidRequest for a step and a time that name different places.
    """
    first = _first_step(session, place)
    last = first + len(values) - 1
    missing = max(0, first - session.step - 1)
    if missing > (gap_limit if session.on_gap == "missing" else 0):
        raise _gap(session, first, gap_limit)
    known = min(len(values), max(0, session.step - first + 1))
    if known:
        _check_known(session, recent, first, values[:known])
    return Verdict(known, missing, last, is_newest=last >= session.step, replayed=known == len(values))


def _first_step(session: Session, place: Place) -> int:
    if place.time is None:
        return session.step + 1 if place.step is None else place.step
    offset, remainder = divmod(place.time - session.start, session.frequency)
    if remainder:
        nearest = session.start + (offset + (2 * remainder >= session.frequency)) * session.frequency
        raise OffGrid(
            f"time {format_time(place.time)} is not on the grid of one step every {session.frequency} s from "
            f"{format_time(session.start)}; the nearest grid time is {format_time(nearest)}",
            nearest=Moment(nearest),
        )
    step = offset + 1
    if step < 1:
        raise InvalidRequest(
            f"time {format_time(place.time)} is before the session's start; send times from {format_time(session.start)} on"
        )
    if place.step not in (None, step):
        raise InvalidRequest(
            f"step {place.step} and time {format_time(place.time)} differ: that time is step {step}; send one of them"
        )
    return step


def _gap(session: Session, first: int, gap_limit: int) -> StepGap:
    expected = session.step + 1
    remedy = f"send step {expected} ({format_time(session.next_time)}) first"
    if session.on_gap == "missing":
        remedy = f"at most {gap_limit} steps are filled as missing; {remedy}"
    return StepGap(
        f"step {first} is beyond the next step; {remedy}",
        expected_step=expected,
        expected_time=Moment(session.next_time),
    )


def _check_known(session: Session, recent: Floats, first: int, values: Floats) -> None:
    oldest = max(1, session.step - len(recent) + 1)
    if first < oldest:
        raise StepConflict(
            f"step {first} is older than the session remembers, so its values cannot be compared; "
            f"send steps from {oldest} on, next is {session.step + 1}"
        )
    place = len(recent) - (session.step - first + 1)
    applied = recent[place : place + len(values)]
    same = ((values == applied) | (np.isnan(values) & np.isnan(applied))).all(axis=1)
    if not same.all():
        step = first + int(np.argmin(same))
        raise StepConflict(
            f"step {step} was applied with other values; a session does not change its past, the next step is {session.step + 1}"
        )

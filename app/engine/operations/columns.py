"""Single observations of many sessions, whoever sent them, judged and moved together.

Most of them are the next step of a resident session: these become columns and are judged at once. The others, repeated or
beyond the next, with a missing value written for another number of channels, refused, go their way one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import numpy as np

from app.engine.arena import Arena, Slots
from app.engine.arrays import Flags, Floats, Times
from app.engine.forecast import Forecast, Selection, Wish, not_finite
from app.engine.group import Group
from app.engine.inputs import Named, fit_covariates
from app.engine.operations.base import Context
from app.engine.operations.rows import Row, Stepped
from app.engine.records import Moved
from app.engine.session import Facts, Key
from app.engine.steps import Place
from app.errors import Refusal
from model.contract import Bundle

Finished = tuple[list[Stepped | Refusal], list[Moved]]


class Observation(NamedTuple):
    """One observation (1, any) of one session, where it belongs, and what is wanted to know after it."""

    key: Key
    values: Floats
    place: Place
    covariates: Named
    wish: Wish | None
    incarnation: int | None = None


class Plain(NamedTuple):
    """An observation, by its place among all, that is the next step of the session in a slot; with its covariates (1, K)."""

    place: int
    slot: int
    observation: Observation
    covariates: Floats
    selection: Selection | None


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The next steps of N resident sessions of one model, for which the same part of the forecast is wanted, or none."""

    places: list[int]
    keys: list[Key]
    facts: Facts
    tails: list[bytes]
    selection: Selection | None
    group: Group

    def finish(self, now: float) -> Finished:
        """The answer to every row, and the sessions that moved. A row without a finite forecast is refused and stays."""
        facts, group, selection = self.facts.copy(), self.group, self.selection
        facts["step"] += 1
        facts["active_at"] = now
        numbered = list(zip(facts["step"].tolist(), group.origin.tolist(), group.surprise, strict=True))
        if selection is None or group.quantiles is None:
            return [_stepped(*one, None) for one in numbered], [self._moved(facts, group.state)]
        finite: Flags = np.asarray(np.isfinite(group.quantiles).all(axis=(1, 2, 3)))
        values = selection.wanted(group.quantiles)
        answers: list[Stepped | Refusal] = [
            _stepped(*one, selection.dated(row.copy(), one[1])) if is_finite else not_finite()
            for one, row, is_finite in zip(numbered, values, finite.tolist(), strict=True)
        ]
        if finite.all():
            return answers, [self._moved(facts, group.state)]
        return answers, [self._moved(facts[finite], group.state[finite], finite)] if finite.any() else []

    def _moved(self, facts: Facts, states: Floats, kept: Flags | None = None) -> Moved:
        keys = self.keys if kept is None else list(compress(self.keys, kept))
        tails = self.tails if kept is None else list(compress(self.tails, kept))
        return Moved(keys, self.group.model, facts, states, tails)


def _stepped(step: int, time: int, surprise: Floats, forecast: Forecast | None) -> Stepped:
    return Stepped(step, time, applied=1, filled=0, replayed=False, surprise=surprise.copy(), forecast=forecast)


class Fitting:
    """Wishes and covariates fitted to one model; what many have alike is fitted once."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._selections: dict[tuple[int | None, tuple[float, ...] | None], Selection] = {}
        self._no_covariates = fit_covariates(bundle, {}, 1)

    def selection(self, wish: Wish | None) -> Selection | None:
        """The part of a forecast that is wished for; raises InvalidRequest when the model does not have it."""
        if wish is None:
            return None
        if wish.future:
            return wish.under(self._bundle)
        kind = (wish.horizon, wish.levels)
        if kind not in self._selections:
            self._selections[kind] = wish.under(self._bundle)
        return self._selections[kind]

    def covariates(self, given: Named) -> Floats:
        """Covariates (1, K); raises InvalidRequest."""
        return fit_covariates(self._bundle, given, 1) if given else self._no_covariates


def batch(arena: Arena, members: Sequence[Plain]) -> Batch:
    """Plain observations, for which the same part of the forecast is wanted, as a batch."""
    slots = np.array([one.slot for one in members], np.intp)
    facts = arena.facts(slots)
    origin: Times = facts["start"] + facts["step"] * facts["frequency"]
    futures = [one.selection.future for one in members if one.selection]
    group = Group(
        model=arena.model,
        values=np.stack([one.observation.values for one in members]),
        time=origin[:, None],
        covariates=np.stack([one.covariates for one in members]),
        state=arena.gather(slots),
        origin=origin,
        future=np.stack(futures) if futures else None,
    )
    return Batch(
        places=[one.place for one in members],
        keys=[one.observation.key for one in members],
        facts=facts,
        tails=[arena.tail_of(one.slot) for one in members],
        selection=members[0].selection,
        group=group,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Single:
    """An observation that goes its way alone."""

    places: list[int]
    row: Row

    @property
    def group(self) -> Group:
        return self.row.group

    def finish(self, now: float) -> Finished:
        """The answer, and the session where it moved."""
        try:
            stepped, moved = self.row.finish(now)
        except Refusal as refusal:
            return [refusal], []
        return [stepped], moved


class Observations:
    """Observations of different sessions: plain ones in batches, others alone, and the refusals of those that cannot be taken."""

    def __init__(self, context: Context, observations: Sequence[Observation]) -> None:
        self._context = context
        self._observations = observations
        self.refused: dict[int, Refusal] = {}
        self.parts: list[Batch | Single] = []
        plain: set[int] = set()
        for arena, places, slots in self._by_arena():
            chosen = self._plain(arena, places, slots)
            plain.update(compress(places, chosen))
            self._add_batches(arena, list(compress(places, chosen)), slots[chosen])
        for place in range(len(observations)):
            if place not in plain and place not in self.refused:
                self._add_single(place)

    def _by_arena(self) -> list[tuple[Arena, list[int], Slots]]:
        """The observations of sessions that are in memory, by arena, with their slots."""
        by_arena: dict[int, tuple[Arena, list[int], list[int]]] = {}
        for place, found in enumerate(self._context.sessions.located([one.key for one in self._observations])):
            if isinstance(found, Refusal):
                self.refused[place] = found
                continue
            _, places, slots = by_arena.setdefault(id(found.arena), (found.arena, [], []))
            places.append(place)
            slots.append(found.slot)
        return [(arena, places, np.array(slots, np.intp)) for arena, places, slots in by_arena.values()]

    def _plain(self, arena: Arena, places: list[int], slots: Slots) -> Flags:
        """Which observations are the next step of the session that is meant, with as many values as it has channels.

        A session whose place in memory went to one that was located after it is none of them.
        """
        facts, C = arena.facts(slots), len(arena.model.bundle.channels)
        ones = [self._observations[place] for place in places]
        columns = (facts["step"], facts["start"] + facts["step"] * facts["frequency"], facts["incarnation"], slots)
        plain = [
            (one.place.step is None or one.place.step == step + 1)
            and (one.place.time is None or one.place.time == following)
            and (one.incarnation is None or one.incarnation == incarnation)
            and one.values.shape[1] == C
            and arena.slots.get(one.key) == slot
            for one, step, following, incarnation, slot in zip(ones, *(c.tolist() for c in columns), strict=True)
        ]
        return np.array(plain, np.bool_) & ~self._context.sessions.expired(facts)

    def _add_batches(self, arena: Arena, places: list[int], slots: Slots) -> None:
        """Plain observations by what is wanted to know after them."""
        self._context.sessions.touch(arena, slots)
        fitting = Fitting(arena.model.bundle)
        alike: dict[object, list[Plain]] = {}
        for place, slot in zip(places, slots.tolist(), strict=True):
            one = self._observations[place]
            try:
                selection = fitting.selection(one.wish)
                covariates = fitting.covariates(one.covariates)
            except Refusal as refusal:
                self.refused[place] = refusal
                continue
            wanted = selection and (selection.horizon, selection.levels)
            alike.setdefault(wanted, []).append(Plain(place, slot, one, covariates, selection))
        self.parts += [batch(arena, members) for members in alike.values()]

    def _add_single(self, place: int) -> None:
        one = self._observations[place]
        try:
            row = Row(self._context, one.key, one.values, one.place, one.covariates, one.wish, one.incarnation)
        except Refusal as refusal:
            self.refused[place] = refusal
        else:
            self.parts.append(Single([place], row))

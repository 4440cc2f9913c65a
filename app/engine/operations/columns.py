"""Single observations of many sessions, whoever sent them, judged and moved together.

Most of them are the next step of a resident session: these stay columns from here to the answer. The others, repeated or
beyond the next, with a missing value written for another number of channels, refused, go their way one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from app.engine.arena import Arena
from app.engine.arrays import Flags, Floats, Index, Times
from app.engine.forecast import Selection
from app.engine.group import Group
from app.engine.operations.base import Context
from app.engine.operations.observed import Part, Source
from app.engine.operations.rows import Row
from app.engine.operations.taken import Answer, Answers, Taken
from app.engine.records import Moved
from app.engine.residency import Residents
from app.engine.session import Facts, Key
from app.errors import Refusal


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The next steps of N resident sessions of one model, for which the same part of the forecast is wanted, or none."""

    places: list[int]
    keys: Sequence[Key]
    facts: Facts
    tails: list[bytes]
    selection: Selection | None
    group: Group

    def finish(self, now: float) -> tuple[Taken, list[Moved]]:
        """The answer to every row, and the sessions that moved. A row without a finite forecast stays."""
        facts, group, selection = self.facts.copy(), self.group, self.selection
        facts["step"] += 1
        facts["active_at"] = now
        step, time, surprise = facts["step"].tolist(), group.origin.tolist(), group.surprise[:, 0]
        if selection is None or group.quantiles is None:
            return Taken(step, time, surprise), [self._moved(facts, group.state)]
        finite: Flags = np.asarray(np.isfinite(group.quantiles).all(axis=(1, 2, 3)))
        taken = Taken(step, time, surprise, selection, selection.wanted(group.quantiles), finite)
        if taken.is_whole:
            return taken, [self._moved(facts, group.state)]
        return taken, [self._moved(facts[finite], group.state[finite], finite)] if finite.any() else []

    def _moved(self, facts: Facts, states: Floats, kept: Flags | None = None) -> Moved:
        keys = self.keys if kept is None else list(compress(self.keys, kept))
        tails = self.tails if kept is None else list(compress(self.tails, kept))
        return Moved(keys, self.group.model, facts, states, tails)


def batch(arena: Arena, keys: Sequence[Key], places: Index, slots: Index, values: Floats, part: Part) -> Batch:
    """Next steps, with values (N, C), as a batch."""
    facts = arena.facts(slots)
    origin: Times = facts["start"] + facts["step"] * facts["frequency"]
    group = Group(
        model=arena.model,
        values=values[:, None],
        time=origin[:, None],
        covariates=part.covariates[:, None],
        state=arena.gather(slots),
        origin=origin,
        future=part.future,
    )
    own = keys if len(keys) == len(places) else [keys[place] for place in places.tolist()]
    return Batch(places.tolist(), own, facts, arena.tails(slots), part.selection, group)


class Observations:
    """Observations of different sessions: next steps in batches, others alone, and the refusals of those that cannot be taken."""

    def __init__(self, context: Context, source: Source) -> None:
        self._context = context
        self._source = source
        self.batches: list[Batch] = []
        self.rows: dict[int, Row] = {}
        residents, self.refused = context.sessions.located(source.keys)
        followed = sum(self._add_batches(found) for found in residents)
        if followed + len(self.refused) < len(source.keys):
            self._add_rows()

    @property
    def groups(self) -> list[Group]:
        return [*(one.group for one in self.batches), *(row.group for row in self.rows.values())]

    def finish(self, now: float) -> tuple[Answers, list[Moved]]:
        """All answers, and the sessions that moved."""
        together, moved = [], []
        others: dict[int, Answer] = dict(self.refused)
        for one in self.batches:
            taken, moves = one.finish(now)
            together.append((one.places, taken))
            moved += moves
        for place, row in self.rows.items():
            others[place], moves = finished(row, now)
            moved += moves
        return Answers(len(self._source.keys), together, others), moved

    def _add_batches(self, found: Residents) -> int:
        """Bring the next steps among these sessions' observations into batches; how many are taken or refused by that."""
        arena, places, slots = found
        sessions, facts = self._context.sessions, arena.facts(slots)
        follows = self._source.follow(places, facts, len(arena.model.bundle.channels)) & ~sessions.expired(facts)
        if not follows.all():
            places, slots = places[follows], slots[follows]
        if not len(places):
            return 0
        sessions.residency.touch(arena, slots)
        refused: dict[int, Refusal] = {}
        values = self._source.values(places)
        for part in self._source.parts(places, arena.fitting, refused):
            at = slice(None) if len(part.where) == len(places) else part.where
            self.batches.append(batch(arena, self._source.keys, places[at], slots[at], values[at], part))
        self.refused |= refused
        return len(places) - len(refused)

    def _add_rows(self) -> None:
        batched = {place for one in self.batches for place in one.places}
        for place in range(len(self._source.keys)):
            if place in batched or place in self.refused:
                continue
            try:
                self.rows[place] = Row(self._context, self._source.one(place))
            except Refusal as refusal:
                self.refused[place] = refusal


def finished(row: Row, now: float) -> tuple[Answer, list[Moved]]:
    """The answer to an observation that went its way alone, and the session where it moved."""
    try:
        return row.finish(now)
    except Refusal as refusal:
        return refusal, []

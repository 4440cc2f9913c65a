"""New observations of sessions: many of one, or one of many. What was applied before is recognised and not applied again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from app.engine.operations.base import Context, Outcome, Work
from app.engine.operations.columns import Batch, Observations, finished
from app.engine.operations.observed import Columns, Observation, Singles
from app.engine.operations.rows import Row, Stepped
from app.engine.operations.taken import Answer, Answers
from app.engine.session import Key
from app.errors import Refusal


class TakeSteps(Observation, frozen=True):
    """Observations of one session: all are applied, or none."""

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    @property
    def is_single(self) -> bool:
        return len(self.values) == 1

    def begin(self, context: Context) -> Work[Stepped]:
        row = Row(context, self)

        def finish() -> Outcome[Stepped]:
            stepped, moved = row.finish(context.now())
            return Outcome(stepped, moved)

        return Work([row.group], finish)


@dataclass(frozen=True, slots=True)
class Together:
    """Single steps of different sessions: works that hold an answer for each of the places they are for, and refusals."""

    works: Sequence[tuple[Sequence[int], Work[Iterable[Answer]]]]
    refused: Mapping[int, Refusal]


def begin_together(context: Context, operations: Sequence[TakeSteps]) -> Together:
    """Judge single steps of different sessions; each work fails or succeeds by itself."""
    found = Observations(context, Singles(operations))
    batches = [(one.places, Work([one.group], _batch_finish(one, context))) for one in found.batches]
    rows = [((place,), Work([row.group], _row_finish(row, context))) for place, row in found.rows.items()]
    return Together([*batches, *rows], found.refused)


def _batch_finish(batch: Batch, context: Context) -> Callable[[], Outcome[Iterable[Answer]]]:
    def finish() -> Outcome[Iterable[Answer]]:
        taken, moved = batch.finish(context.now())
        return Outcome(taken.answers(), moved)

    return finish


def _row_finish(row: Row, context: Context) -> Callable[[], Outcome[Iterable[Answer]]]:
    def finish() -> Outcome[Iterable[Answer]]:
        answer, moved = finished(row, context.now())
        return Outcome([answer], moved)

    return finish


@dataclass(frozen=True, slots=True)
class TakeColumns(Columns):
    """One observation each of different sessions. Each is applied or refused by itself.

    All forecasts have the same levels: those asked for, or those of the first session's model. Where these are a part of what was
    asked, `all_keys` names the sessions of all of it, among which the first one is.
    """

    all_keys: Sequence[Key] = ()

    def part(self, begin: int, end: int) -> TakeColumns:
        """Some of the observations."""
        rows = slice(begin, end)
        return replace(
            self,
            keys=self.keys[rows],
            table=self.table[rows],
            steps=None if self.steps is None else self.steps[rows],
            covariates={name: column[rows] for name, column in self.covariates.items()},
            incarnations=None if self.incarnations is None else self.incarnations[rows],
            all_keys=self.all_keys or self.keys,
        )

    def begin(self, context: Context) -> Work[Answers]:
        found = Observations(context, self._with_levels(context))

        def finish() -> Outcome[Answers]:
            answers, moved = found.finish(context.now())
            return Outcome(answers, moved)

        return Work(found.groups, finish)

    def _with_levels(self, context: Context) -> TakeColumns:
        """The same, for the levels of the first session that there is, where none are asked for."""
        if self.wish is None or self.wish.levels is not None:
            return self
        for key in self.all_keys or self.keys:
            try:
                levels = context.sessions.locate(key).arena.model.bundle.quantiles
            except Refusal:
                continue
            return replace(self, wish=msgspec.structs.replace(self.wish, levels=levels))
        return self

"""New observations of sessions: many of one, or one of many. What was applied before is recognised and not applied again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from app.engine.arrays import Floats
from app.engine.forecast import Wish
from app.engine.inputs import Named
from app.engine.operations.base import Context, Outcome, Work
from app.engine.operations.rows import Batch, Row, Stepped, judge_row
from app.engine.session import Key
from app.engine.sessions import Moved
from app.engine.steps import NEXT, Place
from app.errors import Refusal


@dataclass(frozen=True, slots=True)
class TakeSteps:
    """T ≥ 1 observations (T, C) of one session with past covariates (T,) by name: all are applied, or none."""

    key: Key
    values: Floats
    place: Place = NEXT
    covariates: Named = field(default_factory=dict)
    wish: Wish | None = None

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    def begin(self, context: Context) -> Work[Stepped]:
        row = judge_row(context, self.key, self.values, self.place, self.covariates)
        selection = self.wish.under(row.model.bundle) if self.wish else None
        batch = Batch([row], selection if row.verdict.is_newest else None)

        def finish() -> Outcome[Stepped]:
            (answer,), moved = batch.finish(context.now())
            if isinstance(answer, Refusal):
                raise answer
            return Outcome(answer, moved)

        return Work([batch.group], finish)


@dataclass(frozen=True, slots=True)
class TakeColumns:
    """One observation each (N, C) of N different sessions, at step numbers where these are given.

    Each is applied or refused by itself. All forecasts have the same levels: those asked for, or those of the first
    session's model.
    """

    keys: Sequence[Key]
    values: Floats
    places: Sequence[Place]
    covariates: Named = field(default_factory=dict)
    wish: Wish | None = None

    def begin(self, context: Context) -> Work[list[Stepped | Refusal]]:
        answers: dict[int, Stepped | Refusal] = {}
        alike: dict[tuple[int, int, bool], list[tuple[int, Row]]] = {}
        for index in range(len(self.keys)):
            try:
                row = self._judge(context, index)
            except Refusal as refusal:
                answers[index] = refusal
            else:
                kind = (id(row.model), len(row.values), row.verdict.is_newest)
                alike.setdefault(kind, []).append((index, row))
        batches = self._batches(alike.values(), answers)

        def finish() -> Outcome[list[Stepped | Refusal]]:
            moved: list[Moved] = []
            for indices, batch in batches:
                found, moves = batch.finish(context.now())
                answers.update(zip(indices, found, strict=True))
                moved += moves
            return Outcome([answers[index] for index in range(len(self.keys))], moved)

        return Work([batch.group for _, batch in batches], finish)

    def _judge(self, context: Context, index: int) -> Row:
        covariates = {name: column[index : index + 1] for name, column in self.covariates.items()}
        return judge_row(context, self.keys[index], self.values[index : index + 1], self.places[index], covariates)

    def _batches(
        self, alike: Iterable[list[tuple[int, Row]]], answers: dict[int, Stepped | Refusal]
    ) -> list[tuple[list[int], Batch]]:
        """Rows that are alike as batches; those that a wish does not fit are answered."""
        batches = []
        wish = self.wish
        for members in alike:
            indices, rows = [index for index, _ in members], [row for _, row in members]
            bundle = rows[0].model.bundle
            try:
                selection = wish.under(bundle) if wish else None
            except Refusal as refusal:
                answers.update(dict.fromkeys(indices, refusal))
                continue
            if wish and selection:
                wish = replace(wish, levels=selection.levels)
            batches.append((indices, Batch(rows, selection if rows[0].verdict.is_newest else None)))
        return batches

"""New observations of sessions: many of one, or one of many. What was applied before is recognised and not applied again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from app.engine.arrays import Floats
from app.engine.forecast import Wish
from app.engine.inputs import NOTHING, Named
from app.engine.operations.base import Context, Outcome, Work
from app.engine.operations.columns import Batch, Observation, Observations, Single
from app.engine.operations.rows import Row, Stepped
from app.engine.records import Moved
from app.engine.session import Key
from app.engine.steps import NEXT, Place
from app.errors import Refusal


class TakeSteps(msgspec.Struct, frozen=True):
    """T ≥ 1 observations (T, C) of one session with past covariates (T,) by name: all are applied, or none.

    Where an `incarnation` is given, no other session of the same id is stepped.
    """

    key: Key
    values: Floats
    place: Place = NEXT
    covariates: Named = NOTHING
    wish: Wish | None = None
    incarnation: int | None = None

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    @property
    def is_single(self) -> bool:
        return len(self.values) == 1

    def begin(self, context: Context) -> Work[Stepped]:
        row = Row(context, self.key, self.values, self.place, self.covariates, self.wish, self.incarnation)

        def finish() -> Outcome[Stepped]:
            stepped, moved = row.finish(context.now())
            return Outcome(stepped, moved)

        return Work([row.group], finish)


@dataclass(frozen=True, slots=True)
class Together:
    """Single steps of different sessions: works that hold an answer for each of the places they are for, and refusals."""

    works: Sequence[tuple[Sequence[int], Work[list[Stepped | Refusal]]]]
    refused: Mapping[int, Refusal]


def begin_together(context: Context, operations: Sequence[TakeSteps]) -> Together:
    """Judge single steps of different sessions; each work fails or succeeds by itself."""
    taken = Observations(
        context,
        [Observation(one.key, one.values, one.place, one.covariates, one.wish, one.incarnation) for one in operations],
    )
    return Together([(part.places, Work([part.group], _finish(part, context))) for part in taken.parts], taken.refused)


def _finish(part: Batch | Single, context: Context) -> Callable[[], Outcome[list[Stepped | Refusal]]]:
    def finish() -> Outcome[list[Stepped | Refusal]]:
        answers, moved = part.finish(context.now())
        return Outcome(answers, moved)

    return finish


@dataclass(frozen=True, slots=True)
class TakeColumns:
    """One observation each (N, C) of N different sessions, with covariates (N,) by name.

    Each is applied or refused by itself. All forecasts have the same levels: those asked for, or those of the first
    session's model.
    """

    keys: Sequence[Key]
    values: Floats
    places: Sequence[Place]
    covariates: Named = field(default_factory=dict)
    wish: Wish | None = None
    incarnations: Sequence[int | None] | None = None

    def begin(self, context: Context) -> Work[list[Stepped | Refusal]]:
        wish = self._with_levels(context) if self.wish and self.wish.levels is None else self.wish
        incarnations = self.incarnations or [None] * len(self.keys)
        rows = enumerate(zip(self.keys, self.places, incarnations, strict=True))
        taken = Observations(
            context,
            [
                Observation(key, self.values[i : i + 1], place, self._covariates(i), wish, incarnation)
                for i, (key, place, incarnation) in rows
            ],
        )

        def finish() -> Outcome[list[Stepped | Refusal]]:
            answers: dict[int, Stepped | Refusal] = dict(taken.refused)
            moved: list[Moved] = []
            for part in taken.parts:
                found, moves = part.finish(context.now())
                answers.update(zip(part.places, found, strict=True))
                moved += moves
            return Outcome([answers[place] for place in range(len(self.keys))], moved)

        return Work([part.group for part in taken.parts], finish)

    def _covariates(self, i: int) -> Named:
        return {name: column[i : i + 1] for name, column in self.covariates.items()} if self.covariates else NOTHING

    def _with_levels(self, context: Context) -> Wish | None:
        """The wish, for the levels of the first session that there is."""
        assert self.wish is not None  # noqa: S101 - asked by `begin`
        for key in self.keys:
            try:
                return msgspec.structs.replace(
                    self.wish, levels=context.sessions.locate(key).arena.model.bundle.quantiles
                )
            except Refusal:
                continue
        return self.wish

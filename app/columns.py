"""The answers to columns as a list for each fact, null where a session was refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from app.answers import DIGITS, Clock, Fields, by_level, by_step, refusal_fields
from app.encoding import Numbers
from app.engine.arrays import Floats
from app.engine.operations.rows import Stepped
from app.engine.operations.taken import Answer, Answers, Taken
from app.errors import Refusal


def columns_fields(answers: Sequence[Answer], clock: Clock, *, with_forecast: bool) -> Fields:
    """The fields of the reply."""
    found = answers if isinstance(answers, Answers) else Answers(len(answers), (), dict(enumerate(answers)))
    whole = found.whole
    return _Lists(found).fields(clock, with_forecast=with_forecast) if whole is None else _whole_fields(whole, clock)


def _whole_fields(taken: Taken, clock: Clock) -> Fields:
    """Next steps of every session, as they come from the engine."""
    fields: Fields = {
        "step": taken.step,
        "time": list(map(clock, taken.time)),
        "replayed": [False] * len(taken.step),
        "surprise": Numbers(by_step(taken.surprise)),
    }
    if taken.selection is not None and taken.quantiles is not None:
        fields["levels"] = taken.selection.levels
        fields["quantiles"] = Numbers(_by_level_of_each(taken.quantiles))
    return fields


class _Lists:
    """The facts of any answers. What was taken together is entered as columns, because an object for each would take longer."""

    def __init__(self, answers: Answers) -> None:
        size = answers.size
        self._step: list[int | None] = [None] * size
        self._time: list[int | None] = [None] * size
        self._replayed: list[bool | None] = [None] * size
        self._surprise: list[list[float] | None] = [None] * size
        self._quantiles: list[Floats | None] = [None] * size
        self._levels: tuple[float, ...] = ()
        self._refused: dict[int, Refusal] = {}
        for places, taken in answers.together:
            if taken.is_whole:
                self._enter_together(places, taken)
            else:
                self._enter(dict(zip(places, taken.answers(), strict=True)))
        self._enter(answers.others)

    def fields(self, clock: Clock, *, with_forecast: bool) -> Fields:
        fields: Fields = {
            "step": self._step,
            "time": [None if time is None else clock(time) for time in self._time],
            "replayed": self._replayed,
            "surprise": _surprises(self._surprise),
        }
        if with_forecast:
            fields |= {"levels": self._levels, "quantiles": Numbers(self._quantiles)}
        errors = [{"index": index} | refusal_fields(one, clock) for index, one in sorted(self._refused.items())]
        return fields | ({"errors": errors} if errors else {})

    def _enter_together(self, places: Sequence[int], taken: Taken) -> None:
        for place, step, time, surprise in zip(places, taken.step, taken.time, taken.surprise.tolist(), strict=True):
            self._step[place] = step
            self._time[place] = time
            self._replayed[place] = False
            self._surprise[place] = surprise
        if taken.selection is not None and taken.quantiles is not None:
            self._levels = self._levels or taken.selection.levels
            for place, quantiles in zip(places, _by_level_of_each(taken.quantiles), strict=True):
                self._quantiles[place] = quantiles

    def _enter(self, answers: dict[int, Answer]) -> None:
        for place, answer in answers.items():
            if isinstance(answer, Stepped):
                self._enter_one(place, answer)
            else:
                self._refused[place] = answer

    def _enter_one(self, place: int, stepped: Stepped) -> None:
        self._step[place] = stepped.step
        self._time[place] = stepped.time
        self._replayed[place] = stepped.replayed
        self._surprise[place] = stepped.surprise[0].tolist()
        if stepped.forecast is not None:
            self._levels = self._levels or stepped.forecast.levels
            self._quantiles[place] = by_level(stepped.forecast.values)


def _by_level_of_each(quantiles: Floats) -> Floats:
    """Quantiles (N, H, C, levels) as (N, levels, H) for one channel, else as (N, levels, H, C)."""
    moved = quantiles.transpose(0, 3, 1, 2)
    return moved[..., 0] if moved.shape[3] == 1 else moved


def _surprises(rows: list[list[float] | None]) -> Any:
    """A number of each, or a number of each channel."""
    if all(row is None or len(row) == 1 for row in rows):
        return Numbers(np.array([np.nan if row is None else row[0] for row in rows], np.float32))
    return [
        None if row is None else Numbers(np.array(row, np.float32)) if len(row) > 1 else _number(*row) for row in rows
    ]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.{DIGITS}g}")

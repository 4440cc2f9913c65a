"""Operations that concern several workers: a part for each of them, and one answer from all of theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec
import numpy as np

from app.conversation import Refused
from app.engine.forecast import Forecast, at_levels
from app.engine.operations.base import Operation
from app.engine.operations.looking import ListSessions, Page
from app.engine.operations.rows import Stepped
from app.engine.operations.stepping import TakeColumns
from app.engine.task import Task
from app.errors import Internal, Refusal

Answers = Mapping[int, Task]  # by worker


@dataclass(frozen=True, slots=True)
class Parts:
    """What each worker does, and how their answers become one; that raises a Refusal where there is none."""

    operations: Mapping[int, Operation[Any]]
    join: Callable[[Answers], Any]


def parts(operation: Operation[Any], owners: Sequence[int], workers: int) -> Parts | None:
    """The parts of an operation whose keys have these owners, None for one that cannot be done in parts."""
    if isinstance(operation, ListSessions):
        return Parts(dict.fromkeys(range(workers), operation), partial(_page, operation.limit))
    places: dict[int, list[int]] = {}
    for place, owner in enumerate(owners):
        places.setdefault(owner, []).append(place)
    if isinstance(operation, TakeColumns):
        columns = {owner: _columns(operation, its) for owner, its in places.items()}
        return Parts(columns, partial(_rows, places, len(owners)))
    if isinstance(operation, Refused):
        refused = {owner: replace(operation, keys=_picked(operation.keys, its)) for owner, its in places.items()}
        return Parts(refused, _first_refusal)
    return None


def _columns(whole: TakeColumns, places: list[int]) -> TakeColumns:
    """The rows of one worker's sessions."""
    rows = np.array(places, np.intp)
    return replace(
        whole,
        keys=_picked(whole.keys, places),
        table=whole.table[rows],
        steps=None if whole.steps is None else _picked(whole.steps, places),
        covariates={name: column[rows] for name, column in whole.covariates.items()},
        incarnations=None if whole.incarnations is None else _picked(whole.incarnations, places),
    )


def _rows(places: Mapping[int, list[int]], count: int, answers: Answers) -> list[Stepped | Refusal]:
    """Every row's answer; where a worker refused its part, each of its rows is refused, and all raise the refusal of all."""
    if all(answer.error for answer in answers.values()):
        raise _refusal(next(iter(answers.values())))
    rows: dict[int, Stepped | Refusal] = {}
    for worker, answer in answers.items():
        its = places[worker]
        rows.update(zip(its, [_refusal(answer)] * len(its) if answer.error else answer.reply, strict=True))
    return _with_equal_levels([rows[place] for place in range(count)])


def _with_equal_levels(rows: list[Stepped | Refusal]) -> list[Stepped | Refusal]:
    """All forecasts at the levels of the first of them, as one worker alone would have made them.

    Where a model was not trained for these there is no forecast; the session has moved by now.
    """
    forecasts = (row.forecast for row in rows if isinstance(row, Stepped))
    levels = next((forecast.levels for forecast in forecasts if forecast), ())
    return [_at_levels(levels, row) if isinstance(row, Stepped) else row for row in rows]


def _at_levels(levels: tuple[float, ...], row: Stepped) -> Stepped:
    forecast = row.forecast
    if forecast is None or forecast.levels == levels:
        return row
    has_them = forecast.levels[0] <= levels[0] and levels[-1] <= forecast.levels[-1]
    values = at_levels(levels, forecast.values, forecast.levels) if has_them else None
    found = None if values is None else Forecast(forecast.start, forecast.frequency, levels, values)
    return msgspec.structs.replace(row, forecast=found)


def _page(limit: int, answers: Answers) -> Page:
    """The first sessions of all workers' pages. A page without those of one worker would be wrong, so there is none."""
    for answer in answers.values():
        if answer.error:
            raise _refusal(answer)
    pages: list[Page] = [answer.reply for answer in answers.values()]
    found = sorted((one for page in pages for one in page.sessions), key=lambda one: one[0])
    return Page(found[:limit], has_more=len(found) > limit or any(page.has_more for page in pages))


def _first_refusal(answers: Answers) -> None:
    raise _refusal(next(iter(answers.values())))


def _refusal(task: Task) -> Refusal:
    return task.error if isinstance(task.error, Refusal) else Internal("this is our mistake")


def _picked(items: Sequence[Any], places: list[int]) -> list[Any]:
    return [items[place] for place in places]

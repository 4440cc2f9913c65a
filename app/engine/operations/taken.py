"""What became of single observations: as columns while they are alike, one by one for whoever asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, overload

import numpy as np

from app.engine.arrays import Flags, Floats
from app.engine.forecast import Selection, not_finite
from app.engine.operations.rows import Stepped
from app.errors import Refusal

Answer = Stepped | Refusal


class Taken(NamedTuple):
    """N next steps of as many sessions, each with its `step`, its `time` and its `surprise` (N, C).

    Where a `selection` of the forecast is wanted, `quantiles` (N, horizon, C, levels) holds it, and `finite` says in which rows
    there is one; the other sessions have not moved.
    """

    step: list[int]
    time: list[int]
    surprise: Floats
    selection: Selection | None = None
    quantiles: Floats | None = None
    finite: Flags | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every session has moved."""
        return self.finite is None or bool(self.finite.all())

    def answers(self) -> list[Answer]:
        """The answer to each. Its arrays are copied, because a view of one row would keep all of them in memory."""
        surprises = [row.copy() for row in self.surprise[:, None]]
        if self.selection is None or self.quantiles is None or self.finite is None:
            return [
                Stepped(step, time, 1, 0, False, surprise, None)  # noqa: FBT003 - positional, as it is quicker
                for step, time, surprise in zip(self.step, self.time, surprises, strict=True)
            ]
        dated = self.selection.dated
        return [
            Stepped(step, time, 1, 0, False, surprise, dated(row.copy(), time)) if is_finite else not_finite()  # noqa: FBT003
            for step, time, surprise, row, is_finite in zip(
                self.step, self.time, surprises, self.quantiles, self.finite.tolist(), strict=True
            )
        ]


@dataclass(slots=True)
class Answers(Sequence[Answer]):
    """The answers to `size` observations: parts that were taken together, with their places, and what became of others."""

    size: int
    together: Sequence[tuple[Sequence[int], Taken]]
    others: dict[int, Answer]
    _each: list[Answer] | None = None

    @property
    def whole(self) -> Taken | None:
        """All of them as columns, where all were taken together and have moved."""
        if len(self.together) != 1 or len(self.together[0][0]) < self.size:
            return None
        taken = self.together[0][1]
        return taken if taken.is_whole else None

    @property
    def each(self) -> list[Answer]:
        """Each by itself."""
        if self._each is None:
            found = dict(self.others)
            for places, taken in self.together:
                found.update(zip(places, taken.answers(), strict=True))
            self._each = [found[place] for place in range(self.size)]
        return self._each

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.each)

    @overload
    def __getitem__(self, place: int) -> Answer: ...
    @overload
    def __getitem__(self, place: slice) -> list[Answer]: ...
    def __getitem__(self, place: int | slice) -> Answer | list[Answer]:
        return self.each[place]


def joined(parts: Sequence[Sequence[Answer]]) -> Answers:
    """The answers to parts as those to the whole, in their order: columns where each of them is columns."""
    wholes = [part.whole if isinstance(part, Answers) else None for part in parts]
    taken = _as_one([whole for whole in wholes if whole is not None]) if None not in wholes else None
    if taken is not None:
        return Answers(len(taken.step), [(range(len(taken.step)), taken)], {})
    together: list[tuple[Sequence[int], Taken]] = []
    others: dict[int, Answer] = {}
    begin = 0
    for part in parts:
        if isinstance(part, Answers):
            together += [([begin + place for place in places], one) for places, one in part.together]
            others.update({begin + place: answer for place, answer in part.others.items()})
        else:
            others.update(enumerate(part, begin))
        begin += len(part)
    return Answers(begin, together, others)


def _as_one(parts: Sequence[Taken]) -> Taken | None:
    """Next steps with forecasts of one form, or without any, one after the other; None for different forms."""
    forms = {None if one.selection is None else (one.selection.levels, one.selection.horizon) for one in parts}
    if len(forms) > 1 or len({one.surprise.shape[1:] for one in parts}) > 1:
        return None
    quantiles = [one.quantiles for one in parts if one.quantiles is not None]
    finite = [one.finite for one in parts if one.finite is not None]
    return Taken(
        step=list(chain.from_iterable(one.step for one in parts)),
        time=list(chain.from_iterable(one.time for one in parts)),
        surprise=np.concatenate([one.surprise for one in parts]),
        selection=parts[0].selection,
        quantiles=np.concatenate(quantiles) if quantiles else None,
        finite=np.concatenate(finite) if finite else None,
    )

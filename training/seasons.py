"""Which seasonal periods are expected of series: those of their frequency, and what the data show beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.errors import InputError
from training.periods import periods, reach

if TYPE_CHECKING:
    from training.dataset import Panel, Split

HOUR, DAY, WEEK, YEAR = 3_600, 86_400, 604_800, 31_557_600
LONGEST = 1_344  # steps: two of them are remembered by every session
CYCLES_SEEN = 3  # by the training part, at the least
MOST = 3  # periods in all
SAMPLED = 24  # series or channels that are looked at
ENOUGH = 16 * LONGEST  # of their last steps
AGREEING = 0.5  # of those looked at, which must show a period


@dataclass(frozen=True, slots=True)
class Seasons:
    """Seasonal periods in steps: those of the frequency, and those found in the data; or those that were `asked` for."""

    frequency: tuple[int, ...] = ()
    data: tuple[int, ...] = ()
    asked: tuple[int, ...] | None = None

    @property
    def steps(self) -> tuple[int, ...]:
        """All of them, ascending."""
        return tuple(sorted({*self.frequency, *self.data})) if self.asked is None else self.asked

    def __str__(self) -> str:
        if self.asked is not None:
            return f"seasons: {_listed(self.asked)}, as asked"
        parts = [f"{_listed(self.frequency)} from the frequency"] if self.frequency else []
        parts += [f"{_listed(self.data)} found in the data"] if self.data else []
        return f"seasons: {', '.join(parts) or 'none'}"


def expected_seasons(panel: Panel, split: Split, asked: Sequence[int] | None = None) -> Seasons:
    """The seasons of a panel, as its training part shows them; those asked for, where there are any.

    Raises InputError for one asked for that no series can show: every session would remember it all the same.
    """
    steps = max(split.validate_from)
    if asked is not None:
        if max(asked, default=0) >= steps:
            raise InputError(
                f"season {max(asked)} does not come twice in the {steps} steps of the training part; leave it out of --seasons"
            )
        return Seasons(asked=tuple(asked))
    natural = default_seasons(panel.frequency, steps)
    rows = [
        series.values[max(0, stop - ENOUGH) : stop, channel]
        for series, stop in zip(panel.series, split.validate_from, strict=True)
        for channel in range(len(panel.channels))
    ]
    chosen = np.unique(np.linspace(0, len(rows) - 1, SAMPLED).astype(int))
    shown = [list(periods(rows[i], natural, LONGEST, MOST - len(natural))) for i in chosen]
    return Seasons(natural, _agreed(shown, natural))


def default_seasons(frequency: int, steps: int) -> tuple[int, ...]:
    """Seasonal periods in steps, ascending, for a grid of `frequency` seconds of which `steps` are there to learn from.

    Days and weeks (and hours where a day is too long to remember), and years of weeks, months or quarters.
    """
    natural = (DAY, WEEK) if frequency < DAY else (WEEK, YEAR) if frequency <= WEEK else (YEAR,)
    if frequency < DAY and DAY // frequency > LONGEST:
        natural = (HOUR,)
    found = {round(period / frequency) for period in natural}
    return tuple(sorted(n for n in found if 2 <= n <= LONGEST and n * CYCLES_SEEN <= steps))


def _agreed(shown: Sequence[Sequence[int]], natural: Sequence[int]) -> tuple[int, ...]:
    """Periods that enough series show and that are no multiple or part of another one, the most common ones first."""
    votes = Counter(period for found in shown for period in set(found))
    accepted: list[int] = []
    for period, _ in votes.most_common():
        near = sum(any(abs(other - period) <= reach(period) for other in found) for found in shown)
        new = not any(_related(period, other) for other in (*natural, *accepted))
        if new and near >= AGREEING * len(shown) and len(accepted) < MOST - len(natural):
            accepted.append(period)
    return tuple(sorted(accepted))


def _related(one: int, other: int) -> bool:
    """Whether the longer of two periods is nearly a multiple of the shorter."""
    short, long = sorted((one, other))
    return abs(long - round(long / short) * short) <= short // 10


def _listed(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps)) or "none"

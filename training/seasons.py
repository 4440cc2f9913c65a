"""Which seasonal periods a series of a frequency is expected to have."""

from __future__ import annotations

HOUR, DAY, WEEK, YEAR = 3_600, 86_400, 604_800, 31_557_600
LONGEST = 1_344  # steps: two of them are remembered by every session
CYCLES_SEEN = 3  # by the training part, at the least


def default_seasons(frequency: int, steps: int) -> tuple[int, ...]:
    """Seasonal periods in steps, ascending, for a grid of `frequency` seconds of which `steps` are there to learn from.

    Days and weeks (and hours where a day is too long to remember), and years of weeks, months or quarters.
    """
    natural = (DAY, WEEK) if frequency < DAY else (WEEK, YEAR) if frequency <= WEEK else (YEAR,)
    if frequency < DAY and DAY // frequency > LONGEST:
        natural = (HOUR,)
    periods = {round(period / frequency) for period in natural}
    return tuple(sorted(n for n in periods if 2 <= n <= LONGEST and n * CYCLES_SEEN <= steps))

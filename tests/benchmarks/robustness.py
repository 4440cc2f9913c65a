"""What a served model does with series it was not trained for: the shipped model on the shipped data, spoiled in known ways.

Missing values, a level that jumps tenfold, a hundred thousand steps, constant, zero and negative series. Every case goes through the
exported graphs as a session does; the forecasts of the test part are scored against what really came. Ends with 1 where a bound is broken.

python -m tests.benchmarks.robustness [--models models] [--config configs/metro.toml]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.contract import METADATA_FILE, Bundle
from training.config import read_config
from training.data import read
from training.graphs import Graphs

MISSING, MOST_LOSS = 0.3, 1.2  # share of the values, and times the WQL of all of them
JUMP, PLACES, JUMP_DAYS = 10.0, 24, 21
RECOVERED = 1.2  # times the error without the jump, in the week after two of the longest seasons
STEPS, YEAR = 100_000, 52 * 168
DRIFT = 1.02  # times the error of a session that is a year old
FLAT = 0.01  # of a constant series' level, the most that forecasts are off it
DAY, WEEK = 24, 168

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Story:
    """One session: what it observes and what really comes (T,), with covariates (T, K), from a time on."""

    seen: Floats
    truth: Floats
    covariates: Floats
    start: int


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the table; `bound` is there where one must hold."""

    what: str
    value: float
    bound: float | None = None

    @property
    def holds(self) -> bool:
        return self.bound is None or self.value <= self.bound

    def __str__(self) -> str:
        bound = "" if self.bound is None else f"≤ {self.bound:g}"
        return f"| {self.what} | {self.value:.3f} | {bound} |"


class Model:
    """A bundle's graphs, fed with stories of one length side by side."""

    def __init__(self, directory: Path) -> None:
        bundle = Bundle.from_json((directory / METADATA_FILE).read_text())
        self.graphs, self.bundle = Graphs(directory, bundle), bundle
        self.levels = np.array(bundle.quantiles)
        self.ahead = [i for i, covariate in enumerate(bundle.covariates) if covariate.known_ahead]

    def forecasts(self, stories: list[Story], origins: range) -> Floats:
        """Quantiles (stories, origins, H, Q) after each of these numbers of observations."""
        seen, covariates = np.stack([s.seen for s in stories])[..., None], np.stack([s.covariates for s in stories])
        time = np.array([s.start for s in stories])[:, None] + self.bundle.frequency * np.arange(seen.shape[1])
        state, done, found = self.graphs.fresh(len(stories)), 0, []
        for origin in origins:
            part = slice(done, origin)
            state, done = self.graphs.encode(seen[:, part], time[:, part], covariates[:, part], state), origin
            future = covariates[:, origin : origin + self.bundle.horizon][..., self.ahead]
            found.append(self.graphs.decode(state, time[:, origin - 1], future)[:, :, 0])
        return np.stack(found, 1)

    def losses(self, stories: list[Story], origins: range) -> tuple[Floats, Floats, Floats]:
        """Twice the quantile loss (the mean over levels), the size of the truth and the median's error, (stories, origins) each,
        sums over the horizon.
        """
        quantiles = self.forecasts(stories, origins)
        ahead = np.array(origins)[:, None] + np.arange(self.bundle.horizon)
        truth = np.stack([story.truth[ahead] for story in stories])
        error = truth[..., None] - quantiles
        loss = 2 * np.maximum(self.levels * error, (self.levels - 1) * error).mean(-1)
        off = np.abs(error[..., len(self.levels) // 2])
        return np.nansum(loss, -1), np.nansum(np.abs(truth), -1), np.nansum(off, -1)


def missing(model: Model, story: Story, test: int) -> Iterator[Finding]:
    """Values gone for good, from the first one on."""
    random = np.random.default_rng(0)
    points = [random.random(len(story.seen)) < MISSING for _ in range(3)]
    days = [np.repeat(random.random(len(story.seen) // DAY + 1) < MISSING, DAY)[: len(story.seen)] for _ in range(3)]
    hidden = [
        Story(np.where(gone, np.nan, story.seen), story.truth, story.covariates, story.start)
        for gone in (*points, *days)
    ]
    loss, size, _ = model.losses([story, *hidden], range(test, len(story.seen) - model.bundle.horizon))
    wql = loss.sum(1) / size.sum(1)
    yield Finding("WQL with all values", wql[0])
    yield Finding("30 % of values missing, times that", wql[1:4].mean() / wql[0], MOST_LOSS)
    yield Finding("30 % of days missing, times that", wql[4:].mean() / wql[0])


def jump(model: Model, story: Story, test: int) -> Iterator[Finding]:
    """Everything tenfold from one step on, at many places; errors of the days after it, in units of those without."""
    last = len(story.seen) - JUMP_DAYS * DAY - 2 * model.bundle.horizon
    found = []
    for place in np.linspace(test, last, PLACES).astype(int).tolist():
        factor = np.where(np.arange(len(story.seen)) >= place, JUMP, 1).astype(np.float32)
        jumped = Story(story.seen * factor, story.truth * factor, story.covariates, story.start)
        losses = model.losses([story, jumped], range(place + 1, place + 1 + JUMP_DAYS * DAY))
        found.append([one.reshape(2, JUMP_DAYS, DAY).sum(-1) for one in losses])
    loss, _, off = np.sum(found, 0)
    days = np.split(np.arange(JUMP_DAYS), (1, 2, 7, 14))
    for name, (without, after), bound in (("median's error", off, RECOVERED), ("quantile loss", loss, RECOVERED)):
        for part in days:
            ratio = after[part].sum() / JUMP / without[part].sum()
            when = f"day {part[0] + 1}" if len(part) == 1 else f"days {part[0] + 1} to {part[-1] + 1}"
            what = f"level times {JUMP:g}, {when} after it: {name}, times that without"
            yield Finding(what, ratio, bound if part[0] >= 2 * WEEK // DAY else None)


def drift(model: Model, story: Story) -> Iterator[Finding]:
    """A year of whole weeks again and again; the last year beside the same of a session that is one year old."""
    year = slice(len(story.seen) - YEAR, len(story.seen))
    place = np.arange(STEPS) % YEAR

    def repeated(first: int) -> Story:
        values, known = story.seen[year][place[first:]], story.covariates[year][place[first:]]
        return Story(values, values, known, story.start + first * model.bundle.frequency)

    horizon, young = model.bundle.horizon, STEPS // YEAR * YEAR - 2 * YEAR
    old, new = repeated(0), repeated(young)
    scores = []
    for one, begin in ((old, young + YEAR), (new, YEAR)):
        loss, size, _ = model.losses([one], range(begin, begin + YEAR - horizon, 5))
        scores.append(loss.sum() / size.sum())
    yield Finding(
        f"after {young + YEAR:,} to {young + 2 * YEAR:,} steps, times the WQL after one year",
        scores[0] / scores[1],
        DRIFT,
    )


def plain(model: Model, story: Story) -> Iterator[Finding]:
    """Series that do not move, and the series with its sign turned."""
    T = 8 * WEEK
    known = story.covariates[:T]
    origins = range(2 * WEEK, T - model.bundle.horizon, 7)
    for level in (0.0, 1000.0, -1000.0, 1e-3, 1e6):
        flat = np.full(T, level, np.float32)
        found = model.forecasts([Story(flat, flat, known, story.start)], origins)
        yield Finding(f"constant {level:g}: the farthest quantile, in units of it", _farthest(found, level), FLAT)
    turned = Story(-story.seen[:T], -story.truth[:T], known, story.start)
    loss, size, _ = model.losses([Story(story.seen[:T], story.truth[:T], known, story.start), turned], origins)
    yield Finding(
        "all values negative: times the WQL of the same positive ones",
        (loss[1].sum() / size[1].sum()) / (loss[0].sum() / size[0].sum()),
    )


def _farthest(found: Floats, level: float) -> float:
    off = np.abs(found - level).max()
    return float("inf") if not np.isfinite(off) else float(off / (abs(level) or 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--config", type=Path, default=Path("configs/metro.toml"))
    asked = parser.parse_args()
    config = read_config(asked.config, {})
    data = read(config)
    series, test = data.panel.series[0], data.split.test_from[0]
    version = max((asked.models / config.name).iterdir(), key=lambda place: int(place.name))
    model = Model(version)
    story = Story(series.values[:, 0], series.values[:, 0], series.covariates, series.start)
    found = []
    sys.stdout.write(f"{version}\n\n| case | found | bound |\n|---|---|---|\n")
    for finding in (
        *missing(model, story, test),
        *jump(model, story, test),
        *drift(model, story),
        *plain(model, story),
    ):
        sys.stdout.write(f"{finding}\n")
        found.append(finding)
    return 0 if all(finding.holds for finding in found) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Coverage of the band between the levels .1 and .9 and its Winkler score, raw and corrected, for each series and bucket of horizons.

A model is fitted to the training part, its graphs step through the series, and every step of the test part is a forecast.

python -m tests.benchmarks.calibration --data DIR [--only etth1 | vic_elec | vic_elec_temperature] [--seconds 110]

DIR holds ett/ETTh1.parquet and vic_elec/vic_elec.parquet. Score: Winkler 1972, width + 10 times what lies outside.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from model.contract import Bundle, Covariate
from model.export import export
from model.parity import Session, uncorrected
from training.config import FitConfig
from training.dataset import Columns, Panel, read_panel, split_panel
from training.loop import Fit
from training.times import parse_time

BUCKETS = ((1, 1), (2, 6), (7, 24), (25, 48), (49, 96))
LOW, HIGH, TARGET = 0.1, 0.9, 0.8
ALLOWED_GAP, ALLOWED_WINKLER = 0.04, 1.015
BATCH = 64
HOLIDAY = Covariate("holiday", known_ahead=True)


@dataclass(frozen=True, slots=True)
class Case:
    """A data set and how it is split; `fences` are the times where validation and test part begin, `end` where the latter ends."""

    file: str
    columns: Columns
    horizon: int
    fences: tuple[str, str, str]
    choices: dict[str, int]


LOADS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
ETT = ("2017-06-26T00:00:00", "2017-10-24T00:00:00", "2018-02-21T00:00:00")  # 12, 4 and 4 months of 30 days
VIC = ("2013-12-31T13:00:00", "2014-06-30T14:00:00", "2014-12-31T13:00:00")
WEEKS = {"window": 672, "burn_in": 336}


def vic_elec(temperature: Covariate) -> Case:
    columns = Columns("time_utc", ("demand_mwh",), covariates=(temperature, HOLIDAY))
    return Case("vic_elec/vic_elec.parquet", columns, 48, VIC, WEEKS)


CASES = {
    "etth1": Case("ett/ETTh1.parquet", Columns("date", LOADS), 96, ETT, {"batch": 14}),
    "vic_elec": vic_elec(Covariate("temperature_c")),
    "vic_elec_temperature": vic_elec(Covariate("temperature_c", known_ahead=True)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--seconds", type=float, default=110, help="of processor time to train for")
    options = parser.parse_args()
    for name in [options.only] if options.only else CASES:
        with TemporaryDirectory() as directory:
            judge(name, options.data, options.seconds, Path(directory))


def judge(name: str, data: Path, seconds: float, directory: Path) -> None:
    case = CASES[name]
    panel = read_panel(data / case.file, case.columns)
    bundle = fit(case, panel, seconds, directory)
    first, stop = (panel.row(panel.series[0], parse_time(moment)) for moment in case.fences[1:])
    origins = np.arange(first - 1, min(stop, len(panel.series[0])) - case.horizon)
    states, surprise = replay(panel, bundle, directory, origins)
    scores = {
        kind: score(panel, bundle, origins, decode(panel, bundle, directory, origins, prepare(states, bundle)))
        for kind, prepare in (("raw", uncorrected), ("corrected", lambda states, _: states))
    }
    report(name, bundle, scores, surprise)


def fit(case: Case, panel: Panel, seconds: float, directory: Path) -> Bundle:
    fences = [parse_time(moment) for moment in case.fences[:2]]
    config = FitConfig(
        data=Path("unused.csv"), target=list(case.columns.target), horizon=case.horizon, steps=1_000, threads=1, **case.choices
    )  # fmt: skip
    training = Fit(panel, split_panel(panel, case.horizon, *fences), config)
    end = time.process_time() + seconds
    for progress in training:
        if time.process_time() > end and progress.validation is not None:
            break
    return export(training.best(), directory, name="test", version="1", created_at="", training={})


def replay(panel: Panel, bundle: Bundle, directory: Path, origins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States (n, S) after each origin and the surprise (n, C) of it: the past at once, then step by step."""
    encoder, step = (Session(directory / f"{graph}.onnx") for graph in ("encoder", "step"))
    series = panel.series[0]
    times = series.start + panel.frequency * np.arange(len(series))

    def encode(graph: Session, rows: slice, state: np.ndarray) -> list[np.ndarray]:
        known = {"covariates": series.covariates[None, rows]} if bundle.covariates else {}
        return graph({"values": series.values[None, rows], "time": times[None, rows], "state": state, **known})

    state = np.zeros((1, bundle.state_size), np.float32)
    for start in range(0, origins[0], 512):
        state, _ = encode(encoder, slice(start, min(start + 512, origins[0])), state)
    states, surprises = [], []
    for row in origins:
        state, surprise = encode(step, slice(row, row + 1), state)
        states.append(state[0])
        surprises.append(surprise[0, 0])
    return np.stack(states), np.stack(surprises)


def decode(panel: Panel, bundle: Bundle, directory: Path, origins: np.ndarray, states: np.ndarray) -> np.ndarray:
    """The lower and the upper end of the band, (n, H, C, 2)."""
    decoder, series = Session(directory / "decoder.onnx"), panel.series[0]
    edges = [bundle.quantiles.index(level) for level in (LOW, HIGH)]
    ahead = [i for i, covariate in enumerate(bundle.covariates) if covariate.known_ahead]
    bands = []
    for start in range(0, len(origins), BATCH):
        rows = origins[start : start + BATCH]
        feed = {"state": states[start : start + BATCH], "time": series.start + panel.frequency * rows}
        if ahead:
            feed["future_covariates"] = series.covariates[rows[:, None] + np.arange(1, bundle.horizon + 1)][..., ahead]
        bands.append(decoder(feed)[0][..., edges])
    return np.concatenate(bands)


def score(panel: Panel, bundle: Bundle, origins: np.ndarray, bands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and Winkler score for each channel and bucket, (C, buckets) each."""
    truth = panel.series[0].values[origins[:, None] + np.arange(1, bundle.horizon + 1)]
    low, high = bands[..., 0], bands[..., 1]
    outside = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    winkler, inside = high - low + outside / ((1 - TARGET) / 2), outside == 0
    return by_bucket(bundle.horizon, inside), by_bucket(bundle.horizon, winkler)


def by_bucket(horizon: int, values: np.ndarray) -> np.ndarray:
    return np.stack([values[:, a - 1 : b].mean((0, 1)) for a, b in BUCKETS if b <= horizon], 1)


def report(name: str, bundle: Bundle, scores: dict[str, tuple[np.ndarray, np.ndarray]], surprise: np.ndarray) -> None:
    (raw, raw_winkler), (corrected, winkler) = scores["raw"], scores["corrected"]
    print(f"\n{name}: gap to {TARGET} in coverage, raw -> corrected (Winkler score corrected / raw)")
    cells = [f"h {a}-{b}" for a, b in BUCKETS if b <= bundle.horizon]
    print(f"{'':12}" + "".join(f"{cell:>26}" for cell in cells))
    show: Callable[[int, int], str] = lambda c, b: (  # noqa: E731 - one cell of the table
        f"{raw[c, b] - TARGET:+.3f} -> {corrected[c, b] - TARGET:+.3f} ({winkler[c, b] / raw_winkler[c, b]:.3f})"
    )
    for c, channel in enumerate(bundle.channels):
        print(f"{channel:12}" + "".join(f"{show(c, b):>26}" for b in range(len(cells))))
    for kind, coverage in (("raw", raw), ("corrected", corrected)):
        gap = np.abs(coverage - TARGET)
        print(f"{kind:12} gap: mean {gap.mean():.3f}, largest {gap.max():.3f}")
    ratio = (winkler / raw_winkler).mean()
    held = np.abs(corrected - TARGET).max() <= ALLOWED_GAP and ratio <= ALLOWED_WINKLER
    print(
        f"Winkler score {ratio - 1:+.2%}: {'held' if held else 'NOT held'} (gap {ALLOWED_GAP}, {ALLOWED_WINKLER - 1:+.1%})"
    )
    shares = ", ".join(f"{(surprise < p).mean():.3f} below {p}" for p in (0.01, 0.05, 0.2, 0.5, 0.8))
    print(f"surprise: {shares}", flush=True)


if __name__ == "__main__":
    main()

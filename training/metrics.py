"""`metrics.json`: what a backtest found, as a document.

Point metrics are those of the quantile nearest the median. A metric that nothing was known for is null.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import Panel, Split
from training.evaluate import OURS, Backtest, Scored
from training.scores import Sums, band_coverage, bands, coverage, main_band, ratio, wql
from training.times import format_time

FEW = 60  # series and channels that are listed one by one
PLACES = 6  # significant digits
Document = dict[str, Any]


def document(backtest: Backtest, panel: Panel, split: Split) -> Document:
    """All metrics of a backtest."""
    forecasters = {name: _overall(backtest, scored) for name, scored in backtest.scored.items()}
    ours, rival = forecasters[OURS], forecasters[backtest.rival]
    first, last = min(series.start + i * panel.frequency for series, i in _begins(panel, split)), panel.end
    return {
        "test": {"from": format_time(first), "to": format_time(last), "origins": backtest.origins},
        "levels": list(backtest.levels),
        "mase_season": backtest.season,
        "rival": backtest.rival,
        "better_than_rival": {name: _gain(ours[name], rival[name]) for name in ("wql", "mase", "smape", "mae", "rmse")},
        "forecasters": forecasters,
        "by_horizon": {name: _by_horizon(scored.by_horizon, backtest) for name, scored in backtest.scored.items()},
        "series": _listed(backtest, panel),
    }


def _overall(backtest: Backtest, scored: Scored) -> Document:
    total = scored.by_horizon.total()
    found: Document = {
        "wql": plain(wql(total)[0]),
        "mase": plain(_mean(_mase(backtest, scored))),
        "smape": plain(100 * ratio(total.relative, total.count)[0]),
        "mae": plain(ratio(total.absolute, total.count)[0]),
        "rmse": plain(np.sqrt(ratio(total.squared, total.count))[0]),
        "scored": int(total.count[0]),
    }
    if total.value.shape[1] and scored is backtest.scored[OURS]:
        levels = backtest.levels
        found["coverage_by_level"] = plain(coverage(total)[0])
        found["bands"] = [_band(total, levels, low, high) for low, high in bands(levels)]
        main = main_band(levels)
        found["coverage"] = _band(total, levels, *main)["coverage"] if main else None
    return found


def _band(total: Sums, levels: tuple[float, ...], low: int, high: int) -> Document:
    width = ratio(total.value[:, high] - total.value[:, low], total.count)[0]
    return {
        "levels": [levels[low], levels[high]],
        "nominal": plain(levels[high] - levels[low]),
        "coverage": plain(band_coverage(total, low, high)[0]),
        "width": plain(width),
    }


def _by_horizon(sums: Sums, backtest: Backtest) -> Document:
    found: Document = {"wql": plain(wql(sums)), "mae": plain(ratio(sums.absolute, sums.count))}
    main = main_band(backtest.levels)
    if main and sums is backtest.scored[OURS].by_horizon:
        low, high = main
        found["coverage"] = plain(band_coverage(sums, low, high))
        found["width"] = plain(ratio(sums.value[:, high] - sums.value[:, low], sums.count))
    return found


def _listed(backtest: Backtest, panel: Panel) -> list[Document]:
    """Every series and channel against the rival, where there are few."""
    names = [(series.id, channel) for series in panel.series for channel in panel.channels]
    if len(names) > FEW:
        return []
    ours, rival = backtest.scored[OURS], backtest.scored[backtest.rival]
    main = main_band(backtest.levels)
    columns: dict[str, Any] = {
        "wql": wql(ours.by_series),
        "wql_rival": wql(rival.by_series),
        "mase": _mase(backtest, ours),
        "mase_rival": _mase(backtest, rival),
        "mae": ratio(ours.by_series.absolute, ours.by_series.count),
    }
    if main:
        columns["coverage"] = band_coverage(ours.by_series, *main)
    return [
        {"id": name, "channel": channel} | {key: plain(values[i]) for key, values in columns.items()}
        for i, (name, channel) in enumerate(names)
    ]


def _mase(backtest: Backtest, scored: Scored) -> NDArray[np.float64]:
    """By series and channel; NaN where the past never changed over a season."""
    return ratio(ratio(scored.by_series.absolute, scored.by_series.count), backtest.scale)


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else np.nan


def _gain(ours: float | None, rival: float | None) -> float | None:
    """By which share ours is lower."""
    return plain(1 - ours / rival) if ours is not None and rival else None


def _begins(panel: Panel, split: Split) -> list[tuple[Any, int]]:
    return list(zip(panel.series, split.test_from, strict=True))


def plain(value: Any) -> Any:
    """Numbers as JSON has them, to a few digits."""
    if isinstance(value, np.ndarray):
        return [plain(one) for one in value]
    return float(f"{value:.{PLACES}g}") if np.isfinite(value) else None

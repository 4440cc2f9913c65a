"""The report's plots of forecasts and of what the network does, each as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from training.scores import bands, middle
from training.seasons import DAY
from training.showcase import Drawn, Gates
from training.style import INK, MUTED, OURS, RIVAL, bare, figure, svg

FAINTEST, STRONGEST = 0.16, 0.34  # opacity of the widest and of the narrowest band
Floats = NDArray[np.float32]


def rolling(forecasts: Sequence[Drawn], levels: tuple[float, ...]) -> str:
    """Forecasts that follow each other, against the truth."""
    with figure(11, 3.6) as drawn:
        axes = drawn.subplots()
        for i, forecast in enumerate(forecasts):
            _fan(axes, forecast, levels, legend=i == 0)
        time = np.concatenate([forecast.time for forecast in forecasts])
        axes.plot(time, np.concatenate([forecast.truth for forecast in forecasts]), color=INK, lw=1.1, label="truth")
        for forecast in forecasts:
            axes.axvline(forecast.time[0], color=MUTED, lw=0.6, alpha=0.45, ls=(0, (2, 3)))
        axes.margins(x=0.005)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, borderaxespad=0.2)
        return svg(drawn, "Forecasts one after the other against the truth")


def fans(forecasts: Sequence[Drawn], levels: tuple[float, ...], rival: str) -> str:
    """Single forecasts with the past before them and what came."""
    columns = min(3, len(forecasts))
    rows = -(-len(forecasts) // columns)
    with figure(11, 2.7 * rows + 0.3) as drawn:
        grid = drawn.subplots(rows, columns, squeeze=False, sharey=True)
        for axes in grid.flat[len(forecasts) :]:
            axes.set_visible(False)
        for i, (axes, forecast) in enumerate(zip(grid.flat, forecasts, strict=False)):
            axes.plot(forecast.past_time, forecast.past, color=INK, lw=1.1)
            _fan(axes, forecast, levels, legend=i == 0)
            axes.plot(
                forecast.time, forecast.rival, color=RIVAL, lw=1.1, ls=(0, (4, 2)), label=rival if i == 0 else None
            )
            axes.plot(forecast.time, forecast.truth, color=INK, lw=1.1, label="truth" if i == 0 else None)
            axes.axvline(forecast.time[0], color=MUTED, lw=0.7, ls=(0, (2, 3)))
            axes.tick_params(axis="x", labelsize=8)
            axes.set_title(f"{forecast.time[0].item():%a %d %b %Y, %H:%M}")
        drawn.legend(loc="outside upper left", ncols=5)
        return svg(drawn, "Forecasts from several origins against the truth")


def gate_map(gates: Gates) -> str:
    """What the gates of every unit did over a stretch, below the values they saw."""
    with figure(11, 6.2) as drawn:
        above, update, reset = drawn.subplots(3, 1, sharex=True, height_ratios=(1, 2, 2))
        days = gates.time.astype(np.float64) / DAY  # days, matplotlib's unit of time
        above.plot(gates.time, gates.values, color=INK, lw=1.1)
        above.set_title("observed")
        above.margins(x=0)
        _heat(update, gates.update, days, "update gate: how much of the past is kept")
        _heat(reset, gates.reset, days, "reset gate: how much of the past the candidate sees")
        return svg(drawn, "Update and reset gate of every unit over a recent stretch")


def _heat(axes: Axes, values: Floats, days: NDArray[np.float64], title: str) -> None:
    """Values (T, units) in colour, units in the order of their means."""
    order = np.argsort(values.mean(0))
    extent = (days[0], days[-1], 0, values.shape[1])
    image = axes.imshow(values[:, order].T, aspect="auto", origin="lower", vmin=0, vmax=1, extent=extent)
    axes.set_title(title)
    axes.set_ylabel("unit")
    bare(axes)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.01, fraction=0.02, ticks=(0, 0.5, 1))
    bar.outline.set_visible(False)


def _fan(axes: Axes, forecast: Drawn, levels: tuple[float, ...], *, legend: bool) -> None:
    """Bands from the widest to the narrowest, and the median."""
    pairs = bands(levels)
    for low, high in pairs:
        alpha = FAINTEST + (STRONGEST - FAINTEST) * (low + 1) / max(1, len(pairs)) if len(pairs) > 1 else STRONGEST
        bounds = forecast.quantiles[:, low], forecast.quantiles[:, high]
        name = f"{100 * (levels[high] - levels[low]):.0f} % band" if legend and low in {0, len(pairs) - 1} else None
        axes.fill_between(forecast.time, *bounds, color=OURS, alpha=alpha, lw=0, label=name)
    median = forecast.quantiles[:, middle(levels)]
    axes.plot(forecast.time, median, color=OURS, lw=1.5, label="median forecast" if legend else None)

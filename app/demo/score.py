"""How well forecasts did, kept up to date as the truth arrives."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

BAND = (0.1, 0.9)


@dataclass(slots=True)
class Tally:
    """Sums over scored (forecast, truth) pairs."""

    loss: float = 0.0
    naive_loss: float = 0.0
    size: float = 0.0
    inside: int = 0
    count: int = 0

    def add(self, other: Tally, sign: int = 1) -> None:
        self.loss += sign * other.loss
        self.naive_loss += sign * other.naive_loss
        self.size += sign * other.size
        self.inside += sign * other.inside
        self.count += sign * other.count

    @property
    def wql(self) -> float:
        """Weighted quantile loss: 2·Σ pinball / Σ|y|, the mean over levels."""
        return self.loss / self.size if self.size else 0.0

    @property
    def naive_wql(self) -> float:
        return self.naive_loss / self.size if self.size else 0.0

    @property
    def coverage(self) -> float:
        """Share of truths inside the 80 % band."""
        return self.inside / self.count if self.count else 0.0


@dataclass(slots=True)
class Score:
    """Scores every forecast of one session when its truth arrives, overall and over the last `window` observations.

    The rival is the weekly seasonal naive forecast: what was observed a week (or, where missing, two weeks) before.
    """

    season: int
    window: int
    overall: Tally = field(default_factory=Tally)
    recent: Tally = field(default_factory=Tally)
    steps: int = 0
    _pending: dict[int, list[tuple[Mapping[str, float], float | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _latest: deque[Tally] = field(default_factory=deque)

    def expect(self, step: int, quantiles: Mapping[str, Sequence[float]], history: Sequence[float | None]) -> None:
        """A forecast made at `step` (the number of observations so far, all in `history`)."""
        horizon = len(next(iter(quantiles.values())))
        for h in range(1, horizon + 1):
            bands = {level: values[h - 1] for level, values in quantiles.items()}
            self._pending[step + h].append((bands, self._naive(history, step + h)))

    def observe(self, step: int, truth: float | None) -> None:
        """The observation of a step has arrived."""
        self.steps = step
        tally = Tally()
        for bands, naive in self._pending.pop(step, []):
            if truth is not None and naive is not None:
                tally.add(_scored(truth, bands, naive))
        self.overall.add(tally)
        self.recent.add(tally)
        self._latest.append(tally)
        if len(self._latest) > self.window:
            self.recent.add(self._latest.popleft(), -1)

    def _naive(self, history: Sequence[float | None], step: int) -> float | None:
        for back in (self.season, 2 * self.season):
            value = history[step - back - 1] if 0 < step - back <= len(history) else None
            if value is not None:
                return value
        return None


def _scored(truth: float, bands: Mapping[str, float], naive: float) -> Tally:
    """A point forecast's quantile loss over symmetric levels is its absolute error."""
    errors = [(float(level), truth - value) for level, value in bands.items()]
    loss = 2 * sum(max(level * e, (level - 1) * e) for level, e in errors) / len(errors)
    inside = bands[str(BAND[0])] <= truth <= bands[str(BAND[1])]
    return Tally(loss, abs(truth - naive), abs(truth), int(inside), 1)

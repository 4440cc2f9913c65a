"""Numbers that others published on the same protocols, and the check that our evaluators give them again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tests.benchmarks.accuracy import scores

ROUNDING = 0.0006  # published scores have three decimals
M4_SEASON = 24


@dataclass(frozen=True, slots=True)
class Published:
    """Scores of a method, by name, and where they were published."""

    method: str
    scores: dict[str, float]
    source: str


M4 = "M4 competition, Makridakis et al. 2020, https://github.com/Mcompetitions/M4-methods"
FEV = "fev-bench, https://github.com/autogluon/fev"
PUBLISHED: dict[str, tuple[Published, ...]] = {
    "m4-hourly": (
        Published("Naive2", {"smape": 18.383, "mase": 2.395, "owa": 1.0}, M4),
        Published("sNaive", {"smape": 13.912, "mase": 1.193, "owa": 0.627}, M4),
        Published("RNN", {"smape": 14.698, "mase": 3.048, "owa": 1.036}, M4),
        Published("FFORMA (245)", {"smape": 11.506, "mase": 0.819, "owa": 0.484}, M4),
        Published("ES-RNN (118, winner)", {"smape": 9.328, "mase": 0.893, "owa": 0.440}, M4),
        Published("238 (best of all entries)", {"smape": 8.913, "mase": 0.801, "owa": 0.410}, M4),
        Published("DeepAR", {"mase": 3.53, "wql": 0.133}, FEV),
        Published("PatchTST", {"mase": 1.40, "wql": 0.039}, FEV),
        Published("Chronos-Bolt-small", {"mase": 0.866, "wql": 0.020}, FEV),
        Published("Chronos-2", {"mase": 0.788, "wql": 0.023}, FEV),
        Published("TiRex", {"mase": 0.722, "wql": 0.020}, FEV),
    ),
    "etth1": (
        Published("GRU", {"mse": 1.135, "mae": 0.844}, "SegRNN, Lin et al. 2023, https://arxiv.org/abs/2308.11200"),
        Published("DLinear", {"mse": 0.375, "mae": 0.399}, "Zeng et al. 2023, https://arxiv.org/abs/2205.13504"),
        Published("PatchTST", {"mse": 0.370, "mae": 0.400}, "Nie et al. 2023, https://arxiv.org/abs/2211.14730"),
        Published("SegRNN", {"mse": 0.351, "mae": 0.392}, "Lin et al. 2023, https://arxiv.org/abs/2308.11200"),
    ),
    "ettm1": (
        Published("SegRNN", {"mse": 0.293, "mae": 0.354}, "Lin et al. 2023, https://arxiv.org/abs/2308.11200"),
        Published("PatchTST", {"mse": 0.290, "mae": 0.342}, "Nie et al. 2023, https://arxiv.org/abs/2211.14730"),
    ),
}


class EvaluatorError(AssertionError):
    """Our evaluator gives another score than the one that was published for the same forecasts."""


def check_evaluators(data: Path) -> list[str]:
    """Score the M4 submissions that lie with the data; a line for each, or EvaluatorError naming the first that differs."""
    train, test = (_by_series(data / f"m4/hourly_{part}.parquet", "t", "y") for part in ("train", "test"))
    scale = {name: scores.mase_scale(values[:, None], M4_SEASON) for name, values in train.items()}
    official = pl.read_csv(data / "m4/published_scores.csv")
    submissions = pl.read_parquet(data / "m4/hourly_forecasts.parquet").partition_by("submission", as_dict=True)
    lines = []
    for (method,), forecasts in sorted(submissions.items()):
        points = _grouped(forecasts, "h", "yhat")
        pairs = [(test[name][:, None], points[name][:, None], scale[name]) for name in test]
        ours = (
            float(np.mean([scores.smape(truth, point) for truth, point, _ in pairs])),
            float(np.mean([scores.mase(truth, point, unit) for truth, point, unit in pairs])),
        )
        row = official.row(by_predicate=pl.col("submission") == str(method), named=True)
        theirs = (row["sMAPE_Hourly"], row["MASE_Hourly"])
        if any(abs(a - b) > ROUNDING for a, b in zip(ours, theirs, strict=True)):
            raise EvaluatorError(f"M4-Hourly {method}: sMAPE and MASE {ours}, published {theirs}; mend the evaluator")
        lines.append(f"{method}: sMAPE {ours[0]:.3f}, MASE {ours[1]:.3f}, as published")
    return lines


def _by_series(path: Path, order: str, value: str) -> dict[str, scores.Floats]:
    return _grouped(pl.read_parquet(path), order, value)


def _grouped(table: pl.DataFrame, order: str, value: str) -> dict[str, scores.Floats]:
    groups = table.sort("id", order).group_by("id", maintain_order=True)
    return {str(name): rows[value].to_numpy().astype(np.float64) for (name,), rows in groups}

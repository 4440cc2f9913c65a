"""The history that a configuration names, in its parts. Without torch, so that bad input is refused at once."""

from __future__ import annotations

from dataclasses import dataclass

from model.contract import Covariate, checksum
from training.categories import settled
from training.config import FitConfig
from training.dataset import Columns, Panel, Split, read_panel, split_panel


@dataclass(frozen=True, slots=True)
class Data:
    """The history as it is learned from; `digest` is the file's SHA-256."""

    panel: Panel
    split: Split
    digest: str


def read(config: FitConfig) -> Data:
    """The panel that a configuration names, and its parts; raises InputError."""
    known = [Covariate(name) for name in config.covariates]
    ahead = [Covariate(name, known_ahead=True) for name in config.future_covariates]
    columns = Columns(config.time, config.target, config.series, (*known, *ahead), config.categories)
    panel = read_panel(config.data, columns, config.frequency)
    split = split_panel(panel, config.horizon, config.validate_from, config.test_from)
    return Data(settled(panel, split), split, checksum(config.data))

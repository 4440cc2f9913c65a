"""The bundle: what training hands to serving, and the one thing both sides import.

A bundle is a directory `<models>/<name>/<version>/` holding four ONNX graphs and `bundle.json`, which describes them.
This module knows names, shapes and metadata and nothing else: standard library only, so serving never imports torch.

Letters for shapes: B sessions, T steps, C channels, K covariates, K' covariates known ahead, H horizon, Q quantile
levels, S floats of state, L layers of every channel (C x layers), N units of a layer.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

FORMAT = 1
METADATA_FILE = "bundle.json"
METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
GRAPHS = ("encoder", "decoder", "step", "explain")
CELLS = ("gru", "gru-reset-after", "lstm", "rnn")
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VERSION_PATTERN = re.compile(r"[1-9][0-9]{0,8}")


class ContractError(ValueError):
    """A bundle does not keep the contract; the text names the file or field and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a graph: its name, element type and axes (a letter where the size is free)."""

    name: str
    dtype: str
    axes: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class StateSlice:
    """Where one named part of the state vector lies: `state[offset : offset + prod(shape)].reshape(shape)`."""

    offset: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def span(self) -> slice:
        return slice(self.offset, self.offset + self.size)


@dataclass(frozen=True, slots=True)
class Covariate:
    """A known influence beside the target; one that is `known_ahead` is also given for the steps being forecast.

    One with `categories` is of a kind and not of an amount: the graphs take the number of the category, from 0 on, and one more
    than the last for every other kind.
    """

    name: str
    known_ahead: bool = False
    categories: tuple[str, ...] = ()

    def number(self, kind: str | None) -> float:
        """What the graphs take for a kind; NaN for None, which is missing."""
        if kind is None:
            return math.nan
        return _numbers(self.categories).get(kind, len(self.categories))


@dataclass(frozen=True, slots=True)
class Calibration:
    """How bands correct themselves: the one between the levels `lower` and `upper` is followed, in buckets of horizons.

    A bucket holds the horizons after the bucket before it, up to the one of `ends` that is its own. Horizons beyond the last
    bucket are forecast as they were trained.
    """

    lower: float
    upper: float
    ends: tuple[int, ...]

    @property
    def target(self) -> float:
        """The share of observations that should lie inside the band."""
        return self.upper - self.lower


@dataclass(frozen=True, slots=True)
class Bundle:
    """What `bundle.json` says.

    `state` names the slices of the state vector. Every bundle has `count` (1,), the steps seen so far, `recent` (R, C), the
    last R raw observations, newest last, NaN where missing and meaningless where older than `count`, and `surprise` (C,),
    what the encoder said of the last one. One with a `calibration` has `coverage` (C, 2, buckets): for how many forecasts
    of each bucket the observation has come, and how many of these lay inside the band.
    `seasons` are the seasonal periods in steps. `training` records how the bundle was made (command, data, seed, …).
    """

    name: str
    version: str
    created_at: str
    frequency: int
    horizon: int
    quantiles: tuple[float, ...]
    channels: tuple[str, ...]
    covariates: tuple[Covariate, ...]
    cell: str
    layers: int
    units: int
    parameters: int
    seasons: tuple[int, ...]
    state_size: int
    state: Mapping[str, StateSlice]
    checksums: Mapping[str, str]
    calibration: Calibration | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def known_ahead(self) -> tuple[str, ...]:
        return tuple(covariate.name for covariate in self.covariates if covariate.known_ahead)

    @property
    def recent_steps(self) -> int:
        """R, how many raw observations the state remembers."""
        return self.state["recent"].shape[0]

    def inputs(self, graph: str) -> tuple[Tensor, ...]:
        """The inputs of one graph, in order."""
        if graph == "decoder":
            state, time = Tensor("state", "float32", ("B", self.state_size)), Tensor("time", "int64", ("B",))
            ahead = Tensor("future_covariates", "float32", ("B", self.horizon, len(self.known_ahead)))
            return (state, time, ahead) if self.known_ahead else (state, time)
        steps: str | int = 1 if graph == "step" else "T"
        values = Tensor("values", "float32", ("B", steps, len(self.channels)))
        time = Tensor("time", "int64", ("B", steps))
        covariates = Tensor("covariates", "float32", ("B", steps, len(self.covariates)))
        state = Tensor("state", "float32", ("B", self.state_size))
        return (values, time, covariates, state) if self.covariates else (values, time, state)

    def outputs(self, graph: str) -> tuple[Tensor, ...]:
        """The outputs of one graph, in order."""
        if graph == "decoder":
            return (Tensor("quantiles", "float32", ("B", self.horizon, len(self.channels), len(self.quantiles))),)
        if graph == "explain":
            axes = ("B", "T", len(self.channels) * self.layers, self.units)
            return tuple(Tensor(name, "float32", axes) for name in ("update_gate", "reset_gate", "hidden"))
        steps: str | int = 1 if graph == "step" else "T"
        surprise = Tensor("surprise", "float32", ("B", steps, len(self.channels)))
        return (Tensor("next_state", "float32", ("B", self.state_size)), surprise)

    def to_json(self) -> str:
        document = {"format": self.format} | {k: v for k, v in asdict(self).items() if k != "format"}
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Bundle:
        """Parse and check `bundle.json`; raises ContractError naming the field that is missing or wrong."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise ContractError(f"{METADATA_FILE} is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise ContractError(f"{METADATA_FILE} holds {type(document).__name__}, expected an object")
        if document.get("format") != FORMAT:
            raise ContractError(f"format is {document.get('format')!r}, this version reads {FORMAT}")
        try:
            bundle = cls(
                name=str(document["name"]),
                version=str(document["version"]),
                created_at=str(document["created_at"]),
                frequency=int(document["frequency"]),
                horizon=int(document["horizon"]),
                quantiles=tuple(float(level) for level in document["quantiles"]),
                channels=tuple(str(channel) for channel in document["channels"]),
                covariates=tuple(
                    Covariate(str(item["name"]), bool(item["known_ahead"]), tuple(map(str, item.get("categories", ()))))
                    for item in document["covariates"]
                ),
                cell=str(document["cell"]),
                layers=int(document["layers"]),
                units=int(document["units"]),
                parameters=int(document["parameters"]),
                seasons=tuple(int(season) for season in document["seasons"]),
                state_size=int(document["state_size"]),
                state={
                    str(name): StateSlice(int(item["offset"]), tuple(int(n) for n in item["shape"]))
                    for name, item in document["state"].items()
                },
                checksums={str(name): str(digest) for name, digest in document["checksums"].items()},
                calibration=_calibration(document["calibration"]),
                training=dict(document["training"]),
            )
        except KeyError as error:
            raise ContractError(f"{METADATA_FILE} lacks the field {error.args[0]!r}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise ContractError(f"{METADATA_FILE} has a field of the wrong type: {error}") from error
        bundle._check()
        return bundle

    def _check(self) -> None:
        positive = ("frequency", "horizon", "layers", "units", "state_size")
        expectations = [
            (NAME_PATTERN.fullmatch(self.name), f"name {self.name!r} is not a plain name"),
            (VERSION_PATTERN.fullmatch(self.version), f"version {self.version!r} is not a positive whole number"),
            *((getattr(self, name) >= 1, f"{name} is {getattr(self, name)}, expected 1 or more") for name in positive),
            (self.channels, "channels is empty"),
            (self.quantiles, "quantiles is empty"),
            (_increasing_levels(self.quantiles), f"quantiles {list(self.quantiles)} are not increasing within (0, 1)"),
            (self.cell in CELLS, f"cell {self.cell!r} is none of {', '.join(CELLS)}"),
            (self.state.get("count", StateSlice(0, ())).shape == (1,), "state lacks the slice count of shape [1]"),
            (self._remembers(), f"state lacks the slice recent of shape [R, {len(self.channels)}]"),
            (self._has("surprise"), f"state lacks the slice surprise of shape [{len(self.channels)}]"),
            (
                self._counts_coverage(),
                "calibration does not fit the quantiles, the horizon and the state slice coverage",
            ),
            *(
                (part.span.stop <= self.state_size and part.offset >= 0, f"state slice {name} lies outside the state")
                for name, part in self.state.items()
            ),
            *((f"{graph}.onnx" in self.checksums, f"checksums lack {graph}.onnx") for graph in GRAPHS),
        ]
        for holds, complaint in expectations:
            if not holds:
                raise ContractError(f"{METADATA_FILE}: {complaint}")

    def _has(self, name: str, *shape: int) -> bool:
        part = self.state.get(name)
        return part is not None and part.shape == (len(self.channels), *shape)

    def _counts_coverage(self) -> bool:
        if self.calibration is None:
            return True
        ends, levels = self.calibration.ends, (self.calibration.lower, self.calibration.upper)
        ascending = all(low < high for low, high in itertools.pairwise((0, *ends)))
        fits = bool(ends) and ends[-1] <= self.horizon and levels[0] < levels[1] and set(levels) <= set(self.quantiles)
        return ascending and fits and self._has("coverage", 2, len(ends))

    def _remembers(self) -> bool:
        recent = self.state.get("recent")
        return recent is not None and len(recent.shape) == 2 and recent.shape[1] == len(self.channels)


@lru_cache(maxsize=256)
def _numbers(categories: tuple[str, ...]) -> Mapping[str, int]:
    return {kind: number for number, kind in enumerate(categories)}


def kind_of(number: float) -> str | None:
    """The kind that a number stands for where kinds have numbers: as it is written, None where it is missing."""
    return None if math.isnan(number) else f"{number:.9g}"


def _calibration(document: Mapping[str, Any] | None) -> Calibration | None:
    if document is None:
        return None
    ends = tuple(int(end) for end in document["ends"])
    return Calibration(float(document["lower"]), float(document["upper"]), ends)


def _increasing_levels(levels: Sequence[float]) -> bool:
    fences = (0.0, *levels, 1.0)
    return all(low < high for low, high in itertools.pairwise(fences))


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""Every choice of a fit: one frozen object, read once from a TOML file and the command line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from model.contract import NAME_PATTERN
from training.errors import InputError, suggestion
from training.times import parse_duration, parse_time

MINUTES = re.compile(r"(?<=\d)m$")  # of a budget, which is never in months
SPELLED = WithJsonSchema({"type": "string"})  # a person writes text, which becomes a number
Duration = Annotated[int, BeforeValidator(lambda given: parse_duration(str(given))), SPELLED]
Budget = Annotated[int, BeforeValidator(lambda given: parse_duration(MINUTES.sub("min", str(given)))), SPELLED]
Moment = Annotated[int, BeforeValidator(lambda given: parse_time(str(given))), SPELLED]
File = Annotated[
    Path, Strict(strict=False)
]  # in TOML and on the command line a path is text, and several of anything a list
Names = Annotated[tuple[str, ...], Strict(strict=False)]
Levels = Annotated[tuple[float, ...], Strict(strict=False)]
Steps = Annotated[tuple[int, ...], Strict(strict=False)]


class FitConfig(BaseModel):
    """What to learn from, what to forecast, and the recipe. Times are epoch seconds, `frequency` is in seconds; `seasons`,
    `horizon`, `window` and `burn_in` are in steps of the data's grid.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    data: File = Field(description="the history: a .csv, .csv.gz or .parquet file, one row per time (and series)")
    time: str | None = Field(
        None,
        description="the column of times (without an offset they are UTC) or of row numbers; if left out, the one called "
        "time, or the order of rows",
    )
    target: Names = Field(min_length=1, description="the column to forecast, or several")
    series: str | None = Field(None, description="the column that names the series, where the file holds several")
    covariates: Names = Field((), description="columns known up to the present")
    future_covariates: Names = Field((), description="columns known over the horizon too, such as holidays")
    categories: Names = Field(
        (), description="which of these covariates are of a kind and not of an amount; columns without any number are"
    )
    frequency: Duration | None = Field(
        None, description="time between two rows, such as 1h; found in the data if left out"
    )
    horizon: int = Field(ge=1, le=10_000, description="how many steps ahead to forecast")
    quantiles: Levels = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), min_length=1, description="levels to forecast, ascending"
    )
    calibrate: bool = Field(
        True,  # noqa: FBT003 - pydantic's way to give a default
        description="let bands correct themselves by what is observed while serving",
    )
    seasons: Steps | None = Field(
        None, description="seasonal periods in steps; from the frequency and the data if left out"
    )
    validate_from: Moment | None = Field(
        None, description="when the part to validate on begins; a tenth of the data before the test part if left out"
    )
    test_from: Moment | None = Field(
        None, description="when the part to test on begins; the last fifth of the data if left out"
    )
    out: File = Field(Path("models"), description="the directory of models; the bundle goes to OUT/NAME/VERSION")
    name: str = Field("forecaster", pattern=f"^{NAME_PATTERN.pattern}$", description="the name of the model")

    cell: Literal["gru", "gru-reset-after", "lstm", "rnn"] = Field("gru", description="the recurrent cell")
    units: int = Field(64, ge=1, description="units of a layer")
    layers: int = Field(1, ge=1, description="recurrent layers")
    seed: int = Field(0, ge=0, description="of all that is random; the same seed gives the same model")
    ensemble: int = Field(
        1,
        ge=1,
        le=9,
        description="forecasters to fit, with this seed and the next ones, and to serve as one: their mean",
    )
    steps: int = Field(1_200, ge=1, description="optimiser steps, at the most")
    budget: Budget | None = Field(
        None, description="time that the fit may take, such as 2m or 1h; no limit if left out"
    )
    batch: int = Field(32, ge=1, description="windows of one channel in an optimiser step")
    learning_rate: float = Field(8e-3, gt=0, description="at its highest")
    window: int = Field(336, ge=2, description="steps of a training window")
    burn_in: int = Field(168, ge=0, description="steps of a window before its first forecast")
    patience: int = Field(5, ge=0, description="validations without a better one after which to stop early")
    threads: int = Field(1, ge=1, description="threads of the fit; more than one pays for wide networks alone")

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the fit reads."""
        return (
            *([self.time] if self.time else []),
            *([self.series] if self.series else []),
            *self.target,
            *self.covariates,
            *self.future_covariates,
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        repeated = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if repeated:
            raise ValueError(f"column {repeated[0]!r} is asked for twice; give each column one role")
        stray = [name for name in self.categories if name not in (*self.covariates, *self.future_covariates)]
        if stray:
            raise ValueError(f"categories name {stray[0]!r}, which is no covariate; add it to --covariates")
        if any(not low < high for low, high in pairwise((0.0, *self.quantiles, 1.0))):
            raise ValueError(f"quantiles {list(self.quantiles)} must ascend within 0 and 1")
        if self.seasons is not None and any(season < 2 for season in self.seasons):
            raise ValueError(f"seasons {list(self.seasons)} must each be 2 steps or longer")
        if self.burn_in >= self.window:
            raise ValueError(
                f"burn_in {self.burn_in} leaves nothing of a window of {self.window} steps; make it smaller"
            )
        return self


def read_config(path: Path | None, options: Mapping[str, Any]) -> FitConfig:
    """The choices of a TOML file, of which options (by field name) win; raises InputError naming what is wrong."""
    document = {} if path is None else _read_toml(path)
    for key in document:
        if key not in FitConfig.model_fields:
            raise InputError(f"{path}: unknown key {key!r}; {suggestion(key, FitConfig.model_fields)}")
    try:
        return FitConfig.model_validate({**document, **options})
    except ValidationError as error:
        raise InputError(_in_one_line(error, path, options)) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as TOML ({error}); correct --config") from error


def _in_one_line(error: ValidationError, path: Path | None, options: Mapping[str, Any]) -> str:
    """The first complaint, in the words of the place that the value came from."""
    first = error.errors(include_url=False)[0]
    text = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return text
    field = str(first["loc"][0])
    option = f"--{field.replace('_', '-')}"
    if first["type"] == "missing":
        return f"{option} is missing; give it, or {field} in the file of --config"
    place = option if field in options or path is None else f"{path}: {field}"
    if first["type"] == "value_error":
        return f"{place}: {text}"
    return f"{place}: {text[0].lower()}{text[1:]}; got {str(first['input'])[:60]!r}"

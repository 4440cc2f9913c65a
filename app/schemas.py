"""What REST clients send. Strict: unknown fields are refused, nothing is converted, and numbers are checked by `app.values`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

MOST_SERIES = 10_000
MOST_LEVELS = 99
LARGEST_STEP = 2**53
ID_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.:~@=+-]{0,127}$"

_NUMBER = {"type": ["number", "null"]}
_NUMBERS = {"type": "array", "items": _NUMBER}
_OBSERVATION = {"anyOf": [_NUMBER, _NUMBERS]}
_MANY = {"type": "array", "minItems": 1, "items": _OBSERVATION}
_NAMED = {"type": "object", "additionalProperties": _NUMBERS}

Values = Annotated[
    list[Any],
    Field(min_length=1),
    WithJsonSchema(_MANY | {"description": "T observations: numbers, or lists of C numbers; null is missing"}),
]
Named = Annotated[
    dict[str, list[Any]],
    WithJsonSchema(_NAMED | {"description": "numbers by the name of the covariate; absent ones are missing"}),
]
Time = Annotated[int | str, Field(description="RFC 3339 in whole seconds with an offset, or epoch seconds")]
Level = Annotated[float, Field(gt=0, lt=1)]
Levels = Annotated[list[Level], Field(min_length=1, max_length=MOST_LEVELS, description="quantile levels")]
Horizon = Annotated[int, Field(ge=1, le=LARGEST_STEP, description="steps to forecast, at most the model's horizon")]
SessionId = Annotated[str, Field(pattern=ID_PATTERN, description="letters, digits and _.:~@=+-, at most 128")]
Step = Annotated[int, Field(ge=1, le=LARGEST_STEP, description="number of the first of these steps")]


class Request(BaseModel):
    """A request body."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class ForecastOptions(Request):
    """Which forecast is wanted."""

    horizon: Horizon | None = None
    quantiles: Levels | None = None
    future_covariates: Named | None = None


class SeriesRequest(Request):
    """One series; without a start it ends at the present grid time."""

    id: Annotated[str, Field(max_length=200)] | None = None
    start: Time | None = None
    values: Values
    covariates: Named | None = None
    future_covariates: Named | None = None


class ForecastRequest(Request):
    """Series of any lengths to be forecast by one model."""

    model: str | None = None
    version: str | None = None
    series: Annotated[list[SeriesRequest], Field(min_length=1, max_length=MOST_SERIES)]
    horizon: Horizon | None = None
    quantiles: Levels | None = None


class HistoryRequest(Request):
    """The first observations of a session."""

    values: Values
    covariates: Named | None = None


class OpenRequest(Request):
    """A session to begin; without a start its history ends, or its step 1 is, at the present grid time."""

    id: SessionId | None = None
    model: str | None = None
    version: str | None = None
    start: Time | None = None
    history: HistoryRequest | None = None
    on_gap: Literal["reject", "missing"] = "reject"
    if_exists: Literal["fail", "return"] = "fail"
    metadata: dict[str, Any] | None = None


class StepsRequest(Request):
    """Observations of one session; `step` or `time` name the first of them, so that sending them twice applies them once."""

    values: Values
    step: Step | None = None
    time: Time | None = None
    covariates: Named | None = None
    forecast: bool | ForecastOptions = True


class PeekRequest(ForecastOptions):
    """A forecast wanted, after `values` as if they had been observed."""

    values: Values | None = None
    covariates: Named | None = None

"""What clients send, REST and WebSocket alike. Strict: unknown fields are refused, nothing is converted; numbers are checked by `app.values`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct

MOST_SERIES = 10_000
MOST_COLUMNS = 10_000
MOST_LEVELS = 99
MOST_LISTED = 1000
MOST_GATES = 1000
LARGEST_STEP = 2**53
END = r"$(?!\n)"  # in Python a dollar sign alone also stands before a last line break
ID_PATTERN = rf"^[A-Za-z0-9_][A-Za-z0-9_.:~@=+-]{{0,127}}{END}"

NUMBER = {"type": ["number", "null"]}
NUMBERS = {"type": "array", "items": NUMBER}
KINDS = {"type": "array", "items": {"type": ["string", "null"]}}
OBSERVATION = {"anyOf": [NUMBER, NUMBERS]}

Values = Annotated[
    list[Any],
    Meta(
        min_length=1,
        description="T observations: numbers, or lists of C numbers; null is missing",
        extra_json_schema={"items": OBSERVATION},
    ),
]
Named = Annotated[
    dict[str, list[Any]],
    Meta(
        description="by the name of the covariate, numbers or the names of its categories; absent ones are missing",
        extra_json_schema={"additionalProperties": {"anyOf": [NUMBERS, KINDS]}},
    ),
]
Moment = Annotated[
    int | str,
    Meta(description="RFC 3339 in whole seconds with an offset, or epoch seconds", examples=["2026-01-31T12:00:00Z"]),
]
Level = Annotated[float, Meta(gt=0, lt=1)]
Levels = Annotated[list[Level], Meta(min_length=1, max_length=MOST_LEVELS, description="quantile levels")]
Horizon = Annotated[int, Meta(ge=1, le=LARGEST_STEP, description="steps to forecast, at most the model's horizon")]
SessionId = Annotated[str, Meta(pattern=ID_PATTERN, description="letters, digits and _.:~@=+-, at most 128")]
SessionIds = Annotated[list[SessionId], Meta(min_length=1, max_length=MOST_COLUMNS)]
Incarnation = Annotated[
    str,
    Meta(
        pattern=f"^[0-9a-f]{{16}}{END}", description="only the session of this incarnation is meant, no other of its id"
    ),
]
Step = Annotated[int, Meta(ge=1, le=LARGEST_STEP, description="number of the first of these steps")]


class Request(Struct, forbid_unknown_fields=True, kw_only=True):
    """Something a client asks."""


class ForecastOptions(Request, kw_only=True):
    """Which forecast is wanted."""

    horizon: Horizon | None = None
    quantiles: Levels | None = None
    future_covariates: Named | None = None


class SeriesRequest(Request, kw_only=True):
    """One series; without a start it ends at the present grid time."""

    id: Annotated[str, Meta(max_length=200)] | None = None
    start: Moment | None = None
    values: Values
    covariates: Named | None = None
    future_covariates: Named | None = None


class ForecastRequest(Request, kw_only=True):
    """Series of any lengths to be forecast by one model."""

    model: str | None = None
    version: str | None = None
    series: Annotated[list[SeriesRequest], Meta(min_length=1, max_length=MOST_SERIES)]
    horizon: Horizon | None = None
    quantiles: Levels | None = None


class HistoryRequest(Request, kw_only=True):
    """The first observations of a session."""

    values: Values
    covariates: Named | None = None


class OpenRequest(Request, kw_only=True):
    """A session to begin; without a start its history ends, or its step 1 is, at the present grid time."""

    id: SessionId | None = None
    model: str | None = None
    version: str | None = None
    start: Moment | None = None
    history: HistoryRequest | None = None
    on_gap: Literal["reject", "missing"] = "reject"
    if_exists: Literal["fail", "return"] = "fail"
    metadata: dict[str, Any] | None = None


class StepsRequest(Request, kw_only=True):
    """Observations of one session; `step` or `time` name the first of them, so that sending them twice applies them once."""

    values: Values
    step: Step | None = None
    time: Moment | None = None
    covariates: Named | None = None
    forecast: bool | ForecastOptions = True
    incarnation: Incarnation | None = None


class ColumnsRequest(Request, kw_only=True):
    """One observation for each of many sessions, `SessionIds`, which are not read where the same list was read before."""

    sessions: Raw
    values: Values
    steps: Annotated[list[Step | None], Meta(max_length=MOST_COLUMNS)] | None = None
    covariates: Named | None = None
    forecast: bool | ForecastOptions = True


class PeekRequest(ForecastOptions, kw_only=True):
    """A forecast wanted, after `values` as if they had been observed."""

    values: Values | None = None
    covariates: Named | None = None


class ForkRequest(Request, kw_only=True):
    """A second session that goes on from where this one is."""

    id: SessionId | None = None


class ImportQuery(Request, kw_only=True):
    """Under which id a session comes back; its own where none is given."""

    id: SessionId | None = None


class CloseQuery(Request, kw_only=True):
    """Which session of this id is meant."""

    incarnation: Incarnation | None = None


class PeekQuery(Request, kw_only=True):
    """Which forecast is wanted; `quantiles` are levels with commas between."""

    horizon: Horizon | None = None
    quantiles: Annotated[str, Meta(description="levels with commas between, such as 0.1,0.5,0.9")] | None = None


class PageQuery(Request, kw_only=True):
    """Which sessions are wanted."""

    limit: Annotated[int, Meta(ge=1, le=MOST_LISTED)] = 100
    cursor: Annotated[str, Meta(pattern=ID_PATTERN, description="`next_cursor` of the page before")] | None = None
    prefix: Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_.:~@=+-]{{0,128}}{END}")] = ""


class HistoryQuery(Request, kw_only=True):
    """How many observations are wanted."""

    limit: Annotated[int, Meta(ge=1, le=LARGEST_STEP)] = 1000


class GatesQuery(Request, kw_only=True):
    """At how many steps the gates are wanted."""

    limit: Annotated[int, Meta(ge=1, le=MOST_GATES)] = 48


class NoQuery(Request, kw_only=True):
    """Nothing may stand behind the question mark."""

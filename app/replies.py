"""What clients get, REST and WebSocket alike."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from app.schemas import NUMBERS, OBSERVATION

Moment = Annotated[int | str, Meta(description="RFC 3339 in UTC; epoch seconds on a WebSocket")]
Observations = Annotated[Any, Meta(extra_json_schema={"type": "array", "items": OBSERVATION})]
Row = Annotated[Any, Meta(extra_json_schema=NUMBERS)]
Matrix = Annotated[Any, Meta(extra_json_schema={"type": "array", "items": NUMBERS})]
ByLevel = Annotated[
    Any,
    Meta(
        description="for each level, a number for every step of the horizon, or a list of C numbers",
        extra_json_schema={"type": "object", "additionalProperties": {"type": "array", "items": OBSERVATION}},
        examples=[{"0.1": [3.1, 2.9], "0.5": [4.0, 4.2], "0.9": [5.2, 5.9]}],
    ),
]


class Reply(Struct, kw_only=True):
    """Something a client gets."""


class ModelName(Reply, kw_only=True):
    """Which model."""

    name: str
    version: str


class ForecastReply(Reply, kw_only=True):
    """Quantiles of the steps from `start` on, one every `frequency` seconds."""

    start: Moment
    frequency: int
    horizon: int
    quantiles: ByLevel


class SeriesReply(ForecastReply, kw_only=True):
    """The forecast of one series, with the id that this had."""

    id: str | UnsetType = UNSET


class ForecastsReply(Reply, kw_only=True):
    """Forecasts in the order of the series."""

    model: ModelName
    forecasts: list[SeriesReply]


class SessionFacts(Reply, kw_only=True):
    """What is known of a session; an `incarnation` tells it from others that had its id before."""

    incarnation: str
    model: ModelName
    start: Moment
    frequency: int
    step: Annotated[int, Meta(description="observations so far")]
    next_time: Moment
    on_gap: str
    created_at: Moment
    metadata: dict[str, Any]
    forecast: ForecastReply | UnsetType = UNSET


class SessionReply(SessionFacts, kw_only=True):
    """A session."""

    id: str


class BucketCoverage(Reply, kw_only=True):
    """Forecasts from `first` to `last` steps ahead."""

    first: int
    last: int
    empirical: float | None
    n: int


class CalibrationReply(Reply, kw_only=True):
    """The share of observations that should lie inside the band between `lower` and `upper`, and the share of `n` that did,
    each time inside the band as it had been corrected by then.
    """

    lower: float
    upper: float
    target: float
    empirical: float | None
    n: int
    buckets: list[BucketCoverage]


class SessionDescription(SessionReply, kw_only=True):
    """A session with its last activity, whether it is in memory, and how its bands did; null where they do not correct
    themselves.
    """

    active_at: Moment
    resident: bool
    calibration: CalibrationReply | None


class SessionsReply(Reply, kw_only=True):
    """A page of sessions in the order of their ids; `next_cursor` is null on the last page."""

    sessions: list[SessionReply]
    next_cursor: str | None


class SteppedReply(Reply, kw_only=True):
    """What became of observations: `step` and `time` are those of the last one, `filled` were put before them as missing."""

    session: str
    step: int
    time: Moment
    applied: int
    filled: int
    replayed: bool
    surprise: Annotated[
        Observations,
        Meta(
            description="of each observation, its two-sided tail probability in the forecast made before it; null where it "
            "is missing, came first, or was repeated and is not the newest"
        ),
    ]
    forecast: ForecastReply | UnsetType = UNSET


class ColumnsReply(Reply, kw_only=True):
    """What became of one observation each, a list for each fact; null where a session was refused.

    `quantiles` are [sessions][levels][H].
    """

    step: list[int | None]
    time: list[Moment | None]
    replayed: list[bool | None]
    surprise: Annotated[Observations, Meta(description="of each observation; null where there is none")]
    levels: tuple[float, ...] | UnsetType = UNSET
    quantiles: Any = UNSET
    errors: list[dict[str, Any]] | UnsetType = UNSET


class PeekedReply(ForecastReply, kw_only=True):
    """A forecast from where a session is."""

    session: str
    step: int


class HistoryReply(Reply, kw_only=True):
    """Recent observations with their steps and times, newest last."""

    session: str
    step: list[int]
    time: list[Moment]
    values: Observations


class LayerGates(Reply, kw_only=True):
    """The gates of one layer of one channel's network, with a row for each step and a number for each unit.

    `memory_steps` says for each unit after how many steps 1/e of what it holds is left, `past_share` for each step how much of
    the newest hidden state stems from before it.
    """

    channel: str
    layer: int
    update_gate: Matrix
    reset_gate: Matrix
    memory_steps: Row
    past_share: Row


class GatesReply(Reply, kw_only=True):
    """The gates at recent steps, newest last, as in a session that began at step `replayed_from` without covariates."""

    session: str
    replayed_from: int
    step: list[int]
    time: list[Moment]
    layers: list[LayerGates]


class VersionReply(Reply, kw_only=True):
    """One version of a model; `metrics` is what its backtest said."""

    version: str
    created_at: str
    frequency: int
    horizon: int
    levels: tuple[float, ...]
    channels: tuple[str, ...]
    covariates: list[dict[str, Any]]
    seasons: tuple[int, ...]
    cell: str
    layers: int
    units: int
    parameters: int
    state_size: int
    recent_steps: int
    provider: str
    bit_exact: bool
    checksums: dict[str, str]
    metrics: Any


class ModelReply(Reply, kw_only=True):
    """A model with its versions, in ascending order."""

    name: str
    default_version: str
    versions: list[VersionReply]


class ModelsReply(Reply, kw_only=True):
    """The models that are served."""

    models: list[ModelReply]


class RefusedBundle(Reply, kw_only=True):
    """A bundle that is not served, and why."""

    bundle: str
    reason: str


class LiveReply(Reply, kw_only=True):
    """The process answers."""

    status: str


class ReadyReply(Reply, kw_only=True):
    """Whether requests are answered; `reasons` say why not."""

    status: str
    reasons: list[str]
    models: list[ModelName]
    refused: list[RefusedBundle]


class WorkerReply(Reply, kw_only=True):
    """One process of the service, with what it holds."""

    worker: int
    pid: int
    sessions: int
    resident: int


class InfoReply(Reply, kw_only=True):
    """What runs here; `worker` says which process answers this."""

    name: str
    version: str
    started_at: str
    python: str
    onnxruntime: str
    providers: list[str]
    durability: str
    sessions: int
    resident: int
    worker: int
    workers: list[WorkerReply]
    models: list[ModelName]
    refused: list[RefusedBundle]
    limits: dict[str, Any]


class Problem(Reply, kw_only=True):
    """Why a request was refused (RFC 9457); some codes add members of their own."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, str]] | UnsetType = UNSET

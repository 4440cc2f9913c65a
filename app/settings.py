"""How this process is set up: one frozen object, read once from the environment and the command line, and passed down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, DirectoryPath, Field, ValidationError

from app.engine.graphs import Provider
from app.engine.runtime import StepGraph
from app.stores.base import Durability
from app.stores.opening import Kind

PREFIX = "TIDEGATE_"
MOST_WORKERS = 64
REMEDIES = {
    "models": "give --models or TIDEGATE_MODELS a directory of bundles, such as models/ in Tidegate's repository, or fit a model into one: "
    "python -m training fit --data history.csv --time timestamp --target load --horizon 48 --out models"
}
Count = Annotated[int, Field(ge=1)]


class SettingsError(ValueError):
    """A setting is malformed; the text names it, its value and what is expected."""


class Settings(BaseModel):
    """Every setting, with its default. `docs/configuration.md` explains each."""

    # The default directory must exist too, so defaults are checked like everything else.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    models: Annotated[DirectoryPath, Field(description="directory of bundles, <name>/<version>/")] = Path("models")
    host: Annotated[str, Field(min_length=1, description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="port to listen on; 0 takes a free one")] = 8000
    workers: Annotated[
        int, Field(ge=1, le=MOST_WORKERS, description="processes that share the sessions among them")
    ] = 1
    provider: Annotated[Provider, Field(description="execution provider; auto takes CUDA where it is")] = "auto"
    step_graph: Annotated[StepGraph, Field(description="graph for single steps; auto takes encoder, on a GPU step")] = (
        "auto"
    )
    max_body_bytes: Annotated[Count, Field(description="largest request body")] = 8 * 2**20
    store: Annotated[Kind, Field(description="where sessions are kept: lmdb, on disk, or memory")] = "lmdb"
    data_dir: Annotated[Path, Field(description="directory of the session store, for one server")] = Path(
        "tidegate-data"
    )
    durability: Annotated[Durability, Field(description="when a step counts as kept: sync, interval or none")] = "sync"
    sync_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=3600,
            description="how often changes go into the store's file; with interval, the most that can be lost",
        ),
    ] = 1.0
    store_bytes: Annotated[int, Field(ge=2**20, description="largest size of the store's file")] = 2**40
    max_sessions: Annotated[Count, Field(description="sessions that may exist")] = 1_000_000
    max_resident: Annotated[Count, Field(description="sessions kept in memory ready to step")] = 100_000
    idle_seconds: Annotated[float, Field(gt=0, description="idle time after which a session expires")] = 30 * 86400.0
    tombstone_seconds: Annotated[float, Field(ge=0, description="how long it is remembered how a session ended")] = (
        7 * 86400.0
    )
    gap_limit: Annotated[int, Field(ge=0, description="steps filled as missing at once, where on_gap is missing")] = (
        1000
    )
    queue_limit: Annotated[Count, Field(description="requests that may wait for the engine")] = 10_000
    max_wait_seconds: Annotated[
        float, Field(gt=0, description="wait for the engine beyond which requests are refused")
    ] = 2.0
    tick_rows: Annotated[Count, Field(description="sessions computed as one batch")] = 256
    chunk_steps: Annotated[Count, Field(description="steps of a long sequence computed in one tick")] = 128
    tick_steps: Annotated[Count, Field(description="observations of all long sequences in one tick")] = 4096
    ws_frame_bytes: Annotated[Count, Field(description="largest WebSocket frame")] = 2**20
    ws_window: Annotated[Count, Field(description="requests of one socket that may be unanswered")] = 256
    ws_send_seconds: Annotated[float, Field(gt=0, description="how long a socket's reader may block")] = 10.0
    grace_seconds: Annotated[float, Field(gt=0, description="how long a shutdown waits for those being served")] = 10.0
    log_format: Annotated[Literal["text", "json"], Field(description="one line of text or of JSON each")] = "text"

    def share(self, limit: int) -> int:
        """One worker's share of what all of them may have."""
        return -(-limit // self.workers)

    @classmethod
    def read(cls, environ: Mapping[str, str], options: Mapping[str, str]) -> Self:
        """Settings from `TIDEGATE_*` variables and command-line options, which win; raises SettingsError."""
        variables = {name: f"{PREFIX}{name.upper()}" for name in cls.model_fields}
        given = {name: environ[variable] for name, variable in variables.items() if variable in environ}
        try:
            return cls.model_validate(given | dict(options))
        except ValidationError as error:
            raise SettingsError(_complaint(error, given, options)) from None


def _complaint(error: ValidationError, given: Mapping[str, str], options: Mapping[str, str]) -> str:
    """One line about the first setting that is wrong, those that were given before those that were not."""
    errors = error.errors(include_url=False)
    first = next((one for one in errors if one["loc"][0] in {*given, *options}), errors[0])
    name = str(first["loc"][0])
    source = f"--{name.replace('_', '-')}" if name in options or name not in given else f"{PREFIX}{name.upper()}"
    message = first["msg"][0].lower() + first["msg"][1:]
    remedy = f"; {REMEDIES[name]}" if name in REMEDIES else ""
    return f"{source} is {str(first['input'])!r}: {message}{remedy}"

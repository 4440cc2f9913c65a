"""The models that are served, with what their backtests said."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.endpoint import Call, Endpoint, Reply
from app.engine.registry import Served
from app.errors import ModelNotFound
from app.replies import ModelReply, ModelsReply, VersionReply

METRICS_FILE = "metrics.json"


async def list_models(call: Call) -> Reply:
    return Reply(ModelsReply(models=[_model(call, name) for name in call.service.models.served]))


async def show_model(call: Call) -> Reply:
    return Reply(_model(call, call.path["name"]))


def _model(call: Call, name: str) -> ModelReply:
    versions = call.service.models.versions(name)
    directory = call.service.settings.models / name
    return ModelReply(
        name=name,
        default_version=str(max(versions)),
        versions=[_version(served, directory) for served in versions.values()],
    )


def _version(served: Served, directory: Path) -> VersionReply:
    bundle = served.model.bundle
    return VersionReply(
        version=bundle.version,
        created_at=bundle.created_at,
        frequency=bundle.frequency,
        horizon=bundle.horizon,
        levels=bundle.quantiles,
        channels=bundle.channels,
        covariates=[asdict(one) for one in bundle.covariates],
        seasons=bundle.seasons,
        cell=bundle.cell,
        layers=bundle.layers,
        units=bundle.units,
        parameters=bundle.parameters,
        state_size=bundle.state_size,
        recent_steps=bundle.recent_steps,
        provider=served.model.provider,
        bit_exact=served.bit_exact,
        checksums=dict(bundle.checksums),
        metrics=_metrics(directory / bundle.version / METRICS_FILE),
    )


def _metrics(path: Path) -> Any:
    """What the backtest said, None where no such file is beside the graphs."""
    with suppress(OSError, ValueError):
        return json.loads(path.read_bytes())
    return None


ENDPOINTS = (
    Endpoint(
        "GET", "/v1/models", list_models, "The models that are served", "models", replies={200: ModelsReply}
    ),
    Endpoint(
        "GET", "/v1/models/{name}", show_model, "One model, with all its versions", "models",
        replies={200: ModelReply}, refusals=(ModelNotFound,),
    ),
)  # fmt: skip

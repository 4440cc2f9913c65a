"""How this process is: for load balancers, for Prometheus and for people."""

from __future__ import annotations

import platform
from importlib.metadata import version

import onnxruntime
from prometheus_client import CONTENT_TYPE_LATEST

from app.endpoint import Call, Endpoint, Reply
from app.engine.graphs import choose_providers
from app.replies import InfoReply, LiveReply, ModelName, ReadyReply, RefusedBundle
from app.service import Service
from app.times import format_time

LIMITS = (
    "max_body_bytes",
    "max_sessions",
    "max_resident",
    "gap_limit",
    "queue_limit",
    "max_wait_seconds",
    "ws_frame_bytes",
    "ws_window",
    "ws_send_seconds",
)


async def live(call: Call) -> Reply:
    status = 503 if call.service.is_dead else 200
    return Reply(LiveReply(status="dead" if call.service.is_dead else "alive"), status)


async def ready(call: Call) -> Reply:
    service = call.service
    reasons = service.reasons_not_ready()
    return Reply(
        ReadyReply(
            status="not ready" if reasons else "ready",
            reasons=reasons,
            models=_served(service),
            refused=_refused(service),
        ),
        503 if reasons else 200,
    )


async def info(call: Call) -> Reply:
    service = call.service
    settings = service.settings
    return Reply(
        InfoReply(
            name="tidegate",
            version=version("tidegate"),
            started_at=format_time(service.started_at),
            python=platform.python_version(),
            onnxruntime=onnxruntime.__version__,
            providers=choose_providers(settings.provider),
            durability=service.store.durability,
            sessions=service.sessions.total,
            resident=service.sessions.resident,
            models=_served(service),
            refused=_refused(service),
            limits={name: getattr(settings, name) for name in LIMITS},
        )
    )


async def metrics(call: Call) -> Reply:
    return Reply(call.service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _served(service: Service) -> list[ModelName]:
    bundles = [served.model.bundle for served in service.models]
    return [ModelName(name=bundle.name, version=bundle.version) for bundle in bundles]


def _refused(service: Service) -> list[RefusedBundle]:
    return [RefusedBundle(bundle=one.bundle, reason=one.reason) for one in service.models.refused]


ENDPOINTS = (
    Endpoint(
        "GET", "/health/live", live, "Whether the process works", "health", replies={200: LiveReply, 503: LiveReply}
    ),
    Endpoint(
        "GET", "/health/ready", ready, "Whether requests should be sent here", "health",
        replies={200: ReadyReply, 503: ReadyReply},
    ),
    Endpoint(
        "GET", "/v1/info", info, "Versions, durability, limits, and bundles that were refused", "health",
        replies={200: InfoReply},
    ),
    Endpoint("GET", "/metrics", metrics, "Counters for Prometheus", "health", replies={200: None}),
)  # fmt: skip

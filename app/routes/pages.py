"""The first page: what is served here, how it is, and how to begin."""

from __future__ import annotations

from html import escape

from app.endpoint import Call, Endpoint, Reply
from app.engine.registry import Served
from app.markup import page
from app.service import Service


async def landing(call: Call) -> Reply:
    service = call.service
    refused = "".join(
        f'<p class="bad"><code>{escape(one.bundle)}</code> is not served: {escape(one.reason)}</p>'
        for one in service.models.refused
    )
    reasons = "".join(f'<p class="bad">Not ready: {escape(reason)}.</p>' for reason in service.reasons_not_ready())
    return page(
        "Tidegate",
        "Stateful GRU forecasts as a service: one observation in, a probabilistic forecast out.",
        '<nav><a href="/docs">API</a><a href="/v1/models">Models</a><a href="/v1/sessions">Sessions</a>'
        '<a href="/v1/info">Info</a><a href="/health/ready">Health</a><a href="/metrics">Metrics</a></nav>'
        f"{reasons}{_models(service)}{refused}{_now(service)}{_example(call)}",
    )


def _models(service: Service) -> str:
    rows = "".join(map(_model, service.models))
    titles = "".join(f"<th>{title}" for title in ("name", "version", "one step", "forecasts", "channels", "covariates"))
    return f"<h2>Models</h2><section class=card><table><tr>{titles}</tr>{rows}</table></section>"


def _model(served: Served) -> str:
    one = served.model.bundle
    known = ", ".join(covariate.name for covariate in one.covariates) or "none"
    cells = (
        f"<a href='/v1/models/{escape(one.name)}'><code>{escape(one.name)}</code></a>",
        one.version,
        _every(one.frequency),
        f"{one.horizon} steps",
        escape(", ".join(one.channels)),
        escape(known),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _now(service: Service) -> str:
    facts = {
        "sessions": f"{service.sessions.total:,}",
        "in memory": f"{service.sessions.resident:,}",
        "open sockets": f"{len(service.sockets):,}",
        "requests waiting": f"{service.batcher.waiting:,}",
        "durability": service.store.durability,
    }
    cells = "".join(f"<div><b>{value}</b>{name}</div>" for name, value in facts.items())
    return f"<h2>Now</h2><section class='card facts'>{cells}</section>"


def _example(call: Call) -> str:
    """Two commands that work on this server as it is."""
    bundle = next((served.model.bundle for served in call.service.models), None)
    if bundle is None:
        return ""
    address = (call.header(b"host") or b"localhost").decode("latin-1")
    one = "1" if len(bundle.channels) == 1 else str([1] * len(bundle.channels))
    post = f"curl -s {address}/v1/sessions%s -H 'content-type: application/json' -d '%s'"
    lines = (
        post % ("", f'{{"id": "first", "model": "{bundle.name}", "if_exists": "return"}}'),
        post % ("/first/steps", f'{{"values": [{one}]}}'),
        f"curl -s {address}/v1/sessions/first/forecast",
    )
    return f"<h2>Begin</h2><pre>{escape(chr(10).join(lines))}</pre>"


def _every(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


ENDPOINTS = (Endpoint("GET", "/", landing, "What is served here", "pages"),)

"""Pages for people: what is served here, and the API. They load nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.resources import files

import msgspec

from app.endpoint import Call, Endpoint, Reply
from app.openapi import Document

HTML = "text/html; charset=utf-8"
SAFE = ((b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),)


async def landing(call: Call) -> Reply:
    service = call.service
    rows = "".join(
        f"<tr><td><code>{escape(one.name)}</code></td><td>{one.version}</td><td>{_every(one.frequency)}</td>"
        f"<td>{one.horizon} steps</td><td>{escape(', '.join(one.channels))}</td></tr>"
        for one in (served.model.bundle for served in service.models)
    )
    refused = "".join(
        f'<p class="bad"><code>{escape(one.bundle)}</code> is not served: {escape(one.reason)}</p>'
        for one in service.models.refused
    )
    reasons = "".join(f'<p class="bad">Not ready: {escape(reason)}.</p>' for reason in service.reasons_not_ready())
    return _page(
        "Tidegate",
        "Stateful GRU forecasts as a service: one observation in, a probabilistic forecast out.",
        '<nav><a href="/docs">API</a><a href="/v1/models">Models</a><a href="/v1/info">Info</a>'
        '<a href="/health/ready">Health</a><a href="/metrics">Metrics</a></nav>'
        f"{reasons}<h2>Models</h2><section class=card><table><tr><th>name<th>version<th>one step<th>forecasts<th>channels"
        f"</tr>{rows}</table></section>{refused}<h2>Now</h2><section class=card><p>{service.sessions.total:,} sessions, "
        f"{service.sessions.resident:,} of them in memory.</p></section>",
    )


async def docs(call: Call) -> Reply:
    document: Document = call.scope["app"].openapi()
    operations: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            operations.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    calls = "".join(f"<h2>{escape(tag)}</h2>{''.join(ones)}" for tag, ones in operations.items())
    schemas = "".join(
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code>"
        f"<span>{escape(schema.get('description', ''))}</span></summary>{_json(schema)}</details>"
        for name, schema in document["components"]["schemas"].items()
    )
    return _page(
        "Tidegate API",
        f"Version {document['info']['version']}. The same as a document for tools: /openapi.json",
        '<nav><a href="/">Start</a><a href="/openapi.json">openapi.json</a></nav>'
        f"{calls}<h2>stream</h2><section class=card><p><code>/v1/stream</code> is a WebSocket for many sessions at once, "
        "in JSON (subprotocol <code>tidegate.v1.json</code>) or MessagePack (<code>tidegate.v1.msgpack</code>): "
        "<code>docs/api.md</code> lists its frames.</p></section>"
        f"<h2>documents</h2>{schemas}",
    )


async def openapi_document(call: Call) -> Reply:
    return Reply(call.scope["app"].openapi())


def _operation(method: str, path: str, operation: Document) -> str:
    parts = [_parameters(operation["parameters"])]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>body</h3><p><code>{escape(media)}</code> {_link(content['schema'])}</p>")
    rows = "".join(
        f"<tr><td>{status}</td><td>{_answer(answer)}</td><td>{escape(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<details><summary><code class=method>{method.upper()}</code><code>{escape(path)}</code>"
        f"<span>{escape(operation['summary'])}</span></summary>{''.join(parts)}<h3>answers</h3><table>{rows}</table></details>"
    )


def _parameters(parameters: Iterable[Document]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td><td>{_json(one['schema'])}</td></tr>"
        for one in parameters
    )
    return f"<h3>parameters</h3><table>{rows}</table>" if rows else ""


def _answer(answer: Document) -> str:
    return " ".join(_link(content["schema"]) for content in answer.get("content", {}).values())


def _link(schema: Document) -> str:
    if "$ref" not in schema:
        return f"<code>{escape(str(schema.get('format', schema['type'])))}</code>"
    name = escape(schema["$ref"].rpartition("/")[2])
    return f"<a href='#{name}'><code>{name}</code></a>"


def _json(value: Document) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return f"<pre>{escape(text)}</pre>"


def _page(title: str, lead: str, body: str) -> Reply:
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_style()}</style><main><h1>{title}</h1>"
        f'<p class="lead">{escape(lead)}</p>{body}</main></html>'
    )
    return Reply(text.encode(), headers=SAFE, media_type=HTML)


@cache
def _style() -> str:
    return files("app").joinpath("static", "page.css").read_text(encoding="utf-8")


def _every(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


ENDPOINTS = (
    Endpoint("GET", "/", landing, "What is served here", "pages"),
    Endpoint("GET", "/docs", docs, "The API for people", "pages"),
    Endpoint("GET", "/openapi.json", openapi_document, "The API for tools", "pages"),
)

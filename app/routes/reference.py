"""The API for people and for tools, made from the endpoints and frames that answer."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from types import UnionType
from typing import Any, get_args

import msgspec

from app.endpoint import Call, Endpoint, Reply
from app.frames import AnyFrame, ServerFrame
from app.markup import json, page, prose
from app.openapi import Document

OWN_FIELDS = ("op", "ref")


async def docs(call: Call) -> Reply:
    document: Document = call.scope["app"].openapi()
    operations: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            operations.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    calls = "".join(f"<h2>{escape(tag)}</h2>{''.join(ones)}" for tag, ones in operations.items())
    schemas = "".join(
        f"<details id='{escape(name)}'><summary><code class=path>{escape(name)}</code>"
        f"<span>{prose(schema.get('description', ''))}</span></summary>{json(schema)}</details>"
        for name, schema in document["components"]["schemas"].items()
    )
    return page(
        "Tidegate API",
        f"Version {document['info']['version']}. Click on a call to see what it takes and answers.",
        f'<nav><a href="/">Start</a><a href="/openapi.json">openapi.json</a></nav>{calls}{_stream()}<h2>documents</h2>{schemas}',
    )


async def openapi_document(call: Call) -> Reply:
    return Reply(call.scope["app"].openapi())


def _operation(method: str, path: str, operation: Document) -> str:
    parts = [_parameters(operation["parameters"])]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>body</h3><p><code>{escape(media)}</code> {_link(content['schema'])}</p>")
    rows = "".join(
        f"<tr><td>{status}</td><td>{_answer(answer)}</td><td>{prose(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<details><summary><code class=method>{method.upper()}</code><code class=path>{escape(path)}</code>"
        f"<span>{prose(operation['summary'])}</span></summary>{''.join(parts)}<h3>answers</h3><table>{rows}</table></details>"
    )


def _parameters(parameters: Iterable[Document]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}</td><td>{prose(_kind(one['schema']))}</td></tr>"
        for one in parameters
    )
    return f"<h3>parameters</h3><table>{rows}</table>" if rows else ""


def _kind(schema: Document) -> str:
    """What a parameter may be, in a line."""
    choices = schema.get("anyOf", [schema])
    some = next(choice for choice in choices if choice["type"] != "null")
    words = [some["type"]]
    if "minimum" in some:
        words.append(f"{some['minimum']} to {some['maximum']:,}")
    if schema.get("default") not in {None, ""}:
        words.append(f"by default {schema['default']}")
    if "description" in some:
        words.append(some["description"])
    return ", ".join(words)


def _answer(answer: Document) -> str:
    return " ".join(_link(content["schema"]) for content in answer.get("content", {}).values())


def _link(schema: Document) -> str:
    if "$ref" not in schema:
        return f"<code>{escape(str(schema.get('format', schema['type'])))}</code>"
    name = escape(schema["$ref"].rpartition("/")[2])
    return f"<a href='#{name}'><code>{name}</code></a>"


def _stream() -> str:
    return (
        "<h2>stream</h2><section class=card><p><code>/v1/stream</code> is a WebSocket for many sessions at once, in JSON (subprotocol "
        "<code>tidegate.v1.json</code>) or MessagePack (<code>tidegate.v1.msgpack</code>). A reply carries the <code>ref</code> of its "
        f"request. Times are epoch seconds.</p><h3>you send</h3>{_frames(AnyFrame)}<h3>you get</h3>{_frames(ServerFrame)}</section>"
    )


def _frames(kinds: UnionType) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(_op(kind))}</code></td><td>{prose(kind.__doc__ or '')}</td><td>{_fields(kind)}</td></tr>"
        for kind in get_args(kinds)
    )
    return f"<table>{rows}</table>"


def _op(kind: Any) -> str:
    return str(kind.__struct_config__.tag)


def _fields(kind: Any) -> str:
    """The names of a frame's own fields; those that may be absent with a question mark."""
    names = [
        field.encode_name + ("" if field.required else "?")
        for field in msgspec.structs.fields(kind)
        if field.encode_name not in OWN_FIELDS
    ]
    return " ".join(f"<code>{escape(name)}</code>" for name in names)


ENDPOINTS = (
    Endpoint("GET", "/docs", docs, "The API for people", "pages"),
    Endpoint("GET", "/openapi.json", openapi_document, "The API for tools", "pages"),
)

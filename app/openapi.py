"""The OpenAPI document, made from the same endpoints and structs that answer requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from app import problems
from app.endpoint import BLOB, JSON, Endpoint
from app.errors import Internal, Refusal
from app.replies import Problem

Document = dict[str, Any]
REF = "#/components/schemas/{name}"


def document(endpoints: Sequence[Endpoint], version: str) -> Document:
    """OpenAPI 3.1."""
    types: set[type] = {Problem}
    for endpoint in endpoints:
        types |= {
            kind for kind in (endpoint.body, endpoint.query, *endpoint.replies.values()) if kind not in (None, bytes)
        }
    schemas, components = msgspec.json.schema_components(
        sorted(types, key=lambda kind: kind.__name__), ref_template=REF
    )
    by_name = dict(zip(sorted(kind.__name__ for kind in types), schemas, strict=True))
    queries = {endpoint.query.__name__ for endpoint in endpoints}
    paths: dict[str, Document] = {}
    for endpoint in endpoints:
        query = components[endpoint.query.__name__]
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, by_name, query)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate",
            "version": version,
            "description": "Stateful GRU forecasts as a service: one observation in, a probabilistic forecast out.",
        },
        "paths": paths,
        "components": {"schemas": {name: schema for name, schema in components.items() if name not in queries}},
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Document], query: Document) -> Document:
    operation: Document = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": [*_path_parameters(endpoint.path), *_query_parameters(query)],
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(endpoint.body, schemas)}
    return operation


def _path_parameters(path: str) -> Iterable[Document]:
    for name in re.findall(r"{(\w+)}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(query: Document) -> Iterable[Document]:
    for name, schema in query["properties"].items():
        yield {"name": name, "in": "query", "required": False, "schema": schema}


def _description(kind: type | None) -> str:
    if kind is None:
        return "Done."
    return "Bytes." if kind is bytes else (kind.__doc__ or "").strip().splitlines()[0]


def _content(kind: type, schemas: dict[str, Document]) -> Document:
    if kind is bytes:
        return {BLOB: {"schema": {"type": "string", "format": "binary"}}}
    return {JSON: {"schema": schemas[kind.__name__]}}


def _responses(endpoint: Endpoint, schemas: dict[str, Document]) -> Document:
    responses: Document = {}
    for status, kind in endpoint.replies.items():
        responses[str(status)] = {"description": _description(kind)}
        if kind is not None:
            responses[str(status)]["content"] = _content(kind, schemas)
    by_status: dict[int, list[type[Refusal]]] = {}
    refusals: tuple[type[Refusal], ...] = (*endpoint.refusals, Internal)
    for refusal in refusals:
        by_status.setdefault(refusal.status, []).append(refusal)
    for status, alike in sorted(by_status.items()):
        responses[str(status)] = {
            "description": " · ".join(f"`{refusal.code}`: {refusal.title}" for refusal in alike),
            "content": {problems.TYPE: {"schema": schemas[Problem.__name__]}},
        }
    return responses

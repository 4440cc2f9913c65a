"""The application: every surface over one service. Importing does nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from app import encoding, openapi
from app.endpoint import Call, Endpoint, refused
from app.errors import MethodNotAllowed, NotFound
from app.routes import forecast, health, models, pages, reference, sessions, stream
from app.service import running
from app.settings import Settings
from app.stores.base import StoreFailure

ENDPOINTS = (*forecast.ENDPOINTS, *sessions.ENDPOINTS, *models.ENDPOINTS, *health.ENDPOINTS)
SESSIONS = "/v1/sessions/"


class Tidegate(FastAPI):
    """FastAPI, with a short way to the calls that are made for every observation: they pass no middleware and no router."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            title="Tidegate", version=version("tidegate"), docs_url=None, redoc_url=None, openapi_url=None,
            lifespan=_lifespan, exception_handlers={HTTPException: _unknown},
        )  # fmt: skip
        self.state.settings = settings
        for endpoint in (*ENDPOINTS, *pages.ENDPOINTS, *reference.ENDPOINTS):
            self.router.routes.append(Route(endpoint.path, endpoint, methods=[endpoint.method]))
        self.router.routes.append(WebSocketRoute("/v1/stream", stream.endpoint))
        self._short_ways = {
            (endpoint.method, endpoint.path.removeprefix(SESSIONS + "{id}")): endpoint
            for endpoint in sessions.ENDPOINTS
            if endpoint.path.startswith(SESSIONS + "{id}/")
        }

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return openapi.document(ENDPOINTS, self.version)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        short_way = self._short_way(scope) if scope["type"] == "http" else None
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, _briefly(send))
        elif short_way is None:
            await super().__call__(scope, receive, send)
        else:
            await short_way(scope, receive, send)

    def _short_way(self, scope: Scope) -> Endpoint | None:
        path: str = scope["path"]
        if not path.startswith(SESSIONS):
            return None
        name, slash, rest = path[len(SESSIONS) :].partition("/")
        endpoint = self._short_ways.get((scope["method"], slash + rest))
        if endpoint is not None:
            scope["app"], scope["path_params"] = self, {"id": name}
        return endpoint


def create_app(settings: Settings) -> FastAPI:
    """The application with these settings; models are opened when it starts."""
    return Tidegate(settings)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    with running(app.state.settings) as service:
        app.state.service = service
        yield


def _briefly(send: Send) -> Send:
    """Say why the store cannot be used in one line, where Starlette would send a traceback."""

    async def briefly(message: Message) -> None:
        last = str(message.get("message", "")).strip().rpartition("\n")[2]
        _, is_ours, reason = last.partition(f"{StoreFailure.__name__}: ")
        await send({**message, "message": reason} if is_ours else message)

    return briefly


async def _unknown(request: Request, error: Exception) -> Response:
    """An address or a method that does not exist."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    path, headers = request.url.path, {}
    refusal: NotFound | MethodNotAllowed
    if error.status_code == MethodNotAllowed.status:
        headers["allow"] = _allowed(request.app, path)
        refusal = MethodNotAllowed(f"{path[:100]} has no {request.method}, but {headers['allow']}")
    else:
        refusal = NotFound(f"there is nothing at {path[:100]}; /docs says what there is")
    service = request.app.state.service
    service.metrics.answered("rest", "unknown", str(refusal.status))
    reply = refused(Call(service, request.scope, request.receive, {}), refusal)
    headers |= {name.decode(): value.decode() for name, value in reply.headers}
    return Response(encoding.JSON.encode(reply.content), refusal.status, headers, reply.media_type)


def _allowed(app: FastAPI, path: str) -> str:
    routes = [route for route in app.router.routes if isinstance(route, Route) and route.path_regex.match(path)]
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))

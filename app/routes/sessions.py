"""Sessions over REST."""

from __future__ import annotations

from urllib.parse import quote

from app import answers, requests
from app.endpoint import BLOB, Call, Endpoint, Reply
from app.engine.operations.copying import Export
from app.engine.operations.gates import ReadGates
from app.engine.operations.looking import Describe, ListSessions, ReadHistory
from app.engine.operations.opening import Close, Opened
from app.engine.session import Key
from app.errors import (
    InvalidRequest,
    ModelMismatch,
    ModelNotFound,
    OffGrid,
    Overloaded,
    SessionExists,
    SessionGone,
    SessionNotFound,
    StepConflict,
    StepGap,
    TooLarge,
)
from app.replies import (
    GatesReply,
    HistoryReply,
    PeekedReply,
    SessionDescription,
    SessionReply,
    SessionsReply,
    SteppedReply,
)
from app.schemas import (
    CloseQuery,
    ForkRequest,
    GatesQuery,
    HistoryQuery,
    ImportQuery,
    OpenRequest,
    PageQuery,
    PeekQuery,
    PeekRequest,
    StepsRequest,
)
from app.service import TENANT
from app.times import format_time


async def create(call: Call) -> Reply:
    operation = requests.to_open(TENANT, await call.body(OpenRequest))
    opened = await call.ask(operation)
    return _created(operation.key.id, opened)


async def page(call: Call) -> Reply:
    asked = call.query(PageQuery)
    found = await call.ask(ListSessions(TENANT, asked.prefix, asked.cursor or "", asked.limit))
    sessions = [answers.session(name, session, format_time) for name, session in found.sessions]
    cursor = sessions[-1].id if found.has_more else None
    return Reply(SessionsReply(sessions=sessions, next_cursor=cursor))


async def describe(call: Call) -> Reply:
    key = _key(call)
    return Reply(answers.description(key.id, await call.ask(Describe(key)), format_time))


async def take_steps(call: Call) -> Reply:
    key = _key(call)
    stepped = await call.ask(requests.to_steps(key, await call.body(StepsRequest)))
    return Reply(answers.stepped(key.id, stepped, format_time))


async def peek(call: Call) -> Reply:
    key = _key(call)
    peeked = await call.ask(requests.to_peek_of_query(key, call.query(PeekQuery)))
    return Reply(answers.peeked(key.id, peeked, format_time))


async def peek_with_body(call: Call) -> Reply:
    key = _key(call)
    peeked = await call.ask(requests.to_peek(key, await call.body(PeekRequest)))
    return Reply(answers.peeked(key.id, peeked, format_time))


async def history(call: Call) -> Reply:
    key = _key(call)
    found = await call.ask(ReadHistory(key, call.query(HistoryQuery).limit))
    return Reply(answers.history(key.id, found, format_time))


async def gates(call: Call) -> Reply:
    key = _key(call)
    found = await call.ask(ReadGates(key, call.query(GatesQuery).limit))
    return Reply(answers.gates(key.id, found, format_time))


async def close(call: Call) -> Reply:
    asked = call.query(CloseQuery)
    await call.ask(Close(_key(call), requests.to_incarnation(asked.incarnation)))
    return Reply(status=204)


async def fork(call: Call) -> Reply:
    operation = requests.to_fork(_key(call), await call.body(ForkRequest))
    return _created(operation.fork.id, await call.ask(operation))


async def export(call: Call) -> Reply:
    return Reply(await call.ask(Export(_key(call))), media_type=BLOB)


async def import_session(call: Call) -> Reply:
    operation = requests.to_import(TENANT, await call.content(), call.query(ImportQuery))
    return _created(operation.key.id, await call.ask(operation))


def _created(name: str, opened: Opened) -> Reply:
    location = (b"location", f"/v1/sessions/{quote(name)}".encode())
    return Reply(answers.opened(name, opened, format_time), 201 if opened.created else 200, (location,))


def _key(call: Call) -> Key:
    return requests.to_key(TENANT, call.path["id"])


_ABSENT = (SessionNotFound, SessionGone)
_ONE = "/v1/sessions/{id}"
ENDPOINTS = (
    Endpoint(
        "POST", "/v1/sessions", create, "Open a session, with its history where there is one", "sessions",
        body=OpenRequest, replies={201: SessionReply, 200: SessionReply},
        refusals=(ModelNotFound, ModelMismatch, SessionExists, TooLarge, InvalidRequest, Overloaded),
    ),
    Endpoint(
        "GET", "/v1/sessions", page, "List sessions in the order of their ids", "sessions",
        query=PageQuery, replies={200: SessionsReply}, refusals=(InvalidRequest, Overloaded),
    ),
    Endpoint(
        "GET", _ONE, describe, "What is known of a session", "sessions",
        replies={200: SessionDescription}, refusals=(*_ABSENT, Overloaded),
    ),
    Endpoint(
        "DELETE", _ONE, close, "End a session; afterwards it is gone (410)", "sessions",
        query=CloseQuery, replies={204: None}, refusals=(*_ABSENT, Overloaded),
    ),
    Endpoint(
        "POST", f"{_ONE}/steps", take_steps, "Send observations, one or many; all are applied, or none", "sessions",
        body=StepsRequest, replies={200: SteppedReply},
        refusals=(*_ABSENT, StepConflict, StepGap, OffGrid, ModelMismatch, TooLarge, InvalidRequest, Overloaded),
    ),
    Endpoint(
        "GET", f"{_ONE}/forecast", peek, "Forecast from where the session is; it does not move", "sessions",
        query=PeekQuery, replies={200: PeekedReply}, refusals=(*_ABSENT, ModelMismatch, InvalidRequest, Overloaded),
    ),
    Endpoint(
        "POST", f"{_ONE}/forecast", peek_with_body,
        "Forecast with what is known ahead, or after values as if they had been observed", "sessions",
        body=PeekRequest, replies={200: PeekedReply},
        refusals=(*_ABSENT, ModelMismatch, TooLarge, InvalidRequest, Overloaded),
    ),
    Endpoint(
        "GET", f"{_ONE}/history", history, "The observations that the session remembers", "sessions",
        query=HistoryQuery, replies={200: HistoryReply}, refusals=(*_ABSENT, ModelMismatch, InvalidRequest, Overloaded),
    ),
    Endpoint(
        "GET", f"{_ONE}/gates", gates, "What the network's gates did at recent steps, and how far its memory reaches",
        "sessions", query=GatesQuery, replies={200: GatesReply},
        refusals=(*_ABSENT, ModelMismatch, InvalidRequest, Overloaded),
    ),
    Endpoint(
        "POST", f"{_ONE}/fork", fork, "A second session that goes on from where this one is", "sessions",
        body=ForkRequest, replies={201: SessionReply},
        refusals=(*_ABSENT, ModelMismatch, SessionExists, TooLarge, InvalidRequest, Overloaded),
    ),
    Endpoint(
        "GET", f"{_ONE}/export", export, "One session as bytes, versioned and checksummed", "sessions",
        replies={200: bytes}, refusals=(*_ABSENT, ModelMismatch, Overloaded),
    ),
    Endpoint(
        "POST", "/v1/sessions/import", import_session, "Bring an exported session back, here or elsewhere", "sessions",
        body=bytes, query=ImportQuery, replies={201: SessionReply},
        refusals=(ModelMismatch, SessionExists, TooLarge, InvalidRequest, Overloaded),
    ),
)  # fmt: skip

"""What a frame asks of the engine, and the frame that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from msgspec import Struct

from app import answers, requests
from app.acquaintance import Acquaintance
from app.columns import columns_fields
from app.engine.forecast import Wish
from app.engine.operations.base import Context, Operation, Work
from app.engine.operations.looking import Describe, Description, Follow, Peeked
from app.engine.operations.opening import Close, Opened
from app.engine.operations.rows import Stepped
from app.engine.operations.taken import Answer
from app.engine.roster import Roster
from app.engine.session import Key
from app.errors import Refusal
from app.frames import (
    AnyFrame,
    ClosedFrame,
    CloseFrame,
    ColumnsFrame,
    ColumnsSteppedFrame,
    OneFrame,
    OpenedFrame,
    OpenFrame,
    PeekedFrame,
    PeekFrame,
    Ref,
    StepFrame,
    SteppedFrame,
    SubscribedFrame,
    SubscribeFrame,
    UnsubscribedFrame,
    UnsubscribeFrame,
    UpdateFrame,
)
from app.service import TENANT

SESSIONS_OF_WEIGHT = 8  # of two frames of a thousand sessions one waits while the other is computed
DONE = {CloseFrame: ClosedFrame, SubscribeFrame: SubscribedFrame, UnsubscribeFrame: UnsubscribedFrame}


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that cannot be done, as an operation, so that its answer keeps its place among those of its session."""

    keys: Sequence[Key]
    refusal: Refusal

    def begin(self, context: Context) -> Work[None]:  # noqa: ARG002 - nothing is looked at
        raise self.refusal


class Asked(NamedTuple):
    """An operation, how its reply becomes a frame, and how much of a socket's window it takes up."""

    op: str
    ref: Ref
    operation: Operation[Any]
    reply: Callable[[Any], Struct]
    weight: int = 1


def ask(frame: AnyFrame, known: Acquaintance) -> Asked:
    """What a frame asks on a socket with this acquaintance."""
    try:
        if isinstance(frame, ColumnsFrame):
            return _ask_columns(frame, known.roster(frame.sessions), known)
        return _ask(frame, known.incarnations)
    except Refusal as refusal:
        return refused(_op(frame), frame.ref, _keys(frame), refusal)


def refused(op: str, ref: Ref, keys: Sequence[Key], refusal: Refusal) -> Asked:
    """What cannot be done, as something that was asked."""
    return Asked(op, ref, Refused(keys, refusal), _never)


def error_frame(ref: Ref, refusal: Refusal) -> dict[str, Any]:
    """Why something was not done."""
    return {"op": "error", "ref": ref, **answers.refusal_fields(refusal, int)}


def update_frame(key: Key, stepped: Stepped) -> UpdateFrame:
    """A session has moved."""
    return UpdateFrame(**answers.stepped_fields(key.id, stepped, int))


def _ask_columns(frame: ColumnsFrame, sessions: Roster, known: Acquaintance) -> Asked:
    weight = 1 + len(sessions) // SESSIONS_OF_WEIGHT
    try:
        operation = requests.to_columns(frame, sessions, known.incarnations)
    except Refusal as refusal:
        return refused("steps", frame.ref, sessions, refusal)
    return Asked("steps", frame.ref, operation, partial(_columns, frame, operation.wish), weight)


def _ask(frame: OneFrame, incarnations: Mapping[Key, int]) -> Asked:
    if isinstance(frame, StepFrame):
        key = _key(frame)
        return Asked("step", frame.ref, requests.to_steps(key, frame, incarnations.get(key)), partial(_stepped, frame))
    if isinstance(frame, PeekFrame):
        return Asked("peek", frame.ref, requests.to_peek(_key(frame), frame), partial(_peeked, frame))
    if isinstance(frame, OpenFrame):
        opening = requests.to_open(TENANT, frame)
        return Asked("open", frame.ref, opening, partial(_opened, frame.ref, opening.key.id))
    if isinstance(frame, CloseFrame):
        return Asked("close", frame.ref, Close(_key(frame), _incarnation(frame, incarnations)), partial(_done, frame))
    look = Follow if isinstance(frame, SubscribeFrame) else Describe
    return Asked(_op(frame), frame.ref, look(_key(frame)), partial(_done, frame))


def _stepped(frame: StepFrame, reply: Stepped) -> SteppedFrame:
    return SteppedFrame(ref=frame.ref, **answers.stepped_fields(frame.session, reply, int))


def _columns(frame: ColumnsFrame, wish: Wish | None, reply: Sequence[Answer]) -> ColumnsSteppedFrame:
    return ColumnsSteppedFrame(ref=frame.ref, **columns_fields(reply, int, with_forecast=wish is not None))


def _peeked(frame: PeekFrame, reply: Peeked) -> PeekedFrame:
    fields = answers.forecast_fields(reply.forecast, int)
    return PeekedFrame(ref=frame.ref, session=frame.session, step=reply.session.step, **fields)


def _opened(ref: Ref, name: str, reply: Opened) -> OpenedFrame:
    return OpenedFrame(ref=ref, session=name, **answers.opened_fields(reply, int))


def _done(frame: CloseFrame | SubscribeFrame | UnsubscribeFrame, _: Description | None) -> Struct:
    return DONE[type(frame)](ref=frame.ref, session=frame.session)


def _never(_: None) -> Struct:
    raise AssertionError("what is refused has no reply")


def _op(frame: AnyFrame) -> str:
    return str(type(frame).__struct_config__.tag)


def _key(frame: StepFrame | PeekFrame | CloseFrame | SubscribeFrame | UnsubscribeFrame) -> Key:
    return Key(TENANT, frame.session)


def _incarnation(frame: CloseFrame, incarnations: Mapping[Key, int]) -> int | None:
    given = requests.to_incarnation(frame.incarnation)
    return incarnations.get(_key(frame)) if given is None else given


def _keys(frame: AnyFrame) -> Sequence[Key]:
    """Whose answers come in their order; those of a list that cannot be read are nobody's."""
    if isinstance(frame, ColumnsFrame):
        return []
    if isinstance(frame, OpenFrame):
        return [Key(TENANT, frame.id)] if frame.id else []
    return [_key(frame)]

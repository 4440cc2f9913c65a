"""WebSocket frames, in JSON or MessagePack. What clients send has the fields of `app.schemas`, what they get those of `app.replies`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from app import encoding
from app.encoding import Slice
from app.errors import InvalidRequest
from app.replies import ColumnsReply, PeekedReply, Reply, SessionFacts, SteppedReply
from app.schemas import (
    ColumnsRequest,
    Incarnation,
    OpenRequest,
    PeekRequest,
    Request,
    SessionId,
    SessionIds,
    StepsRequest,
)

Ref = int | str | None
UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeError)


class OpenFrame(OpenRequest, tag_field="op", tag="open", kw_only=True):
    """A session to begin."""

    ref: Ref = None


class StepFrame(StepsRequest, tag_field="op", tag="step", kw_only=True):
    """Observations of one session."""

    ref: Ref = None
    session: SessionId


class ColumnsFrame(ColumnsRequest, tag_field="op", tag="steps", kw_only=True):
    """One observation for each of many sessions."""

    ref: Ref = None


class PeekFrame(PeekRequest, tag_field="op", tag="peek", kw_only=True):
    """A forecast wanted."""

    ref: Ref = None
    session: SessionId


class SubscribeFrame(Request, tag_field="op", tag="subscribe", kw_only=True):
    """Updates wanted after every step of a session, whoever sends it."""

    ref: Ref = None
    session: SessionId


class UnsubscribeFrame(Request, tag_field="op", tag="unsubscribe", kw_only=True):
    """No more updates wanted."""

    ref: Ref = None
    session: SessionId


class CloseFrame(Request, tag_field="op", tag="close", kw_only=True):
    """A session to end."""

    ref: Ref = None
    session: SessionId
    incarnation: Incarnation | None = None


OneFrame = OpenFrame | StepFrame | PeekFrame | SubscribeFrame | UnsubscribeFrame | CloseFrame  # about one session
AnyFrame = OneFrame | ColumnsFrame


class OpenedFrame(SessionFacts, tag_field="op", tag="opened", kw_only=True):
    """A session is open."""

    ref: Ref
    session: str


class SteppedFrame(SteppedReply, tag_field="op", tag="stepped", kw_only=True):
    """What became of observations."""

    ref: Ref


class ColumnsSteppedFrame(ColumnsReply, tag_field="op", tag="stepped", kw_only=True):
    """What became of one observation each."""

    ref: Ref


class UpdateFrame(SteppedReply, tag_field="op", tag="update", kw_only=True):
    """A session that is subscribed to has moved."""


class PeekedFrame(PeekedReply, tag_field="op", tag="forecast", kw_only=True):
    """A forecast."""

    ref: Ref


class ClosedFrame(Reply, tag_field="op", tag="closed", kw_only=True):
    """A session has ended."""

    ref: Ref
    session: str


class SubscribedFrame(Reply, tag_field="op", tag="subscribed", kw_only=True):
    """Updates of a session will come."""

    ref: Ref
    session: str


class UnsubscribedFrame(Reply, tag_field="op", tag="unsubscribed", kw_only=True):
    """No more updates of a session will come."""

    ref: Ref
    session: str


class ErrorFrame(Reply, tag_field="op", tag="error", kw_only=True):
    """Something was not done; some codes add members of their own, as over REST."""

    ref: Ref
    code: str
    detail: str


class DrainingFrame(Reply, tag_field="op", tag="draining", kw_only=True):
    """The server stops; connect again and resume by step."""


ServerFrame = (
    OpenedFrame
    | SteppedFrame
    | ColumnsSteppedFrame
    | UpdateFrame
    | PeekedFrame
    | ClosedFrame
    | SubscribedFrame
    | UnsubscribedFrame
    | ErrorFrame
    | DrainingFrame
)


class _OnlyRef(Struct):
    ref: Ref = None


class Codec(NamedTuple):
    """How the frames of one subprotocol are written and read."""

    subprotocol: str
    is_binary: bool
    slices: Callable[[Any], Iterator[Slice]]
    decode_frame: Callable[[bytes], AnyFrame]
    decode_ref: Callable[[bytes], _OnlyRef]
    decode_ids: Callable[[bytes], list[str]]

    def decode(self, data: bytes) -> AnyFrame:
        """One frame; raises InvalidRequest."""
        try:
            return self.decode_frame(data)
        except UNREADABLE as error:
            raise InvalidRequest(f"the frame is not valid: {str(error)[:200]}") from error

    def session_ids(self, written: bytes) -> list[str]:
        """The ids of a frame's `sessions`; raises InvalidRequest."""
        try:
            return self.decode_ids(written)
        except UNREADABLE as error:
            raise InvalidRequest(f"the frame's sessions are not valid: {str(error)[:200]}") from error

    def ref(self, data: bytes) -> Ref:
        """The `ref` of a frame that is not valid, if that can be read."""
        try:
            return self.decode_ref(data).ref
        except UNREADABLE:
            return None


JSON = Codec(
    subprotocol="tidegate.v1.json",
    is_binary=False,
    slices=encoding.JSON.slices,
    decode_frame=msgspec.json.Decoder(AnyFrame).decode,
    decode_ref=msgspec.json.Decoder(_OnlyRef).decode,
    decode_ids=msgspec.json.Decoder(SessionIds).decode,
)
MESSAGE_PACK = Codec(
    subprotocol="tidegate.v1.msgpack",
    is_binary=True,
    slices=encoding.MESSAGE_PACK.slices,
    decode_frame=msgspec.msgpack.Decoder(AnyFrame).decode,
    decode_ref=msgspec.msgpack.Decoder(_OnlyRef).decode,
    decode_ids=msgspec.msgpack.Decoder(SessionIds).decode,
)
CODECS = {codec.subprotocol: codec for codec in (JSON, MESSAGE_PACK)}

"""WebSocket frames, in JSON or MessagePack. Their fields are those of `app.schemas`; numbers are checked by `app.values`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from app.errors import InvalidRequest
from app.schemas import ID_PATTERN, LARGEST_STEP, MOST_LEVELS

MOST_COLUMNS = 10_000

Ref = int | str | None
Level = Annotated[float, Meta(gt=0, lt=1)]
Levels = Annotated[list[Level], Meta(min_length=1, max_length=MOST_LEVELS)]
Horizon = Annotated[int, Meta(ge=1, le=LARGEST_STEP)]
SessionId = Annotated[str, Meta(pattern=ID_PATTERN)]
Step = Annotated[int, Meta(ge=1, le=LARGEST_STEP)]
Values = Annotated[list[Any], Meta(min_length=1)]
Named = dict[str, list[Any]]


class Frame(Struct, tag_field="op", forbid_unknown_fields=True, kw_only=True):
    """Something a client asks; the reply carries its `ref`."""

    ref: Ref = None


class Options(Struct, forbid_unknown_fields=True):
    """Which forecast is wanted."""

    horizon: Horizon | None = None
    quantiles: Levels | None = None
    future_covariates: Named | None = None


class History(Struct, forbid_unknown_fields=True):
    """The first observations of a session."""

    values: Values
    covariates: Named | None = None


class OpenFrame(Frame, tag="open"):
    """A session to begin."""

    id: SessionId | None = None
    model: str | None = None
    version: str | None = None
    start: int | str | None = None
    history: History | None = None
    on_gap: Literal["reject", "missing"] = "reject"
    if_exists: Literal["fail", "return"] = "fail"
    metadata: dict[str, Any] | None = None


class StepFrame(Frame, tag="step"):
    """Observations of one session."""

    session: SessionId
    values: Values
    step: Step | None = None
    time: int | str | None = None
    covariates: Named | None = None
    forecast: bool | Options = True


class ColumnsFrame(Frame, tag="steps"):
    """One observation for each of many sessions."""

    sessions: Annotated[list[SessionId], Meta(min_length=1, max_length=MOST_COLUMNS)]
    values: Values
    steps: Annotated[list[Step | None], Meta(max_length=MOST_COLUMNS)] | None = None
    covariates: Named | None = None
    forecast: bool | Options = True


class PeekFrame(Frame, tag="peek"):
    """A forecast wanted."""

    session: SessionId
    horizon: Horizon | None = None
    quantiles: Levels | None = None
    future_covariates: Named | None = None
    values: Values | None = None
    covariates: Named | None = None


class CloseFrame(Frame, tag="close"):
    """A session to end."""

    session: SessionId


AnyFrame = OpenFrame | StepFrame | ColumnsFrame | PeekFrame | CloseFrame


class _OnlyRef(Struct):
    ref: Ref = None


class Codec(NamedTuple):
    """How the frames of one subprotocol are written and read."""

    subprotocol: str
    is_binary: bool
    encode: Callable[[Any], bytes]
    decode_frame: Callable[[bytes], AnyFrame]
    decode_ref: Callable[[bytes], _OnlyRef]

    def decode(self, data: bytes) -> AnyFrame:
        """One frame; raises InvalidRequest."""
        try:
            return self.decode_frame(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the frame is not valid: {str(error)[:200]}") from error

    def ref(self, data: bytes) -> Ref:
        """The `ref` of a frame that is not valid, if that can be read."""
        try:
            return self.decode_ref(data).ref
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None


JSON = Codec(
    subprotocol="tidegate.v1.json",
    is_binary=False,
    encode=msgspec.json.Encoder().encode,
    decode_frame=msgspec.json.Decoder(AnyFrame).decode,
    decode_ref=msgspec.json.Decoder(_OnlyRef).decode,
)
MESSAGE_PACK = Codec(
    subprotocol="tidegate.v1.msgpack",
    is_binary=True,
    encode=msgspec.msgpack.Encoder().encode,
    decode_frame=msgspec.msgpack.Decoder(AnyFrame).decode,
    decode_ref=msgspec.msgpack.Decoder(_OnlyRef).decode,
)
CODECS = {codec.subprotocol: codec for codec in (JSON, MESSAGE_PACK)}

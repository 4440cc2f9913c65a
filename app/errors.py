"""Every way in which a request can be refused: a class knows its status and stable code, its text the value and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar, NamedTuple


class Moment(NamedTuple):
    """A time among the members of a refusal, in epoch seconds. Each surface writes it in its own way."""

    seconds: float


Extra = str | int | float | Moment | list[dict[str, str]]


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a fault of the program
    """A request is refused; `detail` says why, `extra` holds the members that this code adds to the problem document."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong here"

    def __init__(self, detail: str, **extra: Extra) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra: Mapping[str, Extra] = extra

    def members(self, clock: Callable[[float], int | str]) -> dict[str, Any]:
        """`extra` as it is written, times by `clock`."""
        return {
            name: clock(value.seconds) if isinstance(value, Moment) else value for name, value in self.extra.items()
        }


class Internal(Refusal):
    """Our own mistake."""


class InvalidRequest(Refusal):
    """The request does not say something that can be done; `errors` names at most ten places."""

    status, code, title = 422, "invalid-request", "The request is not valid"


class pointing_at:  # noqa: N801 - read as a statement; a class, because generators cost every request microseconds
    """Says where in the request something is not valid, by a JSON pointer (RFC 6901), of what is raised in the `with` block."""

    __slots__ = ("_pointer",)

    def __init__(self, pointer: str) -> None:
        self._pointer = pointer

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, InvalidRequest):
            inner = error.extra.get("errors")
            below = inner[0]["pointer"] if isinstance(inner, list) else ""
            place = {"pointer": self._pointer + below, "detail": error.detail}
            raise InvalidRequest(error.detail, errors=[place]) from error


class OffGrid(Refusal):
    """A time is not on the session's grid; `nearest` is the grid time beside it."""

    status, code, title = 422, "off-grid", "The time is not on the session's grid"


class TooLarge(Refusal):
    """The body is larger than this service reads."""

    status, code, title = 413, "too-large", "The request is too large"


class NotFound(Refusal):
    """There is nothing at this address."""

    status, code, title = 404, "not-found", "There is nothing here"


class MethodNotAllowed(Refusal):
    """The address exists, the method does not."""

    status, code, title = 405, "method-not-allowed", "This address has no such method"


class ModelNotFound(Refusal):
    """No such model or version is served."""

    status, code, title = 404, "model-not-found", "No such model is served"


class SessionNotFound(Refusal):
    """There has never been such a session."""

    status, code, title = 404, "session-not-found", "No such session"


class SessionExists(Refusal):
    """The id is taken."""

    status, code, title = 409, "session-exists", "The session exists already"


class SessionGone(Refusal):
    """The session ended; `reason` (closed, expired, damaged) and `at` say how and when, `replaced` and `incarnation` by whom."""

    status, code, title = 410, "session-gone", "The session has ended"


class StepConflict(Refusal):
    """A step that was applied is sent again with other values."""

    status, code, title = 409, "step-conflict", "The step was applied with other values"


class StepGap(Refusal):
    """A step lies beyond the next one; `expected_step` and `expected_time` name that."""

    status, code, title = 409, "step-gap", "Steps are missing before this one"


class ModelMismatch(Refusal):
    """The session lives under another model than the one asked for or served."""

    status, code, title = 412, "model-mismatch", "The session belongs to another model"


class Overloaded(Refusal):
    """More work waits than may wait; try again soon, or after `retry_after` seconds."""

    status, code, title = 503, "overloaded", "The service is busy"


class Draining(Refusal):
    """The process is about to stop; another one will answer."""

    status, code, title = 503, "draining", "The service is shutting down"


class StoreUnavailable(Refusal):
    """The sessions could not be read or kept; nothing was applied."""

    status, code, title = 503, "store-unavailable", "The session store does not answer"

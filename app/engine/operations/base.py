"""What an operation is: it begins with what it finds, is computed in groups, and finishes with a reply and what changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from app.engine.group import Group
from app.engine.records import Ended, Moved
from app.engine.registry import Models
from app.engine.session import Key
from app.engine.sessions import Sessions

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Context:
    """What operations may look at. They change nothing themselves."""

    models: Models
    sessions: Sessions
    now: Callable[[], float]
    gap_limit: int


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R_co]):
    """A reply, and the changes that must be kept before it may be given."""

    reply: R_co
    moved: Sequence[Moved] = ()
    ended: Sequence[Ended] = ()
    forgotten: Sequence[Key] = ()

    @property
    def changes(self) -> bool:
        return bool(self.moved or self.ended or self.forgotten)


@dataclass(frozen=True, slots=True)
class Work(Generic[R_co]):
    """Groups to be encoded, and decoded where they have `future`; `finish` is called when all of them are done."""

    groups: Sequence[Group]
    finish: Callable[[], Outcome[R_co]]


class Operation(Protocol[R_co]):
    """Something that is asked of the engine. `keys` are the sessions it concerns, each once: one operation at a time for each."""

    @property
    def keys(self) -> Sequence[Key]: ...

    def begin(self, context: Context) -> Work[R_co]:
        """Judge what is asked by what there is; raises a Refusal."""


def done(reply: R) -> Work[R]:
    """The work of an operation that needs none."""
    return Work((), lambda: Outcome(reply))

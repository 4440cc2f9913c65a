"""A session as a blob that leaves the service and comes back, here or elsewhere, and as a second session beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from app.engine.arrays import Floats
from app.engine.operations.base import Context, Outcome, Work, done
from app.engine.operations.opening import Opened, check_room, new_incarnation
from app.engine.operations.rows import moved
from app.engine.records import Ended
from app.engine.runtime import Model
from app.engine.session import Ending, Key, Session, pack_tail, unpack
from app.errors import InvalidRequest, ModelMismatch, SessionExists
from app.stores.base import CorruptRecord, Record
from model.contract import Bundle

MAGIC = b"tidegate session 1\n"
FARTHEST = 2**53  # steps, and seconds from 1970 on: far beyond what observations lead to, and no sum of them overflows


@dataclass(frozen=True, slots=True)
class Fork:
    """A second session that goes on from where a first one is."""

    key: Key
    fork: Key

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key, self.fork) if self.fork != self.key else (self.key,)

    def begin(self, context: Context) -> Work[Opened]:
        session, model, state = context.sessions.gather(self.key)
        return _begun(context, self.fork, session, model, state)


@dataclass(frozen=True, slots=True)
class Exported:
    """A session as it left: its id, what is known of it, and its state (S,)."""

    id: str
    session: Session
    state: Floats


@dataclass(frozen=True, slots=True)
class Export:
    """A session as bytes: versioned, checksummed, with all that `Import` needs."""

    key: Key

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    def begin(self, context: Context) -> Work[bytes]:
        session, _, state = context.sessions.gather(self.key)
        stored = session.facts.tobytes() + pack_tail(session.build, session.metadata)
        head = msgspec.msgpack.encode((self.key.id, stored))
        return done(MAGIC + Record(head, state.tobytes()).encode())


@dataclass(frozen=True, slots=True)
class Import:
    """An exported session under an id that is free; its incarnation is a new one.

    Raises ModelMismatch where the build of the model under which the session lived is not served.
    """

    key: Key
    exported: Exported

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    def begin(self, context: Context) -> Work[Opened]:
        session, state = self.exported.session, self.exported.state
        model = _served(context, session)
        _check_fits(model.bundle, session, state)
        return _begun(context, self.key, session, model, state)


def parse_export(blob: bytes) -> Exported:
    """The session in the bytes of an export; raises InvalidRequest for bytes that are none, or damaged."""
    if not blob.startswith(MAGIC):
        raise InvalidRequest("this is no exported session; send the bytes of GET /v1/sessions/{id}/export as they came")
    try:
        record = Record.decode(blob[len(MAGIC) :])
        name, stored = msgspec.msgpack.decode(record.header, type=tuple[str, bytes])
        facts, build, metadata = unpack(stored)
        state = np.frombuffer(record.state, np.float32)
    except (CorruptRecord, msgspec.DecodeError, ValueError) as error:
        raise InvalidRequest(f"the exported session is damaged: {error}; export it again") from error
    session = Session.of(facts[0], build, metadata)
    if session.step < 0 or max(session.step, abs(session.start), abs(session.time)) > FARTHEST:
        raise InvalidRequest(
            f"the exported session is damaged: its step is {session.step}, its start {session.start}; export it again"
        )
    return Exported(name, session, state)


def _served(context: Context, session: Session) -> Model:
    for served in context.models:
        if served.model.build == session.build:
            return served.model
    raise ModelMismatch(
        f"the session lived under model {session.model} {session.version}, build {session.build.fingerprint.hex()}, which is not "
        f"served here; serve that build, or open a session with its history"
    )


def _check_fits(bundle: Bundle, session: Session, state: Floats) -> None:
    """Raise InvalidRequest for a state (S,) that no session under this model has. Wrong numbers in it are its session's own matter,
    but for those that are counted with all others'.
    """
    if state.size != bundle.state_size:
        raise InvalidRequest(f"the export holds {state.size} floats of state, its model has {bundle.state_size}")
    if session.frequency != bundle.frequency:
        raise InvalidRequest(f"the export has a step every {session.frequency} s, its model every {bundle.frequency}")
    if bundle.calibration and not np.isfinite(state[bundle.state["coverage"].span]).all():
        raise InvalidRequest("the export does not say how often its bands held; export it again")


def _begun(context: Context, key: Key, like: Session, model: Model, state: Floats) -> Work[Opened]:
    """A new session that is where another one is."""
    occupant = context.sessions.occupant(key)
    if isinstance(occupant, Session):
        raise SessionExists(f"session {key.id!r} exists; use another id")
    check_room(context)
    now = context.now()
    session = msgspec.structs.replace(like, incarnation=new_incarnation(), created_at=now, active_at=now)
    change = moved(key, model, session, state[None], created=True)
    left = [Ended(key, occupant)] if isinstance(occupant, Ending) else []
    return Work((), lambda: Outcome(Opened(session, created=True), [change], left))

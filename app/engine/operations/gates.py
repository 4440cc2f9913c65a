"""What the gates of a session's network did over its recent steps, and what follows from them. The session does not move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.engine.arrays import Floats
from app.engine.operations.base import Context, Work, done
from app.engine.runtime import Model
from app.engine.session import Key, Session

LONGEST_REPLAY = 1000
NARROWEST = 2.0**-24  # a float32 gate cannot be told from 0 or 1 any closer


@dataclass(frozen=True, slots=True)
class Gates:
    """`update` and `reset` (T, L, N) at the T last steps, of which the first is step `first`, for N units of each channel's layers.

    They were replayed from step `began` on: see ReadGates.
    """

    session: Session
    channels: Sequence[str]
    first: int
    began: int
    update: Floats
    reset: Floats


@dataclass(frozen=True, slots=True)
class ReadGates:
    """The gates at the last steps, at most `limit` of them.

    A state holds its last R raw observations, not the hidden states behind them, so the gates are replayed: those of a session
    that began with the oldest of these observations, or LONGEST_REPLAY steps ago. Covariates are not remembered and are
    missing in the replay. The gates are the session's own where all its steps are replayed and its model has no covariates.
    """

    key: Key
    limit: int

    @property
    def keys(self) -> Sequence[Key]:
        return (self.key,)

    def begin(self, context: Context) -> Work[Gates]:
        session, model, state = context.sessions.gather(self.key)
        recent = model.recent(state)
        replayed = min(session.step, len(recent), LONGEST_REPLAY)
        shown = min(replayed, self.limit)
        update, reset = _replay(model, session, recent[len(recent) - replayed :])
        part = slice(replayed - shown, replayed)
        return done(
            Gates(
                session,
                model.bundle.channels,
                first=session.step - shown + 1,
                began=session.step - replayed + 1,
                update=update[part],
                reset=reset[part],
            )
        )


def memory_steps(update: Floats) -> Floats:
    """After how many steps 1/e of what each unit holds is left, (L, N), from update gates (T, L, N); NaN where T is 0.

    In h_t = z_t∘h_{t−1} + (1−z_t)∘c_t (Cho et al. 2014) the part of h_t that was h_{t−k} has the weight z_t ⋯ z_{t−k+1} =
    exp(k·mean ln z), which is 1/e at k = −1 / mean ln z. The mean of logarithms counts, not that of the gates: one gate at 0
    forgets all. For gates near 1 it is 1/(1−z), the forgetting time of Tallec & Ollivier, "Can recurrent neural networks warp
    time?" (2018), section 1. What the candidate c_t reads through the reset gate comes on top, so influence can last longer.
    """
    if not len(update):
        return np.full(update.shape[1:], np.nan, np.float32)
    length: Floats = -1 / np.log(_open(update)).mean(axis=0)
    return length.astype(np.float32)


def past_share(update: Floats) -> Floats:
    """How much of the newest hidden state stems from before each of T steps, (T, L), a mean over units; (T, L, N) goes in.

    Unrolled, h_t = Σ_j (Π_{i<j} z_{t−i})∘(1−z_{t−j})∘c_{t−j} + (Π_{i≤k} z_{t−i})∘h_{t−k−1}. These weights add up to 1, so the last is
    the share of all that came before step t−k. An LSTM's forget gates give the factor with which its cells kept it instead.
    """
    kept: Floats = np.cumprod(update[::-1], axis=0)[::-1]
    share: Floats = kept.mean(axis=2)
    return share


def _open(gate: Floats) -> Floats:
    return np.clip(gate.astype(np.float64), NARROWEST, 1 - NARROWEST)


def _replay(model: Model, session: Session, values: Floats) -> tuple[Floats, Floats]:
    """Update and reset gates (T, L, N) at the last T observations (T, C), from a fresh state on."""
    bundle, T = model.bundle, len(values)
    if not T:
        nothing = np.zeros((0, len(bundle.channels) * bundle.layers, bundle.units), np.float32)
        return nothing, nothing
    time = session.time + np.arange(1 - T, 1, dtype=np.int64) * session.frequency
    unknown = np.full((1, T, len(bundle.covariates)), np.nan, np.float32)
    update, reset, _ = model.explain(values[None], time[None], unknown, model.fresh(1))
    return update[0], reset[0]

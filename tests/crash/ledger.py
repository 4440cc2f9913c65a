"""What the server has acknowledged, and everything in which it did not keep its word."""

from __future__ import annotations

import bisect
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tests.crash.plan import Plan

HORIZON, LEVEL = 3, "0.5"  # the part of every forecast that is compared
READ_LATE_SECONDS = 0.3  # an answer may be read so long after the server was killed


@dataclass(slots=True, eq=False)
class Account:
    """One session: its last step that was sent and that was acknowledged, when which was, and the forecasts that came."""

    plan: Plan
    sent: int = 0
    step: int = 0
    acknowledged: list[tuple[float, int]] = field(default_factory=list)
    forecasts: dict[int, bytes] = field(default_factory=dict)
    closed_at: float | None = None


@dataclass(slots=True, eq=False)
class Ledger:
    """The accounts of all sessions, the moments of the kills, and what was counted.

    `allowed_loss_seconds` before a kill acknowledged steps may get lost: none at all but with durability `interval`.
    """

    allowed_loss_seconds: float = 0.0
    accounts: list[Account] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    oldest_loss_seconds: float = 0.0

    def open(self, plan: Plan) -> Account:
        self.counts["sessions"] += 1
        self.accounts.append(Account(plan))
        return self.accounts[-1]

    def acknowledge(self, account: Account, last: int, reply: dict) -> None:
        """The server says that all steps up to `last` are applied."""
        if reply["step"] != last:
            self.violate(f"{account.plan.name}: sent up to step {last}, answered as step {reply['step']}")
        self.counts["replayed"] += reply["replayed"]
        self.counts["acknowledged"] += max(0, last - account.step)
        account.step = max(account.step, last)
        account.acknowledged.append((time.monotonic(), last))
        if reply.get("forecast"):
            self._compare(account, last, reply["forecast"]["quantiles"][LEVEL])

    def resume(self, account: Account, step: int) -> None:
        """After an interruption the server says that it is at this step."""
        if step >= account.step:
            return
        since = next(at for at, last in account.acknowledged if last > step)
        self.lose(
            account.step - step, since, f"{account.plan.name}: acknowledged {account.step}, the server has {step}"
        )
        account.step = step
        account.acknowledged = [(at, last) for at, last in account.acknowledged if last <= step]

    def lose(self, steps: int, acknowledged_at: float, text: str) -> None:
        """So many acknowledged steps are gone, the first of which was acknowledged at this moment."""
        self.counts["lost"] += steps
        following = bisect.bisect(self.kills, acknowledged_at - READ_LATE_SECONDS)
        age = max(0.0, self.kills[following] - acknowledged_at)
        self.oldest_loss_seconds = max(self.oldest_loss_seconds, age)
        if age >= self.allowed_loss_seconds:
            self.violate(f"lost: {text}, {age:.2f} s before the kill")

    def violate(self, text: str) -> None:
        self.violations.append(text)

    def _compare(self, account: Account, step: int, quantiles: list[float]) -> None:
        """A step that is acknowledged again comes with the same forecast again."""
        found = np.array(quantiles, np.float32).tobytes()
        if account.forecasts.setdefault(step, found) != found:
            self.counts["differing"] += 1
            self.violate(f"{account.plan.name}: step {step} has two forecasts")

"""The sessions as they would be had nothing ever happened: one engine in this process, fed one observation after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.engine.forecast import Wish
from app.engine.operations.looking import Peek
from app.engine.operations.opening import Open
from app.engine.operations.stepping import TakeSteps
from app.engine.registry import open_models
from app.engine.session import Key, unpack
from app.engine.steps import Place
from app.stores.base import Place as Kept
from app.stores.base import Store, Table
from app.stores.opening import open_store
from tests.conftest import Lab, column
from tests.crash.ledger import HORIZON, LEVEL, Account, Ledger

WISH = Wish(HORIZON, (float(LEVEL),))
MOST_BYTES = 2**40


def compare(ledger: Ledger, models: Path, model: str, data: Path, peeked: dict[str, dict]) -> None:
    """Compare a killed server's data directory, and the forecasts it gave, with the reference; what differs is a violation."""
    lab = Lab(open_models(models, "cpu", "auto"), gap_limit=0)
    for account in ledger.accounts:
        lab.ask(Open(Key("", account.plan.name), model=model, start=0))
    _feed(lab, ledger)
    with open_store("lmdb", data, "sync", 1.0, MOST_BYTES) as store:
        for account in ledger.accounts:
            _compare_end(lab, store, account, ledger)
            if account.plan.name in peeked:
                _compare_peek(lab, account, peeked[account.plan.name], ledger)


def _feed(lab: Lab, ledger: Ledger) -> None:
    """All observations, in ticks of one of every session; every forecast that was given is compared on the way."""
    step, going = 1, list(ledger.accounts)
    while going := [account for account in going if account.step >= step]:
        replies = lab.ask_all([_step(account, step) for account in going])
        for account, reply in zip(going, replies, strict=True):
            given = account.forecasts.get(step)
            if given is None:
                continue
            ledger.counts["forecasts"] += 1
            if reply.forecast.values[:, 0, 0].tobytes() != given:
                ledger.counts["differing"] += 1
                ledger.violate(f"{account.plan.name}: the forecast after step {step} differs")
        step += 1


def _step(account: Account, step: int) -> TakeSteps:
    """One observation, with the forecast that is compared where one was given."""
    wish = WISH if step in account.forecasts else None
    return TakeSteps(Key("", account.plan.name), column(account.plan.observation(step)), Place(step), wish=wish)


def _compare_end(lab: Lab, store: Store, account: Account, ledger: Ledger) -> None:
    """Where the session is, and every bit of its state."""
    name = account.plan.name
    record = store.get(Kept(Table.LIVE, b"\0" + name.encode()))
    if account.closed_at is not None:
        if record is not None:
            ledger.lose(1, account.closed_at, f"{name} was closed, and lives")
        return
    if record is None:
        ledger.counts["lost"] += account.step
        ledger.violate(f"lost: {name} with {account.step} steps is not there")
        return
    step = int(unpack(record.header)[0]["step"][0])
    if step != account.step:
        ledger.counts["lost" if step < account.step else "doubled"] += abs(account.step - step)
        ledger.violate(f"{name}: {account.step} steps are acknowledged, the store has {step}")
        return
    _, _, state = lab.sessions.gather(Key("", name))
    ledger.counts["compared"] += 1
    if record.state != state.tobytes():
        ledger.counts["differing"] += 1
        ledger.violate(f"{name}: the state after step {step} differs")


def _compare_peek(lab: Lab, account: Account, reply: dict, ledger: Ledger) -> None:
    """The whole forecast that a restarted server gives."""
    forecast = lab.ask(Peek(Key("", account.plan.name), Wish())).forecast
    given = np.array(list(reply.get("quantiles", {}).values()), np.float32)  # (levels, H)
    ledger.counts["peeked"] += 1
    if reply.get("step") != account.step or given.tobytes() != forecast.values[:, 0, :].T.tobytes():
        ledger.counts["differing"] += 1
        ledger.violate(f"{account.plan.name}: a peek after the last start differs")

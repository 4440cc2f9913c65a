"""Once a second a few sessions are looked at: those that nobody has used for too long end, and old ends are forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.engine.operations.sweeping import Expire, FindForgettable, FindIdle, Forget
from app.errors import Refusal

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
AT_ONCE = 500  # records; a million sessions are looked at every half hour

Ask = Callable[[Any], Awaitable[Any]]


@contextmanager
def sweeping(loop: asyncio.AbstractEventLoop, ask: Ask) -> Iterator[None]:
    """Sweep until the end of the block."""
    task = loop.create_task(_sweep(ask))
    try:
        yield
    finally:
        task.cancel()


async def _sweep(ask: Ask) -> None:
    after_idle = after_forgettable = b""
    while True:
        await asyncio.sleep(PAUSE_SECONDS)
        try:
            after_idle = await _round(ask, FindIdle(after_idle, AT_ONCE), Expire)
            after_forgettable = await _round(ask, FindForgettable(after_forgettable, AT_ONCE), Forget)
        except Refusal as refusal:
            logger.warning("idle sessions were not looked for: %s", refusal.detail)


async def _round(ask: Ask, find: FindIdle | FindForgettable, end: type[Expire | Forget]) -> bytes:
    """End what is found, all of it in a tick or two; where to go on."""
    found = await ask(find)
    await asyncio.gather(*(ask(end(key)) for key in found.keys))
    after: bytes = found.after
    return after

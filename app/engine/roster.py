"""Sessions that are named together. Whoever writes columns names the same ones again and again, so what was found out about all
of them is kept with their names.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from app.engine.arrays import Index
from app.engine.places import stored
from app.engine.session import Key
from app.stores.base import Place, Table

if TYPE_CHECKING:
    from app.engine.arena import Arena


class Found(NamedTuple):
    """In which slots of an arena all sessions of a roster were, when so much had changed in it."""

    arena: Arena
    changes: int
    slots: Index

    @property
    def holds(self) -> bool:
        """Whether nobody came or left since."""
        return self.arena.changes == self.changes


class Roster(tuple[Key, ...]):  # noqa: SLOT001 - a tuple can have none but empty ones
    """Different sessions, in an order. `found` says where in memory they were last."""

    found: Found | None = None

    @cached_property
    def places(self) -> list[Place]:
        """Where their records are kept."""
        return [stored(Table.LIVE, key) for key in self]

    def __reduce__(self) -> Any:
        """Another process gets the keys alone."""
        return Roster, (tuple(self),)

"""What a socket has learned of the sessions that its client works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat

import msgspec

from app.engine.roster import Roster
from app.engine.session import Key
from app.errors import InvalidRequest

MOST_IDS = 20_000  # in all lists together that are remembered
MOST_BYTES = 3 * 2**20  # of them as they were written: there may be more between ids than in them

ReadIds = Callable[[bytes], Sequence[str]]


class Acquaintance:
    """Which `incarnations` of sessions the client has met, and the lists of sessions that its columns named: most frames
    bring the same list as others before them, byte for byte.
    """

    def __init__(self, tenant: str, read_ids: ReadIds) -> None:
        self.incarnations: dict[Key, int] = {}
        self._tenant = tenant
        self._read_ids = read_ids
        self._rosters: dict[bytes, Roster] = {}
        self._ids = self._bytes = 0

    def roster(self, written: msgspec.Raw) -> Roster:
        """The sessions of a list as it was written; raises InvalidRequest."""
        data = bytes(written)
        roster = self._rosters.pop(data, None)
        if roster is None:
            roster = self._read(data)
            self._ids += len(roster)
            self._bytes += len(data)
        self._rosters[data] = roster  # the newest is the last one
        while self._ids > MOST_IDS or self._bytes > MOST_BYTES:
            oldest = next(iter(self._rosters))
            self._ids -= len(self._rosters.pop(oldest))
            self._bytes -= len(oldest)
        return roster

    def _read(self, data: bytes) -> Roster:
        ids = self._read_ids(data)
        if len(set(ids)) < len(ids):
            raise InvalidRequest(
                "a session is named twice; send its observations in one 'step' or in frames of their own"
            )
        return Roster(map(Key, repeat(self._tenant), ids))

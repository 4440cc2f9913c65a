"""Where the store keeps the record of a session."""

from __future__ import annotations

from app.engine.session import Key
from app.stores.base import Place, Table


def stored(table: Table, key: Key) -> Place:
    """Where the record of a session is kept."""
    return Place(table, stored_key(key))


def stored_key(key: Key) -> bytes:
    """The key of a session's record: sessions of one tenant are neighbours, in the order of their ids."""
    return f"{key.tenant}\0{key.id}".encode()


def key_of(stored_key: bytes) -> Key:
    """Whose record lies under a key."""
    return Key(*stored_key.decode().split("\0", 1))

"""The keys with which messages are read, told apart by the device that gave them: a copy takes nobody's place."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from nio.crypto.sessions import InboundGroupSession

from bot.matrix.ids import RoomId, UserId

_TABLE = """
CREATE TABLE IF NOT EXISTS room_keys (
    room TEXT, session TEXT, curve25519 TEXT, ed25519 TEXT NOT NULL, sender TEXT NOT NULL, pickle BLOB NOT NULL,
    PRIMARY KEY (room, session, curve25519)
)
"""


@dataclass(frozen=True, slots=True)
class RoomKey:
    """The key of one Megolm session, as one device gave it."""

    session: InboundGroupSession
    sender: UserId
    """The user from whom it came, by the homeserver's word and the device's own; empty where that was not kept."""

    @property
    def device(self) -> tuple[str, str]:
        """The Curve25519 key, which has encrypted it, and the Ed25519 key that was claimed with it."""
        return self.session.sender_key, self.session.ed25519


class RoomKeys:
    """All keys that this device has. nio's own store has one row a session, and whoever hands it on rewrites that."""

    def __init__(self, database: Any, pickle_key: str) -> None:
        self._database, self._pickle_key = database, pickle_key
        self._rooms: dict[str, dict[str, dict[str, RoomKey]]] = {}
        database.execute_sql(_TABLE)
        for row in database.execute_sql("SELECT room, curve25519, ed25519, sender, pickle FROM room_keys"):
            room, curve25519, ed25519, sender, pickle = row
            session = InboundGroupSession.from_pickle(pickle, ed25519, curve25519, room, pickle_key)
            self._note(RoomKey(session, UserId(sender)))

    def take_over(self, sessions: Iterable[InboundGroupSession]) -> None:
        """Keep what an earlier version left in nio's table, and empty that."""
        for session in sessions:
            self.add(RoomKey(session, UserId("")))
        self._database.execute_sql("DELETE FROM megolminboundsessions")

    def add(self, key: RoomKey) -> None:
        """Keep a key, unless the same device gave one of this session that reads as much already."""
        session = key.session
        known = self._rooms.get(session.room_id, {}).get(session.id, {}).get(session.sender_key)
        if known is not None and known.session.first_known_index <= session.first_known_index:
            return
        self._note(key)
        row = (session.room_id, session.id, *key.device, key.sender, session.pickle(self._pickle_key))
        self._database.execute_sql("INSERT OR REPLACE INTO room_keys VALUES (?, ?, ?, ?, ?, ?)", row)

    def _note(self, key: RoomKey) -> None:
        sessions = self._rooms.setdefault(key.session.room_id, {})
        sessions.setdefault(key.session.id, {})[key.session.sender_key] = key

    def of(self, room: RoomId, session_id: str) -> Collection[RoomKey]:
        """The keys of a session, one for each device that gave it."""
        return self._rooms.get(room, {}).get(session_id, {}).values()

    def forget(self, room: RoomId) -> None:
        """Forget the keys of a room."""
        self._rooms.pop(room, None)
        self._database.execute_sql("DELETE FROM room_keys WHERE room = ?", (room,))


def opened(keys: Iterable[RoomKey], ciphertext: str) -> tuple[RoomKey, str, int]:
    """The first of the keys that fits a message, its text and its index; `ValueError` where none does."""
    why = ""
    for key in keys:
        try:
            return key, *key.session.decrypt(ciphertext)
        except Exception as error:
            why = type(error).__name__
    raise ValueError(why)

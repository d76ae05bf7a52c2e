"""The account's own note of our rooms, ids, numbers and moments only: what is left to go by where the store is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from bot.clock import Clock, from_ms, to_ms
from bot.errors import Permanent, Temporary
from bot.matrix.events import mapping
from bot.matrix.ports import AccountData
from plugins.breakout.domain.changes.restoring import Noted
from plugins.breakout.domain.model import Door, Mode, Session
from plugins.breakout.store import Desk

log = structlog.get_logger(__name__)

TYPE = "org.breakoutbot.sessions"
"""The type of the account data: `{"mains": {main room: what note_of returns}}`."""

_MOMENTS = ("prepared_at", "started_at", "clock_at", "ends_at", "closing_at", "ended_at")


PAUSE = timedelta(minutes=1)
"""After a failure: a homeserver that does not answer would keep one main room after another waiting."""


class Record:
    """Keeps the account data as the store is."""

    def __init__(self, account: AccountData, clock: Clock) -> None:
        self._account, self._clock = account, clock
        self._mains: dict[str, Any] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._again: datetime | None = None
        """When to try again what failed."""

    async def keep(self, main: str, note: dict[str, Any] | None) -> datetime | None:
        """Note the rooms of a main room; None where there are none. Returns when to try it again, where it failed."""
        async with self._one_at_a_time:
            if self._again is not None and self._clock.now() < self._again:
                return self._again
            self._again = None
            try:
                known = self._mains if self._mains is not None else await self._read()
                changed = {key: value for key, value in known.items() if key != main}
                if note is not None:
                    changed[main] = note
                if changed != known:
                    await self._account.set_account_data(TYPE, {"mains": changed})
                self._mains = changed
            except (Temporary, Permanent) as error:
                log.warning("the account's note of our rooms could not be kept", why=str(error))
                self._again = self._clock.now() + PAUSE
            return self._again

    async def of(self, main: str) -> Remembered | None:
        """What the account says of a main room; None where it says nothing. Raises `Temporary`."""
        async with self._one_at_a_time:
            try:
                note = (await self._read()).get(main)
            except Permanent as error:
                log.warning("the account's note of our rooms cannot be read", why=str(error))
                return None
        return None if note is None else _remembered(mapping(note))

    async def _read(self) -> dict[str, Any]:
        found = (await self._account.account_data(TYPE) or {}).get("mains")
        return dict(found) if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the account's note says of a main room."""

    desk: str | None = None
    current: str | None = None
    """The id of its session; None where there was none but former ones."""
    former: frozenset[str] = frozenset()
    """The ids of sessions that are over, whose rooms were still there."""
    noted: Noted = field(default_factory=Noted)
    """Of the current session."""


def note_of(desk: Desk | None, current: Session | None, former: Sequence[Session]) -> dict[str, Any] | None:
    """What is to be noted of a main room; None where there is nothing of ours."""
    sessions = [*([current] if current else []), *former]
    rooms = {
        session.id: {str(room.number): room.room_id for room in session.rooms if room.room_id and not room.closed}
        for session in sessions
    }
    note: dict[str, Any] = {
        "desk": desk.room if desk and desk.wanted else None,
        "sessions": {key: value for key, value in rooms.items() if value},
    }
    if current is not None and current.open_rooms:
        moments = {name: to_ms(moment) for name in _MOMENTS if (moment := getattr(current, name)) is not None}
        note["current"] = {
            "session": current.id,
            "mode": str(current.mode),
            "round": current.round,
            "everyone": current.everyone,
            "capacity": current.capacity,
            "kept": current.kept,
            "door": str(current.door),
            **moments,
        }
    return note if any(note.values()) else None


def _remembered(note: Mapping[str, Any]) -> Remembered:
    """Read a note, which another version of the bot may have written, or anybody who has the account."""
    current, sessions = mapping(note.get("current")), mapping(note.get("sessions"))
    id_ = _text(current.get("session"))
    rooms = {int(key): str(room) for key, room in mapping(sessions.get(id_ or "")).items() if key.isdecimal()}
    mode = current.get("mode")
    noted = Noted(
        mode=Mode(mode) if mode in set(Mode) else None,
        round=_number(current.get("round")),
        everyone=current.get("everyone") is True,
        capacity=_number(current.get("capacity")),
        kept=current.get("kept") is True,
        door=Door.OPEN if current.get("door") == Door.OPEN else Door.INVITE,
        rooms=rooms,
        **{name: _moment(current.get(name)) for name in _MOMENTS},
    )
    return Remembered(_text(note.get("desk")), id_, frozenset(sessions) - {id_}, noted)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(value: object) -> datetime | None:
    number = _number(value)
    try:
        return None if number is None else from_ms(number)
    except (OverflowError, ValueError, OSError):
        return None

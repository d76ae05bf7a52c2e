"""What the plugin remembers: sessions with their revision, and each main room's desk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from bot.store.connection import Connection
from plugins.breakout.domain.changes.ending import forgotten
from plugins.breakout.domain.model import Phase, Session

metadata = MetaData()

sessions = Table(
    "breakout_sessions",
    metadata,
    Column("id", String, primary_key=True),
    Column("main", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("phase", String, nullable=False),
    Column("retired", Boolean, nullable=False),
    Column("over", Boolean, nullable=False),
    Column("body", JSON, nullable=False),
    Index("breakout_sessions_of_main", "main", "over", "retired"),
)
"""`retired`: a newer session took its place, or it was deleted; `over`: nothing is left of it on the homeserver."""

_CURRENT = ~sessions.c.retired & ~sessions.c.over
_RUNS = sessions.c.phase.in_([str(Phase.RUNNING), str(Phase.CLOSING)])

desks = Table(
    "breakout_desks",
    metadata,
    Column("main", String, primary_key=True),
    Column("room", String, nullable=True),
    Column("attempt", Integer, nullable=False),
    Column("wanted", Boolean, nullable=False),
)

ASIDE = "aside"
"""The phase of the row of a session as a backup had it: only to look up what is found nowhere else."""

READ = 32
"""Sessions that are kept as they were read; each change of one is another."""

_TEXT = type_coerce(sessions.c.body, String).label("text")
_OF_MAIN = select(_TEXT, sessions.c.revision).where(
    sessions.c.main == bindparam("main"), sessions.c.retired == bindparam("retired"), ~sessions.c.over
)
_OF_ID = select(_TEXT, sessions.c.revision).where(sessions.c.id == bindparam("id"), sessions.c.phase != ASIDE)
_DESK_OF = select(desks).where(desks.c.main == bindparam("main"))
_DESK_IN = select(desks).where(desks.c.room == bindparam("room"))

_codec: TypeAdapter[Session] = TypeAdapter(Session)


class OutdatedError(Exception):
    """The session was saved by somebody else since it was loaded."""


@dataclass(frozen=True, slots=True)
class Desk:
    """A main room's desk: made when `wanted`, closed when no longer."""

    main: str
    room: str | None = None
    attempt: int = 1
    wanted: bool = True

    @property
    def creation_key(self) -> str:
        """Unique to this attempt of making it."""
        return f"desk-{self.main.strip('!')}-{self.attempt}"


class Sessions:
    """The sessions and desks within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, main: str) -> Session | None:
        """The session of a main room: the one that is not retired."""
        row = (await self._connection.execute(_OF_MAIN, {"main": main, "retired": False})).one_or_none()
        return None if row is None else _loaded(row)

    async def of_id(self, session_id: str) -> Session | None:
        """A session by its id, retired ones too."""
        row = (await self._connection.execute(_OF_ID, {"id": session_id})).one_or_none()
        return None if row is None else _loaded(row)

    async def retired(self, main: str) -> Sequence[Session]:
        """The former sessions of a main room of which something is left on the homeserver."""
        rows = await self._connection.execute(_OF_MAIN, {"main": main, "retired": True})
        return [_loaded(row) for row in rows]

    async def knows(self, main: str) -> bool:
        """Whether there ever was a session of this main room."""
        query = select(sessions.c.id).where(sessions.c.main == main, sessions.c.phase != ASIDE).limit(1)
        return (await self._connection.execute(query)).first() is not None

    async def put_aside(self) -> None:
        """Take the sessions of the moment as a backup's, and forget the others and the desks: rooms tell of those."""
        await self._connection.execute(delete(sessions).where(sessions.c.retired | sessions.c.over))
        await self._connection.execute(update(sessions).values(phase=ASIDE, retired=True, over=True))
        await self._connection.execute(delete(desks))

    async def take_aside(self, main: str) -> Session | None:
        """The session of a main room as a backup had it, which is forgotten here; None where there is none."""
        which = (sessions.c.main == main) & (sessions.c.phase == ASIDE)
        query = delete(sessions).where(which).returning(_TEXT, sessions.c.revision)
        row = (await self._connection.execute(query)).first()
        return None if row is None else _loaded(row)

    async def save(self, session: Session, *, retired: bool = False) -> Session:
        """Save the next revision and return it; `OutdatedError` where the loaded one is not the newest."""
        saved = replace(session, revision=session.revision + 1)
        retired = retired or session.phase is Phase.DELETED
        over = retired and all(room.closed or room.room_id is None for room in session.rooms)
        saved = forgotten(saved) if over else saved
        values = {
            "main": session.main,
            "revision": saved.revision,
            "phase": str(session.phase),
            "retired": retired,
            "over": over,
            "body": type_coerce(_written(saved), String),
        }
        if session.revision == 0:
            await self._connection.execute(insert(sessions).values(id=session.id, **values))
            return saved
        result = await self._connection.execute(
            update(sessions)
            .where(sessions.c.id == session.id, sessions.c.revision == session.revision)
            .values(**values)
        )
        if not result.rowcount:
            raise OutdatedError(session.id)
        return saved

    async def mains(self) -> Sequence[str]:
        """The main rooms for which something may be left to do."""
        open_sessions = select(sessions.c.main).where(~sessions.c.over)
        open_desks = select(desks.c.main)
        return list((await self._connection.execute(open_sessions.union(open_desks))).scalars())

    async def count(self) -> Mapping[str, int]:
        """How many sessions are in each phase, those that came to an end for good left out."""
        query = select(sessions.c.phase, func.count()).where(_CURRENT).group_by(sessions.c.phase)
        return {row.phase: row[1] for row in await self._connection.execute(query)}

    async def count_people(self) -> Mapping[str, int]:
        """How many seats of sessions that run have each presence."""
        seat = func.json_each(sessions.c.body, "$.seats").table_valued("value")
        presence = func.json_extract(seat.c.value, "$.presence")
        query = select(presence, func.count()).select_from(sessions.join(seat, true())).where(_CURRENT, _RUNS)
        return {row[0]: row[1] for row in await self._connection.execute(query.group_by(presence))}

    async def unclaimed_help(self) -> Sequence[datetime]:
        """Since when each room waits that asked for help and to which no moderator is on the way."""
        room = func.json_each(sessions.c.body, "$.rooms").table_valued("value")
        since, by = (func.json_extract(room.c.value, f"$.help.{field}") for field in ("since", "claimed_by"))
        query = select(since).select_from(sessions.join(room, true())).where(_CURRENT, _RUNS)
        rows = await self._connection.execute(query.where(since.is_not(None), by.is_(None)))
        return [datetime.fromisoformat(moment) for moment in rows.scalars()]

    async def desk(self, main: str) -> Desk | None:
        """The desk of a main room; None where there never was one."""
        row = (await self._connection.execute(_DESK_OF, {"main": main})).one_or_none()
        return None if row is None else Desk(row.main, row.room, row.attempt, row.wanted)

    async def desk_in(self, room: str) -> Desk | None:
        """The desk that this room is."""
        row = (await self._connection.execute(_DESK_IN, {"room": room})).one_or_none()
        return None if row is None else Desk(row.main, row.room, row.attempt, row.wanted)

    async def move_desk(self, desk: Desk, main: str) -> None:
        """The desk is another main room's from now on."""
        await self._connection.execute(delete(desks).where(desks.c.main == desk.main))
        await self.save_desk(replace(desk, main=main))

    async def save_desk(self, desk: Desk) -> None:
        """Remember the desk."""
        values: dict[str, Any] = {"room": desk.room, "attempt": desk.attempt, "wanted": desk.wanted}
        statement = insert(desks).values(main=desk.main, **values)
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["main"], set_=values))


def _written(session: Session) -> str:
    try:
        return _codec.dump_json(session, fallback=dict, warnings=False).decode()  # fallback: mappingproxy
    except ValueError:  # half a character, as a hostile client may write one: only `json` escapes it
        return json.dumps(_codec.dump_python(session, mode="json", fallback=dict, warnings=False))


def _loaded(row: Any) -> Session:
    return _read(row.text, row.revision)


@lru_cache(READ)
def _read(text: str, revision: int) -> Session:
    """The session of a row; it is asked for again and again between two changes."""
    return replace(_codec.validate_python(json.loads(text)), revision=revision)

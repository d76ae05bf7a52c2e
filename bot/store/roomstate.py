"""What the rooms are like: their clear state events, as sync brought them or as we assume after a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from bot.clock import from_ms, to_ms
from bot.matrix.events import Content
from bot.matrix.ids import RoomId, UserId
from bot.matrix.power import Power
from bot.store.connection import Connection
from bot.store.tables import last_spoke, room_state


@dataclass(frozen=True, slots=True)
class Membership:
    """One person's membership of a room. `sender` caused it: the person, or who invited or removed them."""

    membership: str
    name: str
    sender: UserId
    reason: str
    at: datetime


class _Room:
    """All that is known of one room, as rows of content, sender and moment."""

    def __init__(self, rows: Mapping[tuple[str, str], tuple[Content, str, int]]) -> None:
        self.rows = rows

    def of_type(self, type_: str) -> Mapping[str, tuple[Content, str, int]]:
        return {key: row for (of, key), row in self.rows.items() if of == type_}

    @cached_property
    def members(self) -> Mapping[UserId, Membership]:
        return {UserId(user): _membership(*row) for user, row in self.of_type("m.room.member").items()}

    @cached_property
    def power(self) -> Power:
        create, creator, _ = self.rows.get(("m.room.create", ""), ({}, "", 0))
        levels = self.rows.get(("m.room.power_levels", ""), (None,))[0]
        return Power.of(levels, create, creator)


_OF_ROOM = select(
    room_state.c.type, room_state.c.state_key, room_state.c.content, room_state.c.sender, room_state.c.at_ms
).where(room_state.c.room == bindparam("room"))
_WITH_TYPE = select(room_state.c.room, room_state.c.content).where(
    room_state.c.type == bindparam("type"), room_state.c.state_key == ""
)
_PUT = insert(room_state)
_PUT = _PUT.on_conflict_do_update(
    index_elements=["room", "type", "state_key"],
    set_={name: _PUT.excluded[name] for name in ("content", "sender", "at_ms")},
)
_SAID = insert(last_spoke)
_SAID = _SAID.on_conflict_do_update(
    index_elements=["room", "user"], set_={"at_ms": func.max(last_spoke.c.at_ms, _SAID.excluded.at_ms)}
)
_SPOKE = select(last_spoke.c.user, last_spoke.c.at_ms).where(last_spoke.c.room == bindparam("room"))


class RoomStates:
    """The room-state table within one transaction. Nothing in it comes from encrypted events.

    A room is read whole, and remembered with the connection until something of it is written.
    """

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection, self._now = connection, now

    async def _room(self, room: RoomId) -> _Room:
        async def read() -> _Room:
            rows = await self._connection.execute(_OF_ROOM, {"room": room})
            return _Room({(type_, key): (content, sender, at) for type_, key, content, sender, at in rows})

        return await self._connection.remembered(("room", room), read)

    async def content(self, room: RoomId, type_: str, key: str = "") -> Content | None:
        """The content of one state event; None where there is none."""
        row = (await self._room(room)).rows.get((type_, key))
        return None if row is None else row[0]

    async def of_type(self, room: RoomId, type_: str) -> Mapping[str, Content]:
        """The contents of all state events of a type, by state key."""
        return {key: row[0] for key, row in (await self._room(room)).of_type(type_).items()}

    async def members(self, room: RoomId) -> Mapping[UserId, Membership]:
        """Everybody of whom the room says something, those who left included."""
        return (await self._room(room)).members

    async def members_in(self, rooms: Iterable[RoomId]) -> Sequence[tuple[RoomId, UserId, Membership]]:
        """What `members` says, of several rooms."""
        query = select(room_state).where(room_state.c.room.in_(tuple(rooms)), room_state.c.type == "m.room.member")
        return [
            (RoomId(row.room), UserId(row.state_key), _membership(row.content, row.sender, row.at_ms))
            for row in await self._connection.execute(query)
        ]

    async def power(self, room: RoomId) -> Power:
        """Who may do what."""
        return (await self._room(room)).power

    async def creator(self, room: RoomId) -> UserId | None:
        """Who made the room; None for one of which we know nothing."""
        row = (await self._room(room)).rows.get(("m.room.create", ""))
        return None if row is None else UserId(row[1])

    async def made_at(self, room: RoomId) -> datetime | None:
        """When the room was made; None for one of which we know nothing."""
        return await self.since(room, "m.room.create")

    async def since(self, room: RoomId, type_: str) -> datetime | None:
        """Since when a state event (of empty key) holds, as its sender's server says; None where there is none."""
        row = (await self._room(room)).rows.get((type_, ""))
        return None if row is None else from_ms(row[2])

    async def name(self, room: RoomId) -> str | None:
        """The room's name; None where it has none."""
        content = await self.content(room, "m.room.name") or {}
        name = content.get("name")
        return name if isinstance(name, str) and name.strip() else None

    async def rooms_with(self, type_: str) -> Mapping[RoomId, Content]:
        """The rooms that have a state event of this type with an empty key."""

        async def read() -> Mapping[RoomId, Content]:
            rows = await self._connection.execute(_WITH_TYPE, {"type": type_})
            return {RoomId(room): content for room, content in rows}

        return await self._connection.remembered(("type", type_), read)

    async def joined_rooms_of(self, user: UserId) -> Sequence[RoomId]:
        """The rooms that `user` is in, of those that we know."""
        query = select(room_state.c.room, room_state.c.content).where(
            room_state.c.type == "m.room.member", room_state.c.state_key == user
        )
        rows = await self._connection.execute(query)
        return [RoomId(row.room) for row in rows if row.content.get("membership") == "join"]

    async def assume(self, room: RoomId, type_: str, key: str, content: Content, sender: str) -> None:
        """Take a step that succeeded as seen, until sync brings something newer.

        Nobody is invited who is there: who has joined before the answer to the invitation came stays so.
        """
        if type_ == "m.room.member" and content.get("membership") == "invite":
            there = await self.content(room, type_, key)
            if there is not None and there.get("membership") == "join":
                return
        row = {"room": room, "type": type_, "state_key": key, "content": dict(content), "sender": sender}
        await self.put([{**row, "at_ms": to_ms(self._now)}])

    async def put(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write state rows as sync brought them, the last of each key counting, in one statement."""
        if not rows:
            return
        self._connection.forget(("room", row["room"]) for row in rows)
        self._connection.forget(("type", row["type"]) for row in rows)
        self._connection.soon(_PUT, [dict(row) for row in rows])

    async def spoke(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Note when people wrote last; what comes late does not turn it back."""
        if not rows:
            return
        self._connection.forget(("spoke", row["room"]) for row in rows)
        self._connection.soon(_SAID, [dict(row) for row in rows])

    async def last_spoke(self, room: RoomId) -> Mapping[UserId, datetime]:
        """When each person wrote last in a room."""

        async def read() -> Mapping[UserId, datetime]:
            rows = await self._connection.execute(_SPOKE, {"room": room})
            return {UserId(user): from_ms(at) for user, at in rows}

        return await self._connection.remembered(("spoke", room), read)

    async def forget(self, room: RoomId) -> None:
        """Drop all that is known of a room that we are no longer in."""
        types = {type_ for type_, key in (await self._room(room)).rows if not key}
        self._connection.forget((("room", room), ("spoke", room), *(("type", type_) for type_ in types)))
        await self._connection.execute(delete(room_state).where(room_state.c.room == room))
        await self._connection.execute(delete(last_spoke).where(last_spoke.c.room == room))


def _membership(content: Content, sender: str, at_ms: int) -> Membership:
    def text(name: str) -> str:
        value = content.get(name)
        return value if isinstance(value, str) else ""

    return Membership(text("membership"), text("displayname"), UserId(sender), text("reason"), from_ms(at_ms))

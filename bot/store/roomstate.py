"""What the rooms are like: their clear state events, as sync brought them or as we assume after a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.clock import from_ms, to_ms
from bot.matrix.events import Content
from bot.matrix.ids import RoomId, UserId
from bot.matrix.power import Power
from bot.store.tables import last_spoke, room_state


@dataclass(frozen=True, slots=True)
class Membership:
    """One person's membership of a room. `sender` caused it: the person, or who invited or removed them."""

    membership: str
    name: str
    sender: UserId
    reason: str
    at: datetime


class RoomStates:
    """The room-state table within one transaction. Nothing in it comes from encrypted events."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection, self._now = connection, now

    async def content(self, room: RoomId, type_: str, key: str = "") -> Content | None:
        """The content of one state event; None where there is none."""
        query = select(room_state.c.content).where(
            room_state.c.room == room, room_state.c.type == type_, room_state.c.state_key == key
        )
        found: Content | None = (await self._connection.execute(query)).scalar_one_or_none()
        return found

    async def of_type(self, room: RoomId, type_: str) -> Mapping[str, Content]:
        """The contents of all state events of a type, by state key."""
        query = select(room_state.c.state_key, room_state.c.content).where(
            room_state.c.room == room, room_state.c.type == type_
        )
        return {row.state_key: row.content for row in await self._connection.execute(query)}

    async def members(self, room: RoomId) -> Mapping[UserId, Membership]:
        """Everybody of whom the room says something, those who left included."""
        query = select(room_state).where(room_state.c.room == room, room_state.c.type == "m.room.member")
        return {
            UserId(row.state_key): _membership(row.content, row.sender, row.at_ms)
            for row in await self._connection.execute(query)
        }

    async def members_in(self, rooms: Iterable[RoomId]) -> Sequence[tuple[RoomId, UserId, Membership]]:
        """What `members` says, of several rooms."""
        query = select(room_state).where(room_state.c.room.in_(tuple(rooms)), room_state.c.type == "m.room.member")
        return [
            (RoomId(row.room), UserId(row.state_key), _membership(row.content, row.sender, row.at_ms))
            for row in await self._connection.execute(query)
        ]

    async def power(self, room: RoomId) -> Power:
        """Who may do what."""
        query = select(room_state.c.type, room_state.c.content, room_state.c.sender).where(
            room_state.c.room == room,
            room_state.c.type.in_(("m.room.power_levels", "m.room.create")),
            room_state.c.state_key == "",
        )
        found = {row.type: (row.content, row.sender) for row in await self._connection.execute(query)}
        create, creator = found.get("m.room.create", ({}, ""))
        return Power.of(found.get("m.room.power_levels", (None, ""))[0], create, creator)

    async def creator(self, room: RoomId) -> UserId | None:
        """Who made the room; None for one of which we know nothing."""
        query = select(room_state.c.sender).where(
            room_state.c.room == room, room_state.c.type == "m.room.create", room_state.c.state_key == ""
        )
        found = (await self._connection.execute(query)).scalar_one_or_none()
        return None if found is None else UserId(found)

    async def made_at(self, room: RoomId) -> datetime | None:
        """When the room was made; None for one of which we know nothing."""
        return await self.since(room, "m.room.create")

    async def since(self, room: RoomId, type_: str) -> datetime | None:
        """Since when a state event (of empty key) holds, as its sender's server says; None where there is none."""
        query = select(room_state.c.at_ms).where(
            room_state.c.room == room, room_state.c.type == type_, room_state.c.state_key == ""
        )
        found = (await self._connection.execute(query)).scalar_one_or_none()
        return None if found is None else from_ms(found)

    async def name(self, room: RoomId) -> str | None:
        """The room's name; None where it has none."""
        content = await self.content(room, "m.room.name") or {}
        name = content.get("name")
        return name if isinstance(name, str) and name.strip() else None

    async def rooms_with(self, type_: str) -> Mapping[RoomId, Content]:
        """The rooms that have a state event of this type with an empty key."""
        query = select(room_state.c.room, room_state.c.content).where(
            room_state.c.type == type_, room_state.c.state_key == ""
        )
        return {RoomId(row.room): row.content for row in await self._connection.execute(query)}

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
        statement = insert(room_state)
        statement = statement.on_conflict_do_update(
            index_elements=["room", "type", "state_key"],
            set_={name: statement.excluded[name] for name in ("content", "sender", "at_ms")},
        )
        await self._connection.execute(statement, [dict(row) for row in rows])

    async def spoke(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Note when people wrote last; what comes late does not turn it back."""
        if not rows:
            return
        statement = insert(last_spoke)
        statement = statement.on_conflict_do_update(
            index_elements=["room", "user"], set_={"at_ms": func.max(last_spoke.c.at_ms, statement.excluded.at_ms)}
        )
        await self._connection.execute(statement, [dict(row) for row in rows])

    async def last_spoke(self, room: RoomId) -> Mapping[UserId, datetime]:
        """When each person wrote last in a room."""
        query = select(last_spoke.c.user, last_spoke.c.at_ms).where(last_spoke.c.room == room)
        return {UserId(row.user): from_ms(row.at_ms) for row in await self._connection.execute(query)}

    async def forget(self, room: RoomId) -> None:
        """Drop all that is known of a room that we are no longer in."""
        await self._connection.execute(delete(room_state).where(room_state.c.room == room))
        await self._connection.execute(delete(last_spoke).where(last_spoke.c.room == room))


def _membership(content: Content, sender: str, at_ms: int) -> Membership:
    def text(name: str) -> str:
        value = content.get(name)
        return value if isinstance(value, str) else ""

    return Membership(text("membership"), text("displayname"), UserId(sender), text("reason"), from_ms(at_ms))

"""Which room took the place of a main room that was upgraded, and which one it replaced."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.matrix.events import mapping
from bot.matrix.ids import RoomId, UserId
from bot.store.roomstate import RoomStates

MOVING = timedelta(hours=24)
"""How long membership of the old room counts for those who have not come to the new one."""


@dataclass(frozen=True, slots=True)
class Former:
    """The room that a main room replaced; its members count until `until`."""

    id: RoomId
    until: datetime


async def named_successor(rooms: RoomStates, room: RoomId) -> RoomId | None:
    """The room that the tombstone of `room` names, whatever that one says of it."""
    new = (await rooms.content(room, "m.room.tombstone") or {}).get("replacement_room")
    return RoomId(new) if isinstance(new, str) and new != room else None


async def successor(rooms: RoomStates, room: RoomId, me: UserId) -> RoomId | None:
    """The room that took the place of `room`: both say so, and we are in it; None where there is none."""
    new = await named_successor(rooms, room)
    return new if new is not None and await _is_in(rooms, new, me) and await _replaces(rooms, new) == room else None


async def former_of(rooms: RoomStates, room: RoomId, me: UserId) -> Former | None:
    """The room that `room` replaced: both say so, and we are still in it; None where there is none."""
    old = await _replaces(rooms, room)
    if old is None or not await _is_in(rooms, old, me) or await named_successor(rooms, old) != room:
        return None
    since = await rooms.since(old, "m.room.tombstone")
    return None if since is None else Former(old, since + MOVING)


async def _replaces(rooms: RoomStates, room: RoomId) -> RoomId | None:
    create = await rooms.content(room, "m.room.create") or {}
    old = mapping(create.get("predecessor")).get("room_id")
    return RoomId(old) if isinstance(old, str) and old != room else None


async def _is_in(rooms: RoomStates, room: RoomId, user: UserId) -> bool:
    return (await rooms.content(room, "m.room.member", user) or {}).get("membership") == "join"

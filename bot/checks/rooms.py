"""What the bot may do in each room that somebody else made, which is where its sessions are begun."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.checks.finding import Finding
from bot.matrix.batch import batch_of
from bot.matrix.events import Content, RawEvent, RoomDelta, mapping
from bot.matrix.http import Ask, path
from bot.matrix.ids import RoomId, UserId
from bot.matrix.power import Power

_TYPES = (
    "m.room.create",
    "m.room.power_levels",
    "m.room.name",
    "m.room.canonical_alias",
    "m.room.encryption",
    "m.room.tombstone",
)


@dataclass(frozen=True, slots=True)
class _Room:
    """A room's state of our types, by type."""

    id: RoomId
    state: Mapping[str, RawEvent]

    def content(self, type_: str) -> Content:
        return mapping(mapping(self.state.get(type_)).get("content"))

    @property
    def creator(self) -> str:
        return str(mapping(self.state.get("m.room.create")).get("sender", ""))

    @property
    def name(self) -> str:
        named = self.content("m.room.name").get("name") or self.content("m.room.canonical_alias").get("alias")
        return f"“{named}”" if isinstance(named, str) and named else self.id


async def rooms(ask: Ask, me: UserId) -> AsyncIterator[Finding]:
    """A finding for each main room, and one about all the rooms."""
    batch = await _sync(ask)
    joined = [_Room(room, _by_type(delta)) for room, delta in batch.joined.items()]
    main = [room for room in joined if room.creator != me and "m.room.tombstone" not in room.state]
    for room in sorted(main, key=lambda room: room.name):
        yield _rights(room, me)
    said = f"main rooms: {len(main)}, others: {len(joined) - len(main)}, open invites: {len(batch.invited)}"
    remedy = "" if main else f"next: invite {me} to a room, and type !breakout there"
    yield Finding("rooms", ok=True, message=said, remedy=remedy)


async def _sync(ask: Ask) -> Any:
    """The state of our rooms that matters here. Without a token to go on from, it takes nothing from a running bot."""
    nothing: Mapping[str, Any] = {"types": []}
    wanted = {
        "presence": nothing,
        "account_data": nothing,
        "room": {
            "ephemeral": nothing,
            "account_data": nothing,
            "state": {"types": list(_TYPES)},
            "timeline": {"types": list(_TYPES), "limit": 1},
        },
    }
    query = {"filter": json.dumps(wanted), "timeout": "0", "set_presence": "offline"}
    answer = await ask("GET", path("sync"), query=query, timeout_s=60.0)
    return batch_of(answer.json, answer.server_time)


def _by_type(delta: RoomDelta) -> Mapping[str, RawEvent]:
    return {
        str(event["type"]): event
        for event in (*delta.state, *delta.timeline)
        if event.get("type") in _TYPES and event.get("state_key") == ""
    }


def _rights(room: _Room, me: UserId) -> Finding:
    create, levels = room.content("m.room.create"), room.state.get("m.room.power_levels")
    power = Power.of(room.content("m.room.power_levels") if levels else None, create, room.creator)
    level = power.level(me)
    encrypted = "m.room.encryption" in room.state
    speaking = ["m.reaction", "m.room.encrypted" if encrypted else "m.room.message"]
    needed = max(power.needed(type_) for type_ in speaking)
    what = f"room {room.name}: joined, {'encrypted' if encrypted else 'not encrypted'}, power level {level}"
    if level < needed:
        return Finding(
            f"room {room.id}",
            ok=False,
            message=f"{what}; the bot may not speak there, which takes level {needed}",
            remedy=f"type `/op {me} {needed}` there, or raise it in the room's settings under roles and permissions",
        )
    may = {
        "mention @room": level >= _level_for_room(room),
        "remove messages of others": power.can(me, "redact"),
    }
    can = ["speak", *(what for what, so in may.items() if so)]
    cannot = [what for what, so in may.items() if not so]
    said = f"{what}; the bot may {' and '.join(can)}"
    return Finding(
        f"room {room.id}", ok=True, message=said + (f", not {' nor '.join(cannot)} (not needed)" if cannot else "")
    )


def _level_for_room(room: _Room) -> int:
    level = mapping(room.content("m.room.power_levels").get("notifications")).get("room", 50)
    return level if isinstance(level, int) else 50

"""From a `/sync` answer to a batch; what has not the form that the specification gives it is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bot.errors import Temporary
from bot.matrix.events import RawEvent, RoomDelta, SyncBatch, mapping
from bot.matrix.ids import RoomId


def sync_filter(*, timeline: int) -> Mapping[str, Any]:
    """What we want to hear: rooms only, with all their members, and so many events of each."""
    nothing: Mapping[str, Any] = {"types": []}
    return {
        "presence": nothing,
        "account_data": nothing,
        "room": {
            "ephemeral": nothing,
            "account_data": nothing,
            "state": {"lazy_load_members": False},
            "timeline": {"limit": timeline, "lazy_load_members": False},
        },
    }


def batch_of(answer: Mapping[str, Any], server_time: datetime | None) -> SyncBatch:
    """The batch in a `/sync` answer; `Temporary` where it has no token to go on from."""
    token = answer.get("next_batch")
    if not isinstance(token, str):
        raise Temporary("a sync answer without next_batch")
    rooms = mapping(answer.get("rooms"))
    return SyncBatch(
        token,
        {room: _delta(body) for room, body in _rooms(rooms.get("join"))},
        {room: events_of(body.get("invite_state")) for room, body in _rooms(rooms.get("invite"))},
        {room: _delta(body) for room, body in _rooms(rooms.get("leave"))},
        server_time,
    )


def events_of(section: Any, name: str = "events") -> tuple[RawEvent, ...]:
    """The events of a section of an answer; stripped ones have no id, and no others may lack it."""
    listed = mapping(section).get(name)
    if not isinstance(listed, list):
        return ()
    return tuple(e for e in listed if isinstance(e, dict) and isinstance(e.get("event_id", ""), str))


def _rooms(section: Any) -> Iterator[tuple[RoomId, Mapping[str, Any]]]:
    for room, body in mapping(section).items():
        if isinstance(body, dict):
            yield RoomId(room), body


def _delta(body: Mapping[str, Any]) -> RoomDelta:
    timeline = mapping(body.get("timeline"))
    gap = timeline.get("prev_batch") if timeline.get("limited") is True else None
    return RoomDelta(events_of(body.get("state")), events_of(timeline), gap if isinstance(gap, str) else None)

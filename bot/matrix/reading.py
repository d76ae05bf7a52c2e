"""One event, asked for as it reads now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot.errors import Permanent
from bot.matrix.batch import events_of
from bot.matrix.edits import bundled, can_be_edited, edited
from bot.matrix.events import RawEvent
from bot.matrix.http import Ask, path
from bot.matrix.ids import EventId, RoomId


async def as_it_reads(ask: Ask, room: RoomId, event: EventId, opened: Callable[[RawEvent], RawEvent]) -> RawEvent:
    """An event of a room since its last edit; `opened` decrypts what is encrypted."""
    raw: RawEvent = (await ask("GET", path("rooms", room, "event", event))).json
    found = opened(raw)
    if not can_be_edited(found):
        return found
    return edited(found, [opened(edit) for edit in await _edits(ask, room, raw)])


async def _edits(ask: Ask, room: RoomId, event: RawEvent) -> Sequence[RawEvent]:
    """The newest edits of an event, told with it or asked for."""
    if edit := bundled(event):
        return [edit]
    where = path("rooms", room, "relations", str(event.get("event_id")), "m.replace", version="v1")
    try:
        return events_of((await ask("GET", where)).json, "chunk")
    except Permanent:  # a server that knows no edits
        return ()

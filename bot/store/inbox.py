"""What came in by sync: each event once, kept until it is handled, and a while after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from bot.clock import from_ms, to_ms
from bot.matrix.events import (
    Departed,
    Event,
    Invited,
    Item,
    Message,
    Reaction,
    Redaction,
    StateChange,
    SyncBatch,
    Unreadable,
)
from bot.matrix.ids import EventId
from bot.store.connection import Connection
from bot.store.roomstate import RoomStates
from bot.store.tables import inbox, sync_position

log = structlog.get_logger(__name__)

KEPT = timedelta(days=7)
"""How long handled events are remembered: a repeated one is known by its id, a redacted reaction by its content.

The words of messages go at once.
"""

_KINDS: dict[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (Message, Reaction, Redaction, StateChange, Unreadable, Invited, Departed)
}


_OPEN = (
    select(inbox.c.event_id, inbox.c.kind, inbox.c.event)
    .where(~inbox.c.done, inbox.c.kind != Invited.__name__)
    .order_by(inbox.c.seq)
    .limit(bindparam("most"))
)
_ACCEPT = insert(inbox)
# A message that could not be read at first comes again when its key is there, and is news then.
_ACCEPT = _ACCEPT.on_conflict_do_update(
    index_elements=["event_id"],
    set_={"kind": _ACCEPT.excluded.kind, "event": _ACCEPT.excluded.event, "done": False},
    where=(inbox.c.kind == Unreadable.__name__) & (_ACCEPT.excluded.kind != Unreadable.__name__),
)
_MOVE_ON = insert(sync_position)
_MOVE_ON = _MOVE_ON.on_conflict_do_update(index_elements=["id"], set_={"token": _MOVE_ON.excluded.token})
_FORGET = delete(inbox).where(inbox.c.done, inbox.c.received_ms < bindparam("before"))
_DONE = update(inbox).where(inbox.c.event_id == bindparam("which")).values(done=True)
_WORDLESS = _DONE.values(event=bindparam("less", type_=inbox.c.event.type))


@dataclass(frozen=True, slots=True)
class Row:
    """One event to handle; `key` is its id, or what stands for one where Matrix gives none."""

    event_id: EventId
    event: Item


class Inbox:
    """The inbox within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @staticmethod
    def key_of(item: Item) -> str:
        """The event id; invites and departures have none of their own, so room, kind and moment stand for it."""
        if isinstance(item, Event):
            return item.event_id
        return f"{type(item).__name__}:{item.room}:{to_ms(item.at)}"

    async def token(self) -> str | None:
        """Where sync goes on; None before the first batch."""
        return (await self._connection.execute(select(sync_position.c.token))).scalar_one_or_none()

    async def accept(self, batch: SyncBatch, events: Sequence[Item], now: datetime) -> None:
        """Write the events, those that are known left out, and the token: from here on the batch is ours."""
        rows = [
            {
                "event_id": self.key_of(item),
                "kind": type(item).__name__,
                "event": _KINDS[type(item).__name__].dump_python(item, mode="json"),
                "received_ms": to_ms(now),
                "done": False,
            }
            for item in events
        ]
        if rows:
            self._connection.soon(_ACCEPT, rows)
        spoke = [
            # A sender's server may claim any time; nobody wrote later than now.
            {"room": item.room, "user": item.sender, "at_ms": min(to_ms(item.at), to_ms(now))}
            for item in events
            if isinstance(item, Message | Unreadable)
        ]
        await RoomStates(self._connection, now).spoke(spoke)
        self._connection.soon(_MOVE_ON, {"id": 1, "token": batch.token})
        self._connection.soon(_FORGET, {"before": to_ms(now - KEPT)})

    async def pending(self, most: int = 100) -> Sequence[Row]:
        """The oldest events that are not handled; invites have a worker of their own."""
        found, unreadable = [], False
        for row in await self._connection.execute(_OPEN, {"most": most}):
            item = _read(row.kind, row.event)
            if item is None:
                unreadable = True
                await self.done(row.event_id)
            else:
                found.append(Row(EventId(row.event_id), item))
        return await self.pending(most) if unreadable else found

    async def is_worked_off(self) -> bool:
        """Whether no event waits to be handled, invites left out."""
        return (await self._connection.execute(_OPEN, {"most": 1})).first() is None

    async def open_invites(self) -> Sequence[str]:
        """The keys of the invites that are not answered."""
        query = select(inbox.c.event_id).where(~inbox.c.done, inbox.c.kind == Invited.__name__)
        return list((await self._connection.execute(query)).scalars())

    async def open_events(self) -> int:
        """How many events are not handled."""
        query = select(func.count()).select_from(inbox).where(~inbox.c.done)
        number: int = (await self._connection.execute(query)).scalar_one()
        return number

    async def received(self, event_id: str) -> datetime | None:
        """When an event came in; None for an unknown one."""
        query = select(inbox.c.received_ms).where(inbox.c.event_id == event_id)
        at = (await self._connection.execute(query)).scalar_one_or_none()
        return None if at is None else from_ms(at)

    async def done(self, event_id: str, item: Item | None = None) -> None:
        """The event, which is `item`, is handled; of a message it is enough from here on that there was one."""
        item = item or await self.event(event_id)
        if isinstance(item, Message):
            event = _KINDS[Message.__name__].dump_python(_wordless(item), mode="json")
            self._connection.soon(_WORDLESS, {"which": event_id, "less": event})
        else:
            self._connection.soon(_DONE, {"which": event_id})

    async def event(self, event_id: str) -> Item | None:
        """An event that came in within the last days; None for an unknown one."""
        query = select(inbox.c.kind, inbox.c.event).where(inbox.c.event_id == event_id)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _read(row.kind, row.event)


def _wordless(message: Message) -> Message:
    return replace(message, body="", html=None, content={})


def _read(kind: str, event: Any) -> Item | None:
    """The event of a row; None for one that another version wrote and this one cannot read: it must stop nothing."""
    try:
        item: Item = _KINDS[kind].validate_python(event)
    except (KeyError, ValidationError) as error:
        log.error("an event in the store cannot be read", kind=kind, why=type(error).__name__)  # noqa: TRY400
        return None
    return item

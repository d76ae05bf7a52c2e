"""What is said once: rows that are written with the change that caused them, and sent from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.clock import from_ms, to_ms
from bot.matrix.ids import EventId, RoomId
from bot.matrix.ports import Urgency
from bot.message.doc import Doc
from bot.message.render import edit_of, render, split
from bot.plugin import Sent
from bot.store.tables import outbox

HELD = datetime(9999, 1, 1, tzinfo=UTC)
"""The moment before which nothing that is held is sent."""

MESSAGE, REACTION, REDACTION = "m.room.message", "m.reaction", "m.room.redaction"


@dataclass(frozen=True, slots=True)
class Mail:
    """One row to send now."""

    seq: int
    key: str
    room: RoomId
    type: str
    content: Mapping[str, Any]
    urgency: int
    redacts: EventId | None
    transaction_id: str


class OutboxRows:
    """A plugin's outbox within one transaction (`bot.plugin.Outbox`)."""

    def __init__(self, connection: AsyncConnection, owner: str, now: datetime) -> None:
        self._connection, self._owner, self._now = connection, owner, now
        self.touched: set[RoomId] = set()
        """The rooms whose sender has something to do after the commit."""

    async def say(
        self,
        key: str,
        room: RoomId,
        doc: Doc,
        *,
        urgency: Urgency = Urgency.MESSAGE,
        reply_to: EventId | None = None,
        thread: EventId | None = None,
        group: str = "",
        wake: str = "",
        origin: EventId | None = None,
        not_before: datetime | None = None,
        held: bool = False,
    ) -> None:
        """Say `doc` in `room`, in several messages where it is too long for one; nothing for a known key."""
        not_before = HELD if held else not_before
        for number, part in enumerate(split(replace(doc, keycaps=()))):
            content = render(part)
            if relation := _relation(reply_to, thread):
                content["m.relates_to"] = relation
            name = key if number == 0 else f"{key}:part:{number}"
            is_new = await self._put(
                name,
                room,
                MESSAGE,
                content,
                urgency=urgency,
                group=group,
                wake=wake,
                origin=origin,
                not_before=not_before,
            )
            if not is_new:
                return
        for number, emoji in enumerate(doc.keycaps):
            content = {"m.relates_to": {"rel_type": "m.annotation", "key": emoji}}
            await self._put(f"{key}:keycap:{number}", room, REACTION, content, urgency=urgency, about=key)

    async def release(self, group: str) -> None:
        """Let the held messages of `group` go."""
        result = await self._connection.execute(
            update(outbox)
            .where(outbox.c.owner == self._owner, outbox.c.group == group, outbox.c.not_before_ms == to_ms(HELD))
            .values(not_before_ms=0)
            .returning(outbox.c.room)
        )
        self.touched.update(RoomId(room) for room in result.scalars())

    async def relay(
        self,
        key: str,
        room: RoomId,
        type_: str,
        content: Mapping[str, Any],
        *,
        group: str = "",
        wake: str = "",
        origin: EventId,
    ) -> None:
        """Send a copy of an event's own content; mentions are emptied by the caller."""
        await self._put(key, room, type_, dict(content), group=group, wake=wake, origin=origin)

    async def edit(self, key: str, doc: Doc, *, not_before: datetime | None = None) -> None:
        """Let the message of `key` read `doc`; of several unsent edits only the last is sent, unchanged text never."""
        mine = (outbox.c.owner == self._owner) & (outbox.c.type == MESSAGE)
        query = select(outbox).where(mine & ((outbox.c.key == key) | (outbox.c.about == key))).order_by(outbox.c.seq)
        rows = (await self._connection.execute(query)).all()
        if not rows:
            return
        original, newest = rows[0], rows[-1]
        content = render(replace(doc, keycaps=()))
        shown = newest.content if newest is original else newest.content["m.new_content"]
        if _wording(shown) == _wording(content):
            return
        unsent = [row.seq for row in rows[1:] if row.settled_ms is None]
        await self._connection.execute(delete(outbox).where(outbox.c.seq.in_(unsent)))
        number = max([0, *(int(row.key.rpartition(":")[2]) for row in rows[1:])]) + 1
        await self._put(
            f"{key}:edit:{number}",
            RoomId(original.room),
            MESSAGE,
            edit_of(content, EventId("")),  # the event id is filled in when it is known
            about=key,
            urgency=Urgency(original.urgency),
            not_before=not_before,
        )

    async def react(self, room: RoomId, target: EventId, emoji: str) -> None:
        """React once with `emoji`, as an answer."""
        content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": emoji}}
        await self._put(f"react:{target}:{emoji}", room, REACTION, content, urgency=Urgency.ANSWER)

    async def withdraw(self, key: str) -> None:
        """Redact the message of `key`, or drop it while it is unsent."""
        query = select(outbox).where(outbox.c.owner == self._owner, outbox.c.key == key)
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            return
        if row.settled_ms is None:
            await self._connection.execute(
                update(outbox).where(outbox.c.seq == row.seq).values(refused="withdrawn", settled_ms=to_ms(self._now))
            )
        elif row.event_id is not None:
            await self._put(f"{key}:withdrawn", RoomId(row.room), REDACTION, {}, about=key)

    async def sent(self, key: str) -> Sent | None:
        """What became of a message; None for an unknown key."""
        query = select(outbox).where(outbox.c.owner == self._owner, outbox.c.key == key)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _sent(row)

    async def group(self, group: str) -> Sequence[Sent]:
        """What became of each message of a group, in the order in which they were said."""
        query = select(outbox).where(outbox.c.owner == self._owner, outbox.c.group == group).order_by(outbox.c.seq)
        return [_sent(row) for row in await self._connection.execute(query)]

    async def drop_room(self, room: RoomId) -> None:
        """What is unsent for a room that is gone will never be sent."""
        await self._connection.execute(
            update(outbox)
            .where(outbox.c.owner == self._owner, outbox.c.room == room, outbox.c.settled_ms.is_(None))
            .values(refused="the room is gone", settled_ms=to_ms(self._now))
        )

    async def _put(
        self,
        key: str,
        room: RoomId,
        type_: str,
        content: Mapping[str, Any],
        *,
        urgency: Urgency = Urgency.MESSAGE,
        group: str = "",
        wake: str = "",
        origin: EventId | None = None,
        about: str | None = None,
        not_before: datetime | None = None,
    ) -> bool:
        """Write one row; False for a known key."""
        result = await self._connection.execute(
            insert(outbox)
            .values(
                owner=self._owner,
                key=key,
                room=room,
                type=type_,
                content=dict(content),
                urgency=int(urgency),
                group=group,
                wake=wake,
                origin=origin,
                about=about,
                not_before_ms=0 if not_before is None else to_ms(not_before),
            )
            .on_conflict_do_nothing()
        )
        self.touched.add(room)
        return bool(result.rowcount)


# --- what the sender and the dispatcher ask, of all owners


async def rooms_with_unsent(connection: AsyncConnection) -> Sequence[RoomId]:
    """The rooms for which something is unsent."""
    query = select(outbox.c.room).where(outbox.c.settled_ms.is_(None)).distinct()
    return [RoomId(room) for room in (await connection.execute(query)).scalars()]


async def next_due(
    connection: AsyncConnection, room: RoomId, now: datetime, *, answers: bool
) -> tuple[Mail | None, datetime | None]:
    """The next row of a room's lane to send, or else when to look again (None: when something is put there)."""
    lane = outbox.c.urgency == int(Urgency.ANSWER) if answers else outbox.c.urgency != int(Urgency.ANSWER)
    query = (
        select(outbox)
        .where(outbox.c.room == room, outbox.c.settled_ms.is_(None), lane)
        .order_by(outbox.c.urgency, outbox.c.seq)
    )
    later: list[int] = []
    for row in (await connection.execute(query)).all():
        if row.not_before_ms > to_ms(now):
            later.append(row.not_before_ms)
            continue
        if row.about is None:
            return _mail(row, None), None
        about = await _about(connection, row)
        if about.event_id is not None:
            return _mail(row, EventId(about.event_id)), None
        if about.settled_ms is not None:  # what it refers to was never sent
            await settle(connection, row.seq, now, None, "nothing to refer to")
    later = [moment for moment in later if moment != to_ms(HELD)]
    return None, from_ms(min(later)) if later else None


async def settle(
    connection: AsyncConnection, seq: int, now: datetime, event: EventId | None, refused: str = ""
) -> Sequence[tuple[str, str]]:
    """Note that a row is sent or refused; returns whom to wake (owner, key), its group being settled as a whole."""
    await connection.execute(
        update(outbox)
        .where(outbox.c.seq == seq, outbox.c.settled_ms.is_(None))
        .values(event_id=event, refused=refused or None, settled_ms=to_ms(now))
    )
    row = (await connection.execute(select(outbox).where(outbox.c.seq == seq))).one_or_none()
    if row is None or not row.wake:
        return ()
    unsettled = select(func.count()).where(
        outbox.c.owner == row.owner, outbox.c.group == row.group, outbox.c.settled_ms.is_(None)
    )
    if row.group and (await connection.execute(unsettled)).scalar_one():
        return ()
    return ((row.owner, row.wake),)


async def key_of(connection: AsyncConnection, event: EventId) -> tuple[str, str] | None:
    """Whose message an event is, and its key."""
    query = select(outbox.c.owner, outbox.c.key).where(outbox.c.event_id == event, outbox.c.type == MESSAGE)
    row = (await connection.execute(query)).first()
    return None if row is None else (row.owner, row.key)


async def copies_of(connection: AsyncConnection, origin: EventId) -> Sequence[tuple[str, str]]:
    """The relayed copies of a message, as (owner, key)."""
    query = select(outbox.c.owner, outbox.c.key).where(outbox.c.origin == origin)
    return [(row.owner, row.key) for row in await connection.execute(query)]


async def prune(connection: AsyncConnection, now: datetime, kept: timedelta) -> None:
    """Forget the contents of what was settled long ago; the keys stay, since they say that it was said."""
    await connection.execute(
        update(outbox)
        .where(outbox.c.settled_ms < to_ms(now - kept), outbox.c.about.is_(None))
        .values(content={"body": "", "msgtype": "m.notice"})
    )


async def _about(connection: AsyncConnection, row: Row[Any]) -> Row[Any]:
    query = select(outbox).where(outbox.c.owner == row.owner, outbox.c.key == row.about)
    return (await connection.execute(query)).one()


def _mail(row: Row[Any], about: EventId | None) -> Mail:
    content = dict(row.content)
    if about is not None and row.type == REACTION:
        content["m.relates_to"] = {**content["m.relates_to"], "event_id": about}
    elif about is not None and row.type == MESSAGE:
        content["m.relates_to"] = {"rel_type": "m.replace", "event_id": about}
    redacts = about if row.type == REDACTION else None
    return Mail(row.seq, row.key, RoomId(row.room), row.type, content, row.urgency, redacts, f"{row.owner}:{row.key}")


def _sent(row: Row[Any]) -> Sent:
    return Sent(row.key, RoomId(row.room), row.event_id and EventId(row.event_id), row.refused)


def _relation(reply_to: EventId | None, thread: EventId | None) -> dict[str, Any]:
    """Where a message stands: in a thread (with the reply inside it), as a reply, or on its own."""
    relation: dict[str, Any] = {"rel_type": "m.thread", "event_id": thread, "is_falling_back": False} if thread else {}
    if reply_to is not None:
        relation["m.in_reply_to"] = {"event_id": reply_to}
    return relation


def _wording(content: Mapping[str, Any]) -> tuple[object, object]:
    return content.get("body"), content.get("formatted_body")

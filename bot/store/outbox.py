"""What is said once: rows that are written with the change that caused them, and sent from here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, delete, func, null, select, update
from sqlalchemy.dialects.sqlite import insert

from bot.clock import from_ms, to_ms
from bot.matrix.ids import EventId, RoomId
from bot.matrix.ports import Urgency
from bot.message.doc import Doc
from bot.message.render import edit_of, render, split
from bot.plugin import Original, Sent
from bot.store.connection import Connection
from bot.store.tables import outbox

HELD = datetime(9999, 1, 1, tzinfo=UTC)
"""The moment before which nothing that is held is sent."""

KEPT = timedelta(days=7)
"""How long the text of what is settled is remembered; keys and fates stay, since they say that it was said."""

OUTDATED = "outdated"
"""Why a dropped row is not sent; one that was on its way has its event all the same."""

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
    after: int = 0
    """The newest row of an answer that is on its way to the room; 0: none is."""

    @property
    def answers(self) -> EventId | None:
        """The event to which this is the answer, the first part of it where it is long."""
        if self.urgency != int(Urgency.ANSWER) or _PART in self.key:
            return None
        relation = self.content.get("m.relates_to", {})
        asked = relation.get("event_id") if self.type == REACTION else relation.get("m.in_reply_to", {}).get("event_id")
        return asked and EventId(asked)


# Statements are put together once: to build one takes longer than to carry it out.

_MINE = (outbox.c.owner == bindparam("owner")) & (outbox.c.key == bindparam("key"))
_UNSETTLED = outbox.c.settled_ms.is_(None)
_MAY_COME = _UNSETTLED | (outbox.c.refused == OUTDATED)
"""What a homeserver may still answer for: also what was dropped when it was on its way."""
_BY_KEY = select(outbox).where(_MINE)
_OF_GROUP = (
    select(outbox)
    .where(outbox.c.owner == bindparam("owner"), outbox.c.group == bindparam("group"))
    .order_by(outbox.c.seq)
)
_WITH_EDITS = (
    select(outbox)
    .where(outbox.c.owner == bindparam("owner"))
    .where((outbox.c.key == bindparam("key")) | ((outbox.c.about == bindparam("key")) & (outbox.c.type == MESSAGE)))
    .order_by(outbox.c.seq)
)
_PUT = insert(outbox).on_conflict_do_nothing()
_FORGOTTEN = delete(outbox).where(outbox.c.seq.in_(bindparam("seqs", expanding=True)))
_RELEASED = (
    update(outbox)
    .where(outbox.c.owner == bindparam("whose"), outbox.c.group == bindparam("of_group"))
    .where(outbox.c.not_before_ms == to_ms(HELD))
    .values(not_before_ms=0)
    .returning(outbox.c.room, outbox.c.urgency)
)
_IN_LANE = (
    (outbox.c.room == bindparam("room")) & _UNSETTLED & outbox.c.urgency.in_(bindparam("urgencies", expanding=True))
)
_ABOUT = outbox.alias("about")
_DUE = (
    select(outbox, _ABOUT.c.event_id.label("target"))
    .outerjoin(_ABOUT, (_ABOUT.c.owner == outbox.c.owner) & (_ABOUT.c.key == outbox.c.about))
    .where(_IN_LANE, outbox.c.not_before_ms <= bindparam("now"))
    .where(outbox.c.about.is_(None) | _ABOUT.c.settled_ms.is_not(None))
    .order_by(outbox.c.urgency, outbox.c.seq)
    .limit(1)
)
_LATER = select(func.min(outbox.c.not_before_ms)).where(
    _IN_LANE, outbox.c.not_before_ms > bindparam("now"), outbox.c.not_before_ms < to_ms(HELD)
)
_ANSWER = select(func.max(outbox.c.seq)).where(
    outbox.c.room == bindparam("room"),
    _UNSETTLED,
    outbox.c.urgency == int(Urgency.ANSWER),
    outbox.c.not_before_ms <= bindparam("now"),
)
_TRIED = update(outbox).where(outbox.c.seq == bindparam("row")).values(tried=True)
_REFERS = (
    select(outbox.c.seq)
    .where(outbox.c.owner == bindparam("owner"), outbox.c.about == bindparam("key"), _UNSETTLED)
    .limit(1)
)
_SETTLED = (
    update(outbox)
    .where(outbox.c.seq == bindparam("row"), _MAY_COME)
    .values(event_id=bindparam("event"), refused=bindparam("why"), settled_ms=bindparam("now"))
    .returning(outbox.c.owner, outbox.c.group, outbox.c.wake, outbox.c.about, outbox.c.type)
)
_FORMER_EDITS = (
    delete(outbox)
    .where(outbox.c.owner == bindparam("owner"), outbox.c.about == bindparam("about"), outbox.c.type == MESSAGE)
    .where(outbox.c.seq < bindparam("row"), outbox.c.settled_ms.is_not(None))
)
_OLD_TEXTS = (
    update(outbox)
    .where(outbox.c.settled_ms < bindparam("before"), outbox.c.content.is_not(None))
    .values(content=null())
)
_LEFT_OF_GROUP = (
    select(outbox.c.seq)
    .where(outbox.c.owner == bindparam("owner"), outbox.c.group == bindparam("group"), _UNSETTLED)
    .limit(1)
)
_SEQ_BY_KEY = select(outbox.c.seq, outbox.c.room).where(_MINE, _MAY_COME)
_OPEN = select(outbox.c.seq).where(outbox.c.seq == bindparam("row"), _UNSETTLED)
_BY_EVENT = select(outbox.c.owner, outbox.c.key).where(
    outbox.c.event_id == bindparam("event"), outbox.c.about.is_(None)
)


class OutboxRows:
    """A plugin's outbox within one transaction (`bot.plugin.Outbox`)."""

    def __init__(self, connection: Connection, owner: str, now: datetime, wake: Callable[[str], None]) -> None:
        self._connection, self._owner, self._now, self._wake = connection, owner, now, wake
        self.touched: set[tuple[RoomId, Urgency]] = set()
        """The rooms whose sender has something to do after the commit, and how urgent that is."""

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
        origin: Original | None = None,
        not_before: datetime | None = None,
        held: bool = False,
    ) -> None:
        """Say `doc` in `room`, in several messages where it is too long for one; nothing for a known key."""
        not_before = HELD if held else not_before
        name = key
        for number, part in enumerate(split(replace(doc, keycaps=()))):
            content = render(part)
            if relation := _relation(reply_to, thread):
                content["m.relates_to"] = relation
            name = _part(key, number)
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
        await self._seed(key, name, room, doc.keycaps)

    async def _seed(self, key: str, about: str, room: RoomId, keycaps: Sequence[str]) -> None:
        """Put the reactions that a message offers under it, each once, and after all that is to be said.

        On a throttled server each of them costs as much as a message, and each has a typed twin.
        """
        for emoji in keycaps:
            content = {"m.relates_to": {"rel_type": "m.annotation", "key": emoji}}
            await self._put(f"{key}:keycap:{emoji}", room, REACTION, content, urgency=Urgency.CLEAN_UP, about=about)

    async def release(self, group: str) -> None:
        """Let the held messages of `group` go."""
        result = await self._connection.execute(_RELEASED, {"whose": self._owner, "of_group": group})
        self.touched.update((RoomId(row.room), Urgency(row.urgency)) for row in result)

    async def relay(
        self,
        key: str,
        room: RoomId,
        type_: str,
        content: Mapping[str, Any],
        *,
        urgency: Urgency = Urgency.MESSAGE,
        group: str = "",
        wake: str = "",
        origin: Original,
    ) -> None:
        """Send a copy of an event's own content; mentions are emptied by the caller."""
        await self._put(key, room, type_, dict(content), urgency=urgency, group=group, wake=wake, origin=origin)

    async def edit(self, key: str, doc: Doc, *, not_before: datetime | None = None) -> None:
        """Let the message of `key` read `doc`; of several unsent edits only the last is sent, unchanged text never."""
        rows = (await self._connection.execute(_WITH_EDITS, {"owner": self._owner, "key": key})).all()
        if not rows or rows[0].refused is not None:
            return
        await self._seed(key, key, RoomId(rows[0].room), doc.keycaps)
        waiting = [row for row in rows[1:] if _is_untried(row)]
        out = [row for row in rows if row not in waiting]
        shown = [row for row in out if row.refused is None]
        content = render(replace(doc, keycaps=()))
        if _wording(rows[-1]) == _wording_of(content):
            return
        if waiting:
            await self._connection.execute(_FORGOTTEN, {"seqs": [row.seq for row in waiting]})
        if _wording(shown[-1]) == _wording_of(content):
            return
        # An edit that takes the place of a waiting one goes when that would have gone, else a steady stream of
        # edits would put the next one off for ever.
        moments = [from_ms(row.not_before_ms) for row in waiting]
        await self._put(
            f"{key}:edit:{int(out[-1].key.rpartition(':')[2]) + 1 if len(out) > 1 else 1}",
            RoomId(rows[0].room),
            MESSAGE,
            edit_of(content, EventId("")),  # the event id is filled in when it is known
            about=key,
            urgency=Urgency(rows[0].urgency),
            not_before=min([*moments, not_before]) if not_before else None,
        )

    async def react(self, room: RoomId, target: EventId, emoji: str) -> None:
        """React once with `emoji`, as an answer."""
        content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": emoji}}
        await self._put(f"react:{target}:{emoji}", room, REACTION, content, urgency=Urgency.ANSWER)

    async def withdraw(self, key: str) -> None:
        """Redact the message of `key`, or drop it while it is unsent."""
        number = 0
        while row := await self._row(_part(key, number)):
            await self._withdraw(row)
            number += 1

    async def _withdraw(self, row: Row[Any]) -> None:
        """Once sending was tried the message may be there, answer or not: then only a redaction is sure."""
        added = (outbox.c.about == row.key) & (outbox.c.type != REDACTION)
        await self._settle_unsent(((outbox.c.key == row.key) | added) & ~outbox.c.tried, "withdrawn")
        if row.tried and row.refused is None:
            urgency = Urgency(row.urgency)
            await self._put(f"{row.key}:withdrawn", RoomId(row.room), REDACTION, {}, about=row.key, urgency=urgency)

    async def sent(self, key: str) -> Sent | None:
        """What became of a message; None for an unknown key."""
        row = await self._row(key)
        return None if row is None else _sent(row)

    async def group(self, group: str) -> Sequence[Sent]:
        """What became of each message of a group, in the order in which they were said."""
        rows = await self._connection.execute(_OF_GROUP, {"owner": self._owner, "group": group})
        return [_sent(row) for row in rows]

    async def said_before(self, key: str, room: RoomId) -> None:
        """Take this as said by a former life of which the store knows nothing; nothing for a known key."""
        if await self._put(key, room, MESSAGE, {}):
            values = {"refused": "said before the store was lost", "settled_ms": to_ms(self._now)}
            which = (outbox.c.owner == self._owner) & (outbox.c.key == key)
            await self._connection.execute(update(outbox).where(which).values(**values))

    async def drop(self, key: str) -> None:
        """Let the message of `key` stay as the room reads it: what is unsent of it, edits too, never goes out.

        What waits for its turn stays behind; what is on its way by now is noted when its answer comes.
        """
        added = (outbox.c.about == key) & (outbox.c.type != REDACTION)
        await self._settle_unsent((outbox.c.key == key) | added, OUTDATED)

    async def drop_room(self, room: RoomId) -> None:
        """What is unsent for a room that is gone will never be sent."""
        await self._settle_unsent(outbox.c.room == room, "the room is gone")

    async def _settle_unsent(self, which: ColumnElement[bool], why: str) -> None:
        """These will never be sent; whoever waits for them is woken."""
        result = await self._connection.execute(
            update(outbox)
            .where(outbox.c.owner == self._owner, outbox.c.settled_ms.is_(None), which)
            .values(refused=why, settled_ms=to_ms(self._now))
            .returning(outbox.c.group, outbox.c.wake)
        )
        for group, wake in {(row.group, row.wake) for row in result}:
            if await _is_to_wake(self._connection, self._owner, group, wake):
                self._wake(wake)

    async def _row(self, key: str) -> Row[Any] | None:
        return (await self._connection.execute(_BY_KEY, {"owner": self._owner, "key": key})).one_or_none()

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
        origin: Original | None = None,
        about: str | None = None,
        not_before: datetime | None = None,
    ) -> bool:
        """Write one row; False for a known key."""
        values = {
            "owner": self._owner,
            "key": key,
            "room": room,
            "type": type_,
            "content": dict(content),
            "urgency": int(urgency),
            "group": group,
            "wake": wake,
            "origin": None if origin is None else _origin(origin),
            "about": about,
            "not_before_ms": 0 if not_before is None else to_ms(not_before),
        }
        if not (await self._connection.execute(_PUT, values)).rowcount:
            return False
        self.touched.add((room, urgency))
        return True


# --- what the sender and the dispatcher ask, of all owners


async def rooms_with_unsent(connection: Connection) -> Sequence[RoomId]:
    """The rooms for which something is unsent."""
    query = select(outbox.c.room).where(outbox.c.settled_ms.is_(None)).distinct()
    return [RoomId(room) for room in (await connection.execute(query)).scalars()]


async def unsent(connection: Connection, now: datetime) -> tuple[int, int]:
    """How many rows are due, and how many wait for a later moment or a step on the homeserver."""
    is_due = outbox.c.not_before_ms <= to_ms(now)
    query = select(is_due, func.count()).where(outbox.c.settled_ms.is_(None)).group_by(is_due)
    counts = {bool(due): number for due, number in await connection.execute(query)}
    return counts.get(True, 0), counts.get(False, 0)


async def next_due(
    connection: Connection, room: RoomId, now: datetime, urgencies: Collection[Urgency]
) -> tuple[Mail | None, datetime | None]:
    """The next row of a room's lane to send, or else when to look again (None: when something is put there).

    From here on the row counts as tried: it may be on the homeserver even if no answer ever comes.
    """
    lane = {"room": room, "urgencies": [int(urgency) for urgency in urgencies], "now": to_ms(now)}
    while row := (await connection.execute(_DUE, lane)).one_or_none():
        if row.about is not None and row.target is None:
            await settle(connection, row.seq, now, None, "nothing to refer to")
            continue
        if not row.tried:
            connection.soon(_TRIED, {"row": row.seq})
        answer = None
        if row.urgency in (Urgency.INVITE, Urgency.MESSAGE):
            answer = (await connection.execute(_ANSWER, {"room": room, "now": to_ms(now)})).scalar_one()
        return replace(_mail(row), after=answer or 0), None
    later = (await connection.execute(_LATER, lane)).scalar_one()
    return None, None if later is None else from_ms(later)


async def is_unsettled(connection: Connection, mail: Mail) -> bool:
    """Whether a row is still to be sent."""
    return (await connection.execute(_OPEN, {"row": mail.seq})).first() is not None


async def waits_for(connection: Connection, mail: Mail) -> bool:
    """Whether something refers to a row, and could not go before it: its reactions, an edit of it."""
    which = {"owner": mail.transaction_id.partition(":")[0], "key": mail.key}
    return (await connection.execute(_REFERS, which)).first() is not None


async def settle(
    connection: Connection, seq: int, now: datetime, event: EventId | None, refused: str = ""
) -> Sequence[tuple[str, str]]:
    """Note that a row is sent or refused; returns whom to wake (owner, key), its group being settled as a whole."""
    values = {"row": seq, "event": event, "why": refused or None, "now": to_ms(now)}
    row = (await connection.execute(_SETTLED, values)).one_or_none()
    if row is None:
        return ()
    if row.about is not None and row.type == MESSAGE:  # of the edits of a message the last one is enough
        connection.soon(_FORMER_EDITS, {"owner": row.owner, "about": row.about, "row": seq})
    connection.soon(_OLD_TEXTS, {"before": to_ms(now - KEPT)})
    return ((row.owner, row.wake),) if await _is_to_wake(connection, row.owner, row.group, row.wake) else ()


async def settle_echo(
    connection: Connection, transaction_id: str, event: EventId, now: datetime
) -> tuple[RoomId | None, Sequence[tuple[str, str]]]:
    """Note that a row is sent because sync brought it: a process that was killed could not note the answer.

    People may have reacted to it meanwhile. Returns the room in which something may have waited for it (None where
    that was noted before), and whom to wake, as `settle`.
    """
    owner, _, key = transaction_id.partition(":")
    row = (await connection.execute(_SEQ_BY_KEY, {"owner": owner, "key": key})).one_or_none()
    return (None, ()) if row is None else (RoomId(row.room), await settle(connection, row.seq, now, event))


async def key_of(connection: Connection, event: EventId) -> tuple[str, str] | None:
    """Whose message an event is, and its key, whichever part of a long message it is."""
    row = (await connection.execute(_BY_EVENT, {"event": event})).first()
    return None if row is None else (row.owner, row.key.partition(_PART)[0])


async def copies_of(connection: Connection, origin: Original) -> Sequence[tuple[str, str]]:
    """The relayed copies of a message, as (owner, key)."""
    query = select(outbox.c.owner, outbox.c.key).where(outbox.c.origin == _origin(origin)).order_by(outbox.c.seq)
    return [(row.owner, row.key) for row in await connection.execute(query) if _PART not in row.key]


async def _is_to_wake(connection: Connection, owner: str, group: str, wake: str) -> bool:
    """Whether a row that was just settled was the last one that its `wake` waits for."""
    if not (wake and group):
        return bool(wake)
    return (await connection.execute(_LEFT_OF_GROUP, {"owner": owner, "group": group})).first() is None


_PART = ":part:"


def _origin(original: Original) -> str:
    """As the table has it; no id has a space in it."""
    return " ".join(original)


def _part(key: str, number: int) -> str:
    """The key of one of the messages into which a long one is split; the first has the key itself."""
    return f"{key}{_PART}{number}" if number else key


def _is_untried(row: Row[Any]) -> bool:
    return row.settled_ms is None and not row.tried


def _mail(row: Row[Any]) -> Mail:
    content = dict(row.content)
    target = None if row.target is None else EventId(row.target)
    if target is not None and row.type == REACTION:
        content["m.relates_to"] = {**content["m.relates_to"], "event_id": target}
    elif target is not None and row.type == MESSAGE:
        content["m.relates_to"] = {"rel_type": "m.replace", "event_id": target}
    redacts = target if row.type == REDACTION else None
    return Mail(row.seq, row.key, RoomId(row.room), row.type, content, row.urgency, redacts, f"{row.owner}:{row.key}")


def _sent(row: Row[Any]) -> Sent:
    return Sent(row.key, RoomId(row.room), row.event_id and EventId(row.event_id), row.refused)


def _relation(reply_to: EventId | None, thread: EventId | None) -> dict[str, Any]:
    """Where a message stands: in a thread (with the reply inside it), as a reply, or on its own."""
    relation: dict[str, Any] = {"rel_type": "m.thread", "event_id": thread, "is_falling_back": False} if thread else {}
    if reply_to is not None:
        relation["m.in_reply_to"] = {"event_id": reply_to}
    return relation


def _wording(row: Row[Any]) -> tuple[object, object]:
    """What the message reads once this row, the message itself or an edit of it, is sent."""
    content = row.content or {}
    return _wording_of(content.get("m.new_content", content))


def _wording_of(content: Mapping[str, Any]) -> tuple[object, object]:
    return content.get("body"), content.get("formatted_body")

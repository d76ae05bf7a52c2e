"""From what `/sync` says to our own events; whatever JSON comes, nothing raises, and what is malformed is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bot.clock import from_ms
from bot.matrix.events import (
    Content,
    Departed,
    Invited,
    Item,
    Message,
    RawEvent,
    Reaction,
    Redaction,
    RoomDelta,
    StateChange,
    SyncBatch,
    Unreadable,
    mapping,
)
from bot.matrix.ids import MAX_ID_BYTES, EventId, RoomId, UserId, user_id

_LOOKS = re.compile("[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]|\u200d.*", re.DOTALL)
"""Variation selectors, skin tones, and what a zero-width joiner adds."""

_LAST_MS = 253_402_300_799_000
"""The last millisecond that a datetime holds."""


class StateRow(NamedTuple):
    """One state event of a batch, as the room-state table keeps it."""

    room: RoomId
    type: str
    state_key: str
    content: Content
    sender: str
    at_ms: int


def normal_key(key: str) -> str:
    """A reaction's key as it is compared: without variation selectors, skin tones and joined parts (1️⃣ is 1⃣)."""
    return _LOOKS.sub("", key).strip()


def translate(batch: SyncBatch, me: UserId) -> tuple[Item, ...]:
    """What happened, in the order of the batch; our own messages, reactions and redactions are left out."""
    found: list[Item] = []
    now = batch.server_time or datetime.now(UTC)
    for room, stripped in batch.invited.items():
        if invite := _invite(room, stripped, me, now):
            found.append(invite)
    for room, delta in batch.joined.items():
        found.extend(event for raw in _raws(delta.state, delta.timeline) if (event := _event(room, raw, me)))
    for room, delta in batch.left.items():
        found.append(_departure(room, delta, me, now))
    return tuple(found)


def translate_late(batch: SyncBatch, me: UserId) -> tuple[Item, ...]:
    """What earlier events say that can be read only now."""
    return tuple(event for room, raw in batch.late if (event := _event(room, raw, me)))


def echoes(batch: SyncBatch, me: UserId) -> Iterator[tuple[str, EventId]]:
    """Our own events that came back, each with the transaction id under which this device sent it."""
    for delta in batch.joined.values():
        for raw in delta.timeline:
            event = mapping(raw)
            key, event_id = mapping(event.get("unsigned")).get("transaction_id"), _id(event.get("event_id"))
            if event.get("sender") == me and isinstance(key, str) and event_id is not None:
                yield key, event_id


def state_rows(batch: SyncBatch) -> Iterator[StateRow]:
    """The state events of the rooms that we are in, in order: the last of each key counts."""
    for room, delta in batch.joined.items():
        for raw in _raws(delta.state, delta.timeline):
            type_, key, sender, content = (raw.get(k) for k in ("type", "state_key", "sender", "content"))
            if isinstance(type_, str) and isinstance(key, str) and isinstance(sender, str):
                yield StateRow(room, type_, key, content if isinstance(content, Mapping) else {}, sender, _ms(raw))


def _raws(*sections: Iterable[Any]) -> Iterator[RawEvent]:
    return (raw for section in sections for raw in section if isinstance(raw, Mapping))


def _event(room: RoomId, raw: RawEvent, me: UserId) -> Item | None:
    event_id, type_, content = _id(raw.get("event_id")), raw.get("type"), raw.get("content")
    if not (event_id is not None and isinstance(type_, str) and isinstance(content, Mapping)):
        return None
    try:
        sender = user_id(str(raw.get("sender")))
    except ValueError:
        return None
    common = (event_id, room, sender, from_ms(_ms(raw)))
    if isinstance(key := raw.get("state_key"), str):
        return StateChange(*common, type_, key, content, _before(raw))
    if sender == me:
        return None
    match type_:
        case "m.room.message":
            return _message(common, content)
        case "m.room.encrypted":
            return Unreadable(*common)
        case "m.reaction":
            return _reaction(common, content)
        case "m.room.redaction":
            # Since version 11 it is in the content, before that people may write there what they like.
            target = _id(raw.get("redacts")) or _id(content.get("redacts"))
            return Redaction(*common, target) if target else None
    return None


def _message(common: tuple[EventId, RoomId, UserId, datetime], content: Content) -> Message | None:
    body, msgtype = content.get("body"), content.get("msgtype")
    relation = mapping(content.get("m.relates_to"))
    if relation.get("rel_type") == "m.replace":
        return None
    if not (isinstance(body, str) and isinstance(msgtype, str)):
        return None
    html = content.get("formatted_body") if content.get("format") == "org.matrix.custom.html" else None
    thread = _id(relation.get("event_id")) if relation.get("rel_type") == "m.thread" else None
    # In a thread, a client that knows none is told to show a reply to the last message: that is no reply.
    fallback = thread is not None and relation.get("is_falling_back") is True
    reply = None if fallback else _id(mapping(relation.get("m.in_reply_to")).get("event_id"))
    return Message(*common, msgtype, body, html if isinstance(html, str) else None, thread, reply, content)


def _reaction(common: tuple[EventId, RoomId, UserId, datetime], content: Content) -> Reaction | None:
    relation = mapping(content.get("m.relates_to"))
    target, key = _id(relation.get("event_id")), relation.get("key")
    if target is None or not isinstance(key, str) or relation.get("rel_type") != "m.annotation":
        return None
    return Reaction(*common, target, normal_key(key))


def _invite(room: RoomId, stripped: tuple[RawEvent, ...], me: UserId, now: datetime) -> Invited | None:
    for raw in _raws(stripped):
        if raw.get("type") != "m.room.member" or raw.get("state_key") != me:
            continue
        if mapping(raw.get("content")).get("membership") != "invite":
            continue
        try:
            return Invited(room, user_id(str(raw.get("sender"))), now)
        except ValueError:
            return None
    return None


def accepted_for_us(room: RoomId, batch: SyncBatch, me: UserId) -> Invited | None:
    """An invite that the homeserver accepted in our name (Synapse's `auto_accept_invites`), where sync never showed it.

    Servers say in `unsigned` what a state event replaced, Synapse whose that was (`prev_sender`) too.
    """
    for raw in batch.joined[room].timeline:
        before = mapping(raw.get("unsigned"))
        is_ours = raw.get("type") == "m.room.member" and raw.get("state_key") == me and raw.get("sender") == me
        if is_ours and mapping(before.get("prev_content")).get("membership") == "invite":
            try:
                return Invited(room, user_id(str(before.get("prev_sender"))), batch.server_time or from_ms(_ms(raw)))
            except ValueError:
                return None
    return None


def _departure(room: RoomId, delta: RoomDelta, me: UserId, now: datetime) -> Departed:
    by, banned = None, False
    for raw in _raws(delta.state, delta.timeline):
        if raw.get("type") == "m.room.member" and raw.get("state_key") == me:
            sender = raw.get("sender")
            by = UserId(sender) if isinstance(sender, str) and sender != me else None
            banned = mapping(raw.get("content")).get("membership") == "ban"
    return Departed(room, by, banned, now)


def _before(raw: RawEvent) -> Content | None:
    before = mapping(raw.get("unsigned")).get("prev_content")
    return before if isinstance(before, Mapping) else None


def _ms(raw: RawEvent) -> int:
    value = raw.get("origin_server_ts")
    return min(max(value, 0), _LAST_MS) if isinstance(value, int) and not isinstance(value, bool) else 0


def _id(value: Any) -> EventId | None:
    is_one = isinstance(value, str) and 0 < len(value.encode()) <= MAX_ID_BYTES
    return EventId(value) if is_one else None

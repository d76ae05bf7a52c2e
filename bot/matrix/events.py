"""What happens in Matrix rooms, in our own words: immutable values that know nothing of any client library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from bot.matrix.ids import EventId, RoomId, UserId

RawEvent: TypeAlias = Mapping[str, Any]
Content: TypeAlias = Mapping[str, Any]


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; an empty one where others sent something else."""
    return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Event:
    """What every event has. `at` is the sender's server's clock: good for ages within one server, else a claim."""

    event_id: EventId
    room: RoomId
    sender: UserId
    at: datetime


@dataclass(frozen=True, slots=True)
class Message(Event):
    """An `m.room.message` that is no edit. `body` and `html` are as sent, quote of a reply included."""

    msgtype: str
    body: str
    html: str | None = None
    thread: EventId | None = None
    reply_to: EventId | None = None
    content: Content = field(default_factory=dict)
    stale: bool = False
    """It came with the first batch after a gap and was more than five minutes old then: not carried out any more."""


@dataclass(frozen=True, slots=True)
class Reaction(Event):
    """An `m.reaction`; `key` without variation selectors, skin tones and joiners."""

    target: EventId
    key: str
    stale: bool = False
    """As of a message."""


@dataclass(frozen=True, slots=True)
class Redaction(Event):
    """The removal of an earlier event."""

    target: EventId


@dataclass(frozen=True, slots=True)
class StateChange(Event):
    """A state event that came by sync; `before` is the content that the room-state table held until then."""

    type: str
    state_key: str
    content: Content
    before: Content | None = None


@dataclass(frozen=True, slots=True)
class Unreadable(Event):
    """An `m.room.encrypted` that could not be decrypted."""

    stale: bool = False
    """As of a message: what it turns out to be when its key comes is so old then."""


@dataclass(frozen=True, slots=True)
class Invited:
    """An invite of the bot itself."""

    room: RoomId
    inviter: UserId
    at: datetime


@dataclass(frozen=True, slots=True)
class Departed:
    """The bot is no longer in `room`: it left, was removed, or was banned there by `by`."""

    room: RoomId
    by: UserId | None
    banned: bool
    at: datetime


Item: TypeAlias = Message | Reaction | Redaction | StateChange | Unreadable | Invited | Departed
"""All that the inbox takes."""


@dataclass(frozen=True, slots=True)
class RoomDelta:
    """What one sync says of one joined room. `gap` is the token to page back from where the timeline is limited."""

    state: tuple[RawEvent, ...] = ()
    timeline: tuple[RawEvent, ...] = ()
    gap: str | None = None


@dataclass(frozen=True, slots=True)
class SyncBatch:
    """One `/sync` answer. `server_time` is the answer's `Date` header, for ages that do not trust our own clock.

    `late` are events of earlier answers that could not be read until now.
    """

    token: str
    joined: Mapping[RoomId, RoomDelta] = field(default_factory=dict)
    invited: Mapping[RoomId, tuple[RawEvent, ...]] = field(default_factory=dict)
    left: Mapping[RoomId, RoomDelta] = field(default_factory=dict)
    server_time: datetime | None = None
    late: tuple[tuple[RoomId, RawEvent], ...] = ()

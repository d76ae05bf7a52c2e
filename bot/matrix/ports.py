"""What we ask of a homeserver, a few verbs at a time; a function takes the verbs it needs, never "the client"."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, TypeAlias

from bot.matrix.events import Content, RawEvent, SyncBatch
from bot.matrix.ids import EventId, RoomId, UserId


class Urgency(IntEnum):
    """Which request goes first where the homeserver lets only some through; lower goes first."""

    ANSWER = 0
    LOCK = 1
    INVITE = 2
    MESSAGE = 3
    REMOVE = 4
    CLEAN_UP = 5


@dataclass(frozen=True, slots=True)
class InitialState:
    """One entry of `initial_state` of a room to create."""

    type: str
    content: Content
    state_key: str = ""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A room to create, whole: one request makes it. `power` is the full `m.room.power_levels`, without creators."""

    name: str
    topic: str
    power: Content
    state: tuple[InitialState, ...] = ()
    invite: tuple[UserId, ...] = ()
    """At most 10 (Synapse refuses more), of users of our own server only."""


Wanted: TypeAlias = Callable[[], Awaitable[bool]]
"""Whether a request is still wanted, asked when its turn has come: the homeserver's limits may take minutes.

Where it is not, the call raises `Outdated`.
"""


class Rooms(Protocol):
    """Making rooms, changing their state, leaving them.

    Every call of every port raises `Temporary` (with `RateLimited`), `Permanent` or `LoginLost` from `bot.errors`.
    """

    async def create(self, blueprint: Blueprint, key: str, wanted: Wanted | None = None) -> RoomId:
        """Create the room; where the server takes it, a repeat with the same `key` returns the same room.

        The implementation adds or leaves out the creator in `users` as the room version asks.
        """
        ...

    async def set_state(
        self,
        room: RoomId,
        type_: str,
        content: Content,
        state_key: str = "",
        *,
        urgency: Urgency = Urgency.LOCK,
    ) -> EventId:
        """Change the state of a room; of `m.room.power_levels` the creator is added or left out as for `create`."""
        ...

    async def join(self, room: RoomId, via: Sequence[str] = ()) -> None: ...

    async def leave(self, room: RoomId, reason: str = "") -> None:
        """Leave the room or decline its invite, and forget it; fine if we are not in it."""
        ...


class Members(Protocol):
    """Who is in a room. Each verb is harmless when repeated: what is so already counts as done."""

    async def invite(self, room: RoomId, user: UserId, reason: str, wanted: Wanted | None = None) -> None: ...
    async def remove(self, room: RoomId, user: UserId, reason: str, wanted: Wanted | None = None) -> None:
        """Kick, or withdraw an invite."""
        ...

    async def ban(self, room: RoomId, user: UserId, reason: str) -> None: ...
    async def unban(self, room: RoomId, user: UserId) -> None: ...

    async def bring_in(self, room: RoomId, user: UserId) -> None:
        """Have a user of our own server join, without their doing; an account that is no server admin may not."""
        ...


class Speaker(Protocol):
    """Events that a room shows. `key` is the transaction id: a repeat returns the first event's id."""

    async def send(
        self,
        room: RoomId,
        type_: str,
        content: Content,
        key: str,
        *,
        urgency: Urgency = Urgency.MESSAGE,
        wanted: Wanted | None = None,
    ) -> EventId: ...

    async def redact(self, room: RoomId, event: EventId, key: str, *, urgency: Urgency = Urgency.MESSAGE) -> None: ...


class Reader(Protocol):
    """What the homeserver knows, asked for."""

    async def sync(self, since: str | None, timeout_s: float) -> SyncBatch:
        """The next batch; without `since` the present state with at most one event a room."""
        ...

    async def messages_before(self, room: RoomId, token: str, until: str) -> Sequence[RawEvent]:
        """The events between `until` and the gap token, oldest first."""
        ...

    async def state(self, room: RoomId) -> Sequence[RawEvent]:
        """The whole present state of a room."""
        ...

    async def content(self, room: RoomId, type_: str, state_key: str) -> Content | None:
        """The content of one state event as it is now; None where there is none."""
        ...

    async def event(self, room: RoomId, event: EventId) -> RawEvent:
        """One event as it reads since its last edit, as relaying a replied-to message needs it."""
        ...


class AccountData(Protocol):
    """The account's own private data."""

    async def account_data(self, type_: str) -> Content | None: ...
    async def set_account_data(self, type_: str, content: Content) -> None: ...


class Homeserver(Rooms, Members, Speaker, Reader, AccountData, Protocol):
    """All of it, for the composition root and for the tests' fake; nothing else asks for so much."""

    @property
    def me(self) -> UserId:
        """The bot's own user id."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """What is known of the homeserver's limits: None is unlimited as far as seen."""

    seconds_per_request: float
    """Measured mean time of one request."""
    per_second: float | None = None
    burst_left: float | None = None
    """How many requests may go at once now, besides what is kept for answers; below zero while that is lacking."""
    rooms_per_second: float | None = None
    rooms_left: float | None = None
    """How many rooms may be made at once now."""


class Limits(Protocol):
    """How fast the homeserver lets us work."""

    def pace(self) -> Pace: ...

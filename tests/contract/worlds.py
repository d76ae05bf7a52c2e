"""A homeserver with the bot's account and people, whichever homeserver it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol, TypeVar

from bot.errors import Permanent
from bot.matrix.client import NioHomeserver
from bot.matrix.events import Content, Item, RawEvent
from bot.matrix.ids import EventId, RoomId, UserId
from bot.matrix.ports import Blueprint, Homeserver, InitialState
from bot.matrix.translate import translate
from bot.testing.fake import FakeHomeserver, FakeServer, FakeUser
from bot.testing.raw import MatrixError, RawUser

T = TypeVar("T")

MARKER = "org.example.marker"
CALL = "org.matrix.msc3401.call.member"
POWER: Content = {
    "users": {},
    "users_default": 0,
    "events": {"m.room.name": 100, CALL: 0},
    "events_default": 0,
    "state_default": 50,
    "invite": 50,
    "kick": 50,
    "ban": 50,
    "redact": 50,
}
_numbers = count(1)


class Person(Protocol):
    """Somebody with a Matrix client; what the server refuses is a `Permanent`."""

    @property
    def id(self) -> UserId: ...
    async def create_room(
        self,
        name: str,
        *,
        invite: Sequence[str] = (),
        powers: Mapping[UserId, int] | None = None,
        version: str | None = None,
    ) -> RoomId: ...
    async def join(self, room: RoomId) -> None: ...
    async def leave(self, room: RoomId) -> None: ...
    async def invite(self, room: RoomId, user: str, reason: str = "") -> None: ...
    async def kick(self, room: RoomId, user: str) -> None: ...
    async def ban(self, room: RoomId, user: str) -> None: ...
    async def say(self, room: RoomId, body: str) -> EventId: ...
    async def edit(self, room: RoomId, event: EventId, body: str) -> None: ...
    async def react(self, room: RoomId, target: EventId, key: str) -> EventId: ...
    async def redact(self, room: RoomId, target: EventId) -> None: ...
    async def set_state(self, room: RoomId, type_: str, content: Content, key: str = "") -> None: ...
    async def upgrade(self, room: RoomId, version: str) -> RoomId: ...


@dataclass(frozen=True)
class OnFake:
    """A person at the homeserver in memory."""

    user: FakeUser

    @property
    def id(self) -> UserId:
        return self.user.id

    async def create_room(
        self,
        name: str,
        *,
        invite: Sequence[str] = (),
        powers: Mapping[UserId, int] | None = None,
        version: str | None = None,
    ) -> RoomId:
        room = self.user.create_room(name, invite=invite, version=version)
        for user, level in (powers or {}).items():
            self.user.set_power(room, user, level)
        return room

    async def join(self, room: RoomId) -> None:
        self.user.join(room)

    async def leave(self, room: RoomId) -> None:
        self.user.leave(room)

    async def invite(self, room: RoomId, user: str, reason: str = "") -> None:
        self.user.invite(room, user, reason)

    async def kick(self, room: RoomId, user: str) -> None:
        self.user.kick(room, user)

    async def ban(self, room: RoomId, user: str) -> None:
        self.user.ban(room, user)

    async def say(self, room: RoomId, body: str) -> EventId:
        return self.user.say(room, body)

    async def edit(self, room: RoomId, event: EventId, body: str) -> None:
        self.user.edit(room, event, body)

    async def react(self, room: RoomId, target: EventId, key: str) -> EventId:
        return self.user.react(room, target, key)

    async def redact(self, room: RoomId, target: EventId) -> None:
        self.user.redact(room, target)

    async def set_state(self, room: RoomId, type_: str, content: Content, key: str = "") -> None:
        self.user.set_state(room, type_, content, key)

    async def upgrade(self, room: RoomId, version: str) -> RoomId:
        return self.user.upgrade(room, version)


@dataclass(frozen=True)
class OnSynapse:
    """A person at a real homeserver."""

    user: RawUser

    @property
    def id(self) -> UserId:
        return UserId(self.user.user_id)

    async def create_room(
        self,
        name: str,
        *,
        invite: Sequence[str] = (),
        powers: Mapping[UserId, int] | None = None,
        version: str | None = None,
    ) -> RoomId:
        levels = {str(user): level for user, level in (powers or {}).items()}
        return RoomId(await _told(self.user.create_room(name, invite=invite, powers=levels, version=version)))

    async def join(self, room: RoomId) -> None:
        await _told(self.user.join(room))

    async def leave(self, room: RoomId) -> None:
        await _told(self.user.leave(room))

    async def invite(self, room: RoomId, user: str, reason: str = "") -> None:
        await _told(self.user.invite(room, user, reason or None))

    async def kick(self, room: RoomId, user: str) -> None:
        await _told(self.user.kick(room, user))

    async def ban(self, room: RoomId, user: str) -> None:
        await _told(self.user.ban(room, user))

    async def say(self, room: RoomId, body: str) -> EventId:
        return EventId(await _told(self.user.say(room, body)))

    async def edit(self, room: RoomId, event: EventId, body: str) -> None:
        await _told(self.user.edit(room, event, body))

    async def react(self, room: RoomId, target: EventId, key: str) -> EventId:
        return EventId(await _told(self.user.react(room, target, key)))

    async def redact(self, room: RoomId, target: EventId) -> None:
        await _told(self.user.redact(room, target))

    async def set_state(self, room: RoomId, type_: str, content: Content, key: str = "") -> None:
        await _told(self.user.set_state(room, type_, dict(content), key))

    async def upgrade(self, room: RoomId, version: str) -> RoomId:
        return RoomId(await _told(self.user.upgrade(room, version)))


async def _told(doing: Awaitable[T]) -> T:
    try:
        return await doing
    except MatrixError as refused:
        raise Permanent(refused.status, refused.errcode, refused.error) from refused


@dataclass
class World:
    """The bot's account, and how to get people."""

    bot: Homeserver
    person: Callable[[str], Awaitable[Person]]
    make_admin: Callable[[], Awaitable[None]]
    """The bot's account becomes one of the homeserver's admins."""
    since: str | None = field(default=None)

    def use_version(self, version: str) -> None:
        """From now on the bot makes rooms of this version."""
        if isinstance(self.bot, FakeHomeserver):
            self.bot.server.version = version
        else:
            assert isinstance(self.bot, NioHomeserver)
            self.bot._version = version

    async def room(self, *invite: Person, state: tuple[InitialState, ...] = (), power: Content = POWER) -> RoomId:
        """A new room of the bot's, these people invited."""
        return await self.bot.create(blueprint(*invite, state=state, power=power), new_key())

    async def room_with(self, *people: Person, **more: Any) -> RoomId:
        """A new room of the bot's, these people in it."""
        room = await self.room(*people, **more)
        for person in people:
            await person.join(room)
        return room

    async def content(self, room: RoomId, type_: str, key: str = "") -> Content:
        """The content of a state event; empty where there is none."""
        for event in await self.bot.state(room):
            if (event["type"], event["state_key"]) == (type_, key):
                return dict(event["content"])
        return {}

    async def membership(self, room: RoomId, user: str) -> str:
        """`leave` for somebody who was never there."""
        return str((await self.content(room, "m.room.member", user)).get("membership", "leave"))

    async def catch_up(self) -> None:
        """Whatever happened until now is not news any more."""
        self.since = (await self.bot.sync(self.since, 0)).token

    async def heard(self, room: RoomId) -> list[RawEvent]:
        """What came to pass in the room since `catch_up`; the bot says a last word, to know that nothing is amiss."""
        last = await self.bot.send(room, "m.room.message", {"msgtype": "m.notice", "body": "over"}, new_key())
        events: list[RawEvent] = []
        while not events or events[-1]["event_id"] != last:
            batch = await self.bot.sync(self.since, 10)
            self.since = batch.token
            if room in batch.joined:
                events.extend(batch.joined[room].timeline)
        return events[:-1]

    async def items(self, until: Callable[[Item], bool]) -> list[Item]:
        """What came to pass since `catch_up`, in the bot's own words, up to the first that is `until`."""
        found: list[Item] = []
        while True:
            batch = await self.bot.sync(self.since, 10)
            self.since = batch.token
            for item in translate(batch, self.bot.me):
                found.append(item)
                if until(item):
                    return found


def new_key() -> str:
    """A key that nobody used."""
    return f"key:{next(_numbers)}/a b"


def blueprint(*invite: Person, state: tuple[InitialState, ...] = (), power: Content = POWER) -> Blueprint:
    """A room to make."""
    state = (InitialState(MARKER, {"n": 1}), *state)
    return Blueprint("Room 1", "What we talk about", power, state, tuple(person.id for person in invite))


def restricted_to(room: RoomId) -> InitialState:
    """The rule that lets members of `room` in."""
    content = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": room}]}
    return InitialState("m.room.join_rules", content)


def types(events: Sequence[RawEvent]) -> list[str]:
    """The types of events."""
    return [str(event["type"]) for event in events]


def in_memory(server: FakeServer) -> World:
    """A world of the fake."""

    async def person(name: str) -> Person:
        return OnFake(server.user(name.lower(), name))

    bot = FakeHomeserver(server)

    async def make_admin() -> None:
        server.admins.add(bot.me)

    return World(bot, person, make_admin)

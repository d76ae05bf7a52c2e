"""Sentences in, sentences out: the whole bot on a homeserver in memory, with a clock that the test moves."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.app import App, running
from bot.config import AccessConfig
from bot.loader import load
from bot.matrix.ids import RoomId, UserId
from bot.schedule import ClockBell
from bot.store.database import Database
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeRoom, FakeServer, FakeUser


@dataclass(slots=True)
class Talk:
    """A running bot, its homeserver and its people."""

    server: FakeServer
    homeserver: FakeHomeserver
    clock: FakeClock
    app: App
    people: dict[str, FakeUser] = field(default_factory=dict)

    def user(self, name: str) -> FakeUser:
        """Somebody by localpart, with or without `@`; made when new."""
        name = name.removeprefix("@")
        if name not in self.people:
            self.people[name] = self.server.user(name)
        return self.people[name]

    async def main_room(
        self,
        moderators: Sequence[str],
        people: Sequence[str] = (),
        *,
        name: str = "Class 7b",
        bot_level: int = 100,
        **more: Any,
    ) -> Room:
        """A main room made by an admin who is not in it any more, with these people and the bot."""
        admin = self.user(f"admin{len(self.server.rooms)}")
        users = {**dict.fromkeys((self.user(m).id for m in moderators), 50), self.homeserver.me: bot_level}
        room = self.server.create(admin.id, name=name, power={"users": users, "invite": 0}, version="11", **more)
        for person in (*moderators, *people):
            await self.joins(Room(self, room), person)
        self.server.invite(admin.id, room, self.homeserver.me, "")
        await self.settled()
        admin.leave(room)
        await self.settled()
        return Room(self, room)

    async def joins(self, room: Room, person: str) -> None:
        """Somebody comes into a room, invited by whoever may."""
        user = self.user(person)
        if self.server.room(room.id).membership(user.id) != "invite":
            inviter = min(self.server.room(room.id).joined - {self.homeserver.me})
            self.server.invite(UserId(inviter), room.id, user.id, "")
        user.join(room.id)
        await self.settled()

    async def settled(self) -> None:
        """Wait until the bot has taken in and done all that there is to do now."""
        await self.homeserver.taken_in()
        await self.app.idle()
        while self.homeserver.has_more():
            await self.homeserver.taken_in()
            await self.app.idle()

    async def passes(self, length: timedelta | int) -> None:
        """Let time pass, minute by minute where it is long, so that what falls due does so in order."""
        left = length if isinstance(length, timedelta) else timedelta(seconds=length)
        while left > timedelta():
            step = min(left, timedelta(seconds=30))
            self.clock.advance(step)
            left -= step
            await self.settled()

    def rooms_named(self, part: str) -> list[Room]:
        """The rooms whose name contains `part`, oldest first."""
        return [
            Room(self, room.id)
            for room in self.server.rooms.values()
            if part in str(room.content("m.room.name").get("name", ""))
        ]

    def room_named(self, part: str) -> Room:
        """The newest room whose name contains `part`."""
        return self.rooms_named(part)[-1]


@dataclass(frozen=True, slots=True)
class Room:
    """A room in a conversation."""

    talk: Talk
    id: RoomId

    @property
    def raw(self) -> FakeRoom:
        """The room on the homeserver."""
        return self.talk.server.room(self.id)

    async def says(self, who: str, text: str, **content: Any) -> str:
        """Somebody says something; returns what the bot says in this room because of it, edits left out."""
        before = len(self.raw.events)
        self.talk.user(who).say(self.id, text, **content)
        await self.talk.settled()
        return "\n\n".join(self._said_since(before))

    async def taps(self, who: str, emoji: str, on: str) -> str:
        """Somebody reacts to the bot's newest message that contains `on`; returns what the bot says because of it."""
        before = len(self.raw.events)
        self.talk.user(who).react(self.id, self.message(on)["event_id"], emoji)
        await self.talk.settled()
        return "\n\n".join(self._said_since(before))

    async def untaps(self, who: str, emoji: str) -> None:
        """Somebody takes their newest reaction of this kind back."""
        user = self.talk.user(who)
        for event in reversed(self.raw.events):
            relation = event["content"].get("m.relates_to", {})
            if event["type"] == "m.reaction" and event["sender"] == user.id and relation.get("key") == emoji:
                user.redact(self.id, event["event_id"])
                break
        await self.talk.settled()

    def message(self, part: str) -> dict[str, Any]:
        """The bot's newest message (no edit) whose text contains `part`."""
        for event in reversed(self.raw.messages):
            is_ours = event["sender"] == self.talk.homeserver.me and not _is_edit(event)
            if is_ours and part in self._reads_now(event):
                return dict(event)
        raise AssertionError(f"the bot did not say {part!r}; it said:\n" + "\n---\n".join(self.said))

    @property
    def said(self) -> list[str]:
        """All that the bot said here, as it reads now."""
        edits = {
            event["content"]["m.relates_to"]["event_id"]: event["content"]["m.new_content"]["body"]
            for event in self.raw.messages
            if _is_edit(event)
        }
        return [
            edits.get(event["event_id"], event["content"].get("body", ""))
            for event in self.raw.messages
            if event["sender"] == self.talk.homeserver.me and not _is_edit(event)
        ]

    def _reads_now(self, event: Mapping[str, Any]) -> str:
        """The text of a message, the last edit applied."""
        text = str(event["content"].get("body", ""))
        for other in self.raw.messages:
            if _is_edit(other) and other["content"]["m.relates_to"]["event_id"] == event["event_id"]:
                text = other["content"]["m.new_content"]["body"]
        return text

    @property
    def joined(self) -> set[str]:
        """The localparts of those who are in it, the bot left out."""
        return {user[1:].partition(":")[0] for user in self.raw.joined if user != self.talk.homeserver.me}

    @property
    def invited(self) -> set[str]:
        """The localparts of those who hold an invite."""
        members: Mapping[str, str] = self.raw.members
        return {user[1:].partition(":")[0] for user, membership in members.items() if membership == "invite"}

    def _said_since(self, position: int) -> list[str]:
        return [
            event["content"].get("body", "")
            for event in self.raw.events[position:]
            if event["type"] == "m.room.message" and event["sender"] == self.talk.homeserver.me and not _is_edit(event)
        ]


@asynccontextmanager
async def conversation(
    plugins: Mapping[str, dict[str, Any] | None] | None = None, *, allowed_inviters: Sequence[str] = ()
) -> AsyncIterator[Talk]:
    """A bot with these plugins (the breakout rooms, unless told otherwise) on a homeserver in memory."""
    server = FakeServer(FakeClock())
    with tempfile.TemporaryDirectory() as folder:
        access = AccessConfig(allowed_inviters=tuple(allowed_inviters))
        async with life(server, FakeHomeserver(server), Path(folder), plugins, access) as talk:
            yield talk


@asynccontextmanager
async def life(
    server: FakeServer,
    homeserver: FakeHomeserver,
    folder: Path,
    plugins: Mapping[str, dict[str, Any] | None] | None = None,
    access: AccessConfig | None = None,
    *,
    opens: Callable[[Path], Awaitable[Database]] = Database.open,
) -> AsyncIterator[Talk]:
    """One life of the bot's process: between two of them on the same folder, it is down."""
    clock = server.clock
    assert isinstance(clock, FakeClock)
    database = await opens(folder)
    app = App(
        account=homeserver,
        database=database,
        loaded=load(plugins if plugins is not None else {"breakout": None}),
        clock=clock,
        access=access or AccessConfig(),
        bell=ClockBell(clock),
    )
    try:
        async with running(app):
            talk = Talk(server, homeserver, clock, app)
            await talk.settled()
            yield talk
    finally:
        await database.close()


def _is_edit(event: Mapping[str, Any]) -> bool:
    relation = event["content"].get("m.relates_to", {})
    return isinstance(relation, Mapping) and relation.get("rel_type") == "m.replace"


def user_id(name: str) -> UserId:
    """The user id of somebody in a conversation."""
    return UserId(f"@{name.removeprefix('@')}:test")

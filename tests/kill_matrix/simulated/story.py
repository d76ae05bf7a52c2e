"""A whole session on the fake homeserver, act by act, going on with a new process wherever the bot has died."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import count
from pathlib import Path

from bot.matrix.ids import UserId
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeServer, FakeUser
from bot.testing.harness import Room, Talk, life
from tests.kill_matrix.simulated.boundaries import HANGS, Fate, MortalHomeserver, mortal

REST = 5
"""Minutes after each act: time enough for whatever failed."""

_MOMENT = timedelta(seconds=1)


class World:
    """A homeserver with a class, and one life of the bot after another."""

    def __init__(self, folder: Path, fate: Fate) -> None:
        self.fate = fate
        self.clock = FakeClock()
        self.server = FakeServer(self.clock)
        self.homeserver = MortalHomeserver(self.server, fate)
        self.lives = 0
        self.main: Room
        self.begun = self.clock.now()
        """When the session with a timer began."""
        self._willing: set[str] = set()
        self._talk: Talk
        self._stack = AsyncExitStack()
        self._folders = (folder / f"life {number}" for number in count())
        self._folder: Path | None = None

    async def meet(self) -> None:
        """A class of four, with a moderator, and the bot."""
        await self.begin()
        self.main = await self._talk.main_room(moderators=["ann"], people=["bob", "cleo", "dan", "eve"], name="Class")

    async def begin(self) -> None:
        """A process, on what the one before left."""
        self.fate.is_buried = self.fate.is_dead
        await self._stack.aclose()
        before, self._folder = self._folder, next(self._folders)
        if before is not None:
            shutil.copytree(before, self._folder)
            shutil.rmtree(before)
            self.homeserver.revive()
        self.lives += 1
        made = life(self.server, self.homeserver, self._folder, opens=mortal(self.fate))
        self._talk = await self._stack.enter_async_context(made)

    async def close(self) -> None:
        """No more."""
        await self._stack.aclose()

    async def settled(self) -> None:
        """Wait until there is nothing left to do now, in however many lives."""
        while True:
            settled = asyncio.create_task(self._talk.settled())
            struck = asyncio.create_task(self.fate.struck.wait())
            await asyncio.wait({settled, struck}, return_when=asyncio.FIRST_COMPLETED)
            for task in (settled, struck):
                task.cancel()
            await asyncio.wait({settled, struck})
            if not self.fate.struck.is_set():
                if self._accept():
                    continue
                return
            self.fate.struck.clear()
            if self.fate.is_dead:
                await self.begin()
            else:
                self.clock.advance(HANGS)

    async def passes(self, minutes: float) -> None:
        """Let time pass, from one moment at which somebody wakes to the next."""
        end = self.clock.now() + timedelta(minutes=minutes)
        while (now := self.clock.now()) < end:
            moment = self.clock.next_moment
            self.clock.advance(min(max(moment, now + _MOMENT), end) - now if moment else end - now)
            await self.settled()

    # --- who does what

    def user(self, name: str) -> FakeUser:
        """Somebody."""
        return self._talk.user(name)

    def room(self, part: str) -> Room:
        """The room in use whose name begins so."""
        me = self.homeserver.me
        rooms = [
            room for room in self.server.rooms.values() if str(room.content("m.room.name").get("name")).startswith(part)
        ]
        return Room(self._talk, [room for room in rooms if room.membership(me) == "join"][-1].id)

    async def says(self, who: str, text: str, where: str = "Class") -> None:
        """Somebody says something."""
        self.user(who).say(self.room(where).id, text)
        await self.settled()

    async def accepts(self, *names: str) -> None:
        """From now on these people join whatever they are invited to, as soon as they are."""
        self._willing.update(names)
        await self.settled()

    def _accept(self) -> bool:
        """Let the willing join; False where nobody is invited."""
        open_invites = [
            (user, room)
            for user in map(self.user, sorted(self._willing))
            for room in self.server.rooms.values()
            if room.membership(user.id) == "invite"
        ]
        for user, room in open_invites:
            user.join(room.id)
        return bool(open_invites)


Act = Callable[[World], Awaitable[None]]


async def _set_up(world: World) -> None:
    await world.says("ann", "!breakout setup Red, Green choose")
    await world.accepts("ann")
    await world.says("ann", "!breakout task Red Draw a tree")


async def _choose(world: World) -> None:
    for name, room in (("bob", "Red"), ("cleo", "Red"), ("dan", "Green"), ("eve", "Green")):
        await world.says(name, f"!breakout choose {room}")


async def _start(world: World) -> None:
    world.begun = world.clock.now()
    await world.says("ann", "!breakout start 1h")
    await world.accepts("bob", "cleo", "dan", "eve")


async def _move(world: World) -> None:
    await world.says("ann", "!breakout assign @bob to Green")
    await world.accepts("bob")


async def _swap(world: World) -> None:
    await world.says("ann", "!breakout swap @cleo @dan")
    await world.accepts("cleo", "dan")


async def _help(world: World) -> None:
    await world.says("eve", "!help We are lost", "Green ·")
    await world.says("ann", "!breakout claim 2")
    await world.says("ann", "!breakout resolve 2", "Moderators of")


async def _talk(world: World) -> None:
    await world.says("ann", "!breakout broadcast Ten more minutes")
    await world.says("ann", "!breakout tell Red Well done")


async def _extend(world: World) -> None:
    await world.says("ann", "!breakout extend 10m")


async def _late(world: World) -> None:
    admin, zoe = world.user("ann"), world.user("zoe")
    world.server.invite(admin.id, world.main.id, zoe.id, "")
    zoe.join(world.main.id)
    await world.says("zoe", "!breakout choose Red")
    await world.accepts("zoe")


async def _kick(world: World) -> None:
    world.user("ann").kick(world.main.id, UserId("@eve:test"))
    await world.settled()


async def _promote(world: World) -> None:
    world.user("ann").set_power(world.main.id, "@cleo:test", 50)
    await world.settled()
    await world.accepts("cleo")


async def _warn(world: World) -> None:
    start = world.clock.now()
    until = world.begun + timedelta(hours=1, minutes=9)
    await world.passes((until - start).total_seconds() / 60)


async def _end(world: World) -> None:
    await world.passes(REST)


async def _again(world: World) -> None:
    await world.says("ann", "!breakout start")
    await world.accepts("bob", "dan", "zoe")


async def _finish(world: World) -> None:
    await world.says("ann", "!breakout end")


async def _delete(world: World) -> None:
    await world.says("ann", "!breakout delete")
    await world.says("ann", "!breakout delete confirm")


ACTS: dict[str, Act] = {
    "set up": _set_up,
    "choose": _choose,
    "start": _start,
    "move": _move,
    "swap": _swap,
    "help": _help,
    "broadcast and tell": _talk,
    "extend": _extend,
    "late joiner": _late,
    "kick": _kick,
    "promotion": _promote,
    "warning": _warn,
    "closing": _end,
    "start again": _again,
    "end": _finish,
    "delete": _delete,
}

"""The process is killed between any two calls, and started again: nobody is lost, nothing is said or made twice."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bot.matrix.events import SyncBatch
from bot.matrix.ids import UserId
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeServer, FakeUser
from bot.testing.harness import Room, Talk, life
from tests.conversation.breakout import CLASS, PLAN

T = TypeVar("T")


class Mortal(FakeHomeserver):
    """Does not answer any more from a certain call on, which may have acted; what it remembers of keys is gone too."""

    def __init__(self, server: FakeServer) -> None:
        super().__init__(server)
        self.left: int | None = None
        """Calls until then; None: it lives."""
        self.acts_last = False
        self.last_verb: str | None = None
        self.died = asyncio.Event()

    def dies_at(self, verb: str) -> None:
        """The next call of this verb acts, and is the last."""
        self.last_verb = verb

    async def _call(self, verb: str, act: Callable[[], T], *arguments: Any) -> T:
        if verb == self.last_verb:
            self.left, self.acts_last = 1, True
        if self.left is not None and verb not in ("sync", "state"):
            self.left -= 1
            if self.left == 0 and self.acts_last:
                act()
            if self.left <= 0:
                self.died.set()
                await asyncio.Event().wait()
        return await super()._call(verb, act, *arguments)

    def revive(self) -> None:
        """It answers again, knowing nothing of the keys under which rooms were made."""
        self.left = self.last_verb = None
        self._made.clear()


async def settled_or_dead(talk: Talk, homeserver: Mortal) -> None:
    """Wait until there is nothing left to do, or nobody left to do it."""
    settled = asyncio.create_task(talk.settled())
    died = asyncio.create_task(homeserver.died.wait())
    await asyncio.wait({settled, died}, return_when=asyncio.FIRST_COMPLETED)
    for task in (settled, died):
        task.cancel()
    await asyncio.wait({settled, died})


@pytest.mark.parametrize("acts_last", [False, True])
@pytest.mark.parametrize("calls", [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50])
async def test_a_session_survives_a_kill_at_any_call(tmp_path: Path, calls: int, acts_last: bool) -> None:
    clock = FakeClock()
    server = FakeServer(clock)
    homeserver = Mortal(server)
    async with life(server, homeserver, tmp_path / "before") as talk:
        main = await talk.main_room(moderators=["ann"], people=CLASS)
        homeserver.left, homeserver.acts_last = calls, acts_last
        for said in (PLAN, "!breakout start", "!breakout broadcast Hello", "!breakout end now"):
            talk.user("ann").say(main.id, said)
            await settled_or_dead(talk, homeserver)
    homeserver.revive()
    shutil.copytree(tmp_path / "before", tmp_path / "after")  # whatever the first life still holds open
    async with life(server, homeserver, tmp_path / "after") as talk:
        for seconds in (1, 2, 4, 8):
            await talk.passes(seconds)
        main = Room(talk, main.id)
        for part in ("rooms are planned: Red and Green", "are closing now", "closed; everybody is back here"):
            assert sum(part in said for said in main.said) == 1
        check_nothing_twice(talk)
        assert not any(room.joined | room.invited for room in talk.rooms_named(" · Class"))
        await main.says("@ann", "!breakout start")
        await talk.passes(5)
        rooms = [*talk.rooms_named("Red ·"), *talk.rooms_named("Green ·")]
        assert Counter(name for room in rooms for name in room.invited | room.joined) == Counter(CLASS)


def check_nothing_twice(talk: Talk) -> None:
    """No message twice in a room, and at most one room in use of each name."""
    for room in talk.server.rooms.values():
        assert len(set(Room(talk, room.id).said)) == len(Room(talk, room.id).said)
    for part in ("Red ·", "Green ·", "Moderators of"):
        used = [room for room in talk.rooms_named(part) if talk.homeserver.me in room.raw.joined]
        assert len(used) <= 1


async def test_who_declined_while_we_were_dead_is_not_invited_again(tmp_path: Path) -> None:
    server = FakeServer(FakeClock())
    homeserver = Mortal(server)
    async with life(server, homeserver, tmp_path / "before") as talk:
        main = await talk.main_room(moderators=["ann"], people=CLASS)
        await main.says("@ann", PLAN)
        homeserver.dies_at("create")
        talk.user("ann").say(main.id, "!breakout start")
        await settled_or_dead(talk, homeserver)
    room, who = next(  # rooms are made side by side: either may be the one
        (room, person)
        for room in server.rooms.values()
        for person in CLASS
        if room.members.get(f"@{person}:test") == "invite" and room.id != main.id
    )
    server.leave(UserId(f"@{who}:test"), room.id)
    homeserver.revive()
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    async with life(server, homeserver, tmp_path / "after") as talk:
        await talk.passes(5)
        assert who not in Room(talk, room.id).invited
        assert f"{who.title()} (declined)" in await Room(talk, main.id).says("@ann", "!breakout status")


async def test_a_tap_on_a_message_counts_though_its_sending_was_not_noted(tmp_path: Path) -> None:
    server = FakeServer(FakeClock())
    homeserver = Mortal(server)
    async with life(server, homeserver, tmp_path / "before") as talk:
        main = await talk.main_room(moderators=["ann"], people=CLASS)
        await main.says("@ann", PLAN)
        homeserver.dies_at("send")
        talk.user("ann").say(main.id, "!breakout delete")
        await settled_or_dead(talk, homeserver)
    question = next(e for e in server.rooms[main.id].messages if "Delete the plan of 2 rooms" in e["content"]["body"])
    FakeUser(server, UserId("@ann:test")).react(main.id, question["event_id"], "✅")
    homeserver.revive()
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    async with life(server, homeserver, tmp_path / "after") as talk:
        await talk.passes(5)
        assert any("The plan is gone" in said for said in Room(talk, main.id).said)


class Stuttering(FakeHomeserver):
    """Tells of each invite once more, later, as Synapse does where one comes during a sync without token."""

    _first: SyncBatch | None = None

    async def sync(self, since: str | None, timeout_s: float) -> SyncBatch:
        batch = await super().sync(since, timeout_s)
        if batch.invited:
            self._first = batch
        elif self._first and batch.server_time != self._first.server_time:
            batch, self._first = replace(batch, invited=self._first.invited), None
        return batch


async def test_an_invite_that_comes_twice_is_greeted_once(tmp_path: Path) -> None:
    server = FakeServer(FakeClock())
    async with life(server, Stuttering(server), tmp_path) as talk:
        main = await talk.main_room(moderators=["ann"], people=CLASS)
        await talk.passes(5)
        await main.says("@ann", "!breakout setup 2")
        assert sum("!breakout setup 4" in said for said in main.said) == 1

"""A backup of any age is put back: the session goes on as the rooms are, with what only the backup knows."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from bot.store.backup import back_up
from bot.store.database import FILE
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeServer
from bot.testing.harness import Room, Talk, life
from tests.conversation.breakout import planned, under_way

LOST = "I have lost my notes"


class World:
    """A homeserver, a bot whose data folder can be lost, and a backup."""

    def __init__(self, folder: Path) -> None:
        self.server = FakeServer(FakeClock())
        self.homeserver = FakeHomeserver(self.server)
        self._folder = folder
        self._lives = 0

    @property
    def _data(self) -> Path:
        return self._folder / str(self._lives)

    def life(self) -> AbstractAsyncContextManager[Talk]:
        """The bot's process on the data folder of the moment."""
        return life(self.server, self.homeserver, self._data)

    def backs_up(self) -> None:
        """What `breakout-bot backup` does."""
        back_up(self._data / FILE, self._folder / "backup.db")

    def puts_back(self) -> None:
        """The data folder is lost; a new one holds the backup alone. The homeserver forgets the bot's keys, too."""
        self._lives += 1
        self._data.mkdir()
        (self._folder / "backup.db").rename(self._data / FILE)
        self.homeserver._made.clear()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def times(room: Room, part: str) -> int:
    return sum(part in said for said in room.said)


async def test_a_session_goes_on_as_it_is_and_not_as_it_was(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk, "!breakout start 20m")
        world.backs_up()
        await main.says("@ann", "!breakout assign @bob to Green")
        talk.user("bob").join(talk.room_named("Green ·").id)
        await talk.settled()
        await main.says("@ann", "!breakout broadcast Hello")
        before = set(talk.server.rooms)
    world.puts_back()
    async with world.life() as talk:
        main, red, green = Room(talk, main.id), talk.room_named("Red ·"), talk.room_named("Green ·")
        await talk.passes(90)
        assert set(talk.server.rooms) == before
        assert red.joined == {"cleo"}
        assert green.joined == {"bob", "dan", "eve"}
        assert red.invited | green.invited == set()
        assert times(red, "Ann: Hello") == times(red, "Welcome to") == 1
        assert times(main, LOST) == 1
        assert "close at 14:25" in await main.says("@ann", "!breakout extend 5m")
        await main.says("@ann", "!breakout end now")
        assert red.joined | green.joined == set()
    async with world.life() as talk:
        await talk.passes(90)
        assert times(Room(talk, main.id), LOST) == 1


async def test_who_sits_out_and_who_waits_for_help_is_known_from_the_backup(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
        await main.says("@bob", "!breakout pass")
        await talk.room_named("Green ·").says("@dan", "!help we are stuck")
        world.backs_up()
    world.puts_back()
    async with world.life() as talk:
        main = Room(talk, main.id)
        assert "are those of the last backup" in main.message(LOST)["content"]["body"]
        assert "Green" in await main.says("@ann", "!breakout queue")
        await main.says("@ann", "!breakout shuffle now")
        assert "bob" not in talk.room_named("Red ·").invited | talk.room_named("Green ·").invited


async def test_a_plan_that_was_not_started_is_there_again(world: World) -> None:
    async with world.life() as talk:
        main = await planned(talk)
        world.backs_up()
    world.puts_back()
    async with world.life() as talk:
        main = Room(talk, main.id)
        assert "the plan here is that of the last backup" in main.message(LOST)["content"]["body"]
        await main.says("@ann", "!breakout start")
        assert talk.room_named("Red ·").invited == {"bob", "cleo"}
        assert len(talk.rooms_named("Moderators of")) == 1


async def test_a_plan_that_was_started_since_is_running(world: World) -> None:
    async with world.life() as talk:
        main = await planned(talk)
        world.backs_up()
        await main.says("@ann", "!breakout start")
        talk.user("bob").join(talk.room_named("Red ·").id)
        await talk.settled()
    world.puts_back()
    async with world.life() as talk:
        red = talk.room_named("Red ·")
        assert red.joined == {"bob"}
        assert red.invited == {"cleo"}
        assert len(talk.rooms_named("Red ·")) == 1
        assert "1 of 2 here" in await Room(talk, main.id).says("@ann", "!breakout status")


async def test_a_session_that_ended_since_stays_ended(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
        world.backs_up()
        await main.says("@ann", "!breakout end now")
    world.puts_back()
    async with world.life() as talk:
        await talk.passes(90)
        red = talk.room_named("Red ·")
        assert red.joined | red.invited == set()
        assert "They are closed" in Room(talk, main.id).message(LOST)["content"]["body"]


async def test_a_session_that_was_deleted_since_stays_deleted(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
        world.backs_up()
        await main.says("@ann", "!breakout delete")
        await main.says("@ann", "!breakout delete confirm")
        before = len(talk.server.rooms)
    world.puts_back()
    async with world.life() as talk:
        await talk.passes(90)
        assert len(talk.server.rooms) == before
        assert times(Room(talk, main.id), LOST) == 0
        assert "setup 4" in await Room(talk, main.id).says("@ann", "!breakout")


async def test_what_was_typed_before_the_loss_is_not_carried_out_again(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
        world.backs_up()
        await main.says("@ann", "!breakout tell Red: Once")
        await main.says("@ann", "!breakout add Blue")
    world.puts_back()
    async with world.life() as talk:
        await talk.passes(90)
        assert times(talk.room_named("Red ·"), "Ann: Once") == 1
        assert len(talk.rooms_named("Blue ·")) == 1

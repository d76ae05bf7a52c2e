"""The database is gone: sessions are rebuilt from the rooms' markers and the account's own note."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from bot.errors import Temporary
from bot.matrix.events import Content
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeServer
from bot.testing.harness import Room, Talk, life
from plugins.breakout.record import TYPE
from tests.conversation.breakout import a_class, at_the_desk, planned, under_way

LOST = "I have lost my notes"


class World:
    """A homeserver on which the bot lives several times, each time with an empty data folder."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.server = FakeServer(self.clock)
        self.homeserver = FakeHomeserver(self.server)
        self._folder = folder
        self._lives = 0

    def life(self) -> AbstractAsyncContextManager[Talk]:
        """One life of the bot, which knows nothing of those before; nor does the homeserver of their keys."""
        self._lives += 1
        self.homeserver._made.clear()
        return self.again()

    def again(self) -> AbstractAsyncContextManager[Talk]:
        """One more life in the same data folder."""
        return life(self.server, self.homeserver, self._folder / str(self._lives))

    @property
    def rooms_in_use(self) -> Counter[str]:
        """How many rooms there are of each name in which the bot is."""
        rooms = [room for room in self.server.rooms.values() if self.homeserver.me in room.joined]
        return Counter(str(room.content("m.room.name").get("name")) for room in rooms)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def times(room: Room, part: str) -> int:
    """How often the bot said something there."""
    return sum(part in said for said in room.said)


async def test_a_running_session_goes_on_as_if_nothing_had_been(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk, "!breakout start 20m")
        desk = await at_the_desk(talk)
        await main.says("@ann", "!breakout task Red Read page 12")
        before = {room.id for room in talk.server.rooms.values()}
        in_use = world.rooms_in_use
    async with world.life() as talk:
        main, desk, red = Room(talk, main.id), Room(talk, desk.id), talk.room_named("Red ·")
        assert {room.id for room in talk.server.rooms.values()} == before
        assert world.rooms_in_use == in_use
        assert red.joined == {"bob", "cleo"}
        assert talk.room_named("Green ·").joined == {"dan", "eve"}
        assert red.raw.content("m.room.topic")["topic"].startswith("Read page 12\n")
        assert times(main, "setup 4") == 1
        assert times(red, "Welcome to") == 1
        assert times(desk, "This is the desk") == 1
        assert times(desk, LOST) == 1
        assert times(main, LOST) == 0
        assert "2 of 2 here" in main.said[-1]


@pytest.mark.parametrize("is_noted", [True, False], ids=["with the note", "without the note"])
async def test_its_commands_work(world: World, *, is_noted: bool) -> None:
    async with world.life() as talk:
        main = await under_way(talk, "!breakout start 20m")
    if not is_noted:
        world.homeserver._data.pop(TYPE)
    async with world.life() as talk:
        main, red, green = Room(talk, main.id), talk.room_named("Red ·"), talk.room_named("Green ·")
        assert times(main, LOST) == 1
        assert "2 of 2 here" in await main.says("@ann", "!breakout status")
        assert "Said in 2 rooms" in await main.says("@ann", "!breakout broadcast Hello")
        assert times(red, "Ann: Hello") == times(green, "Ann: Hello") == 1
        answer = await main.says("@ann", "!breakout extend 5m")
        assert ("close at 14:25" if is_noted else "There is no timer") in answer
        await main.says("@ann", "!breakout assign @bob to Green")
        assert green.invited == {"bob"}
        assert times(red, "Bob, please go to Green") == 1
        talk.user("bob").join(green.id)
        await talk.settled()
        assert red.joined == {"cleo"}
        await main.says("@ann", "!breakout end now")
        assert red.joined | green.joined == set()
        await main.says("@ann", "!breakout start")
        assert green.invited == {"bob", "dan", "eve"}
        await main.says("@ann", "!breakout delete")
        await main.says("@ann", "!breakout delete confirm")
        assert world.rooms_in_use == {"Class 7b": 1}
        assert times(main, "setup 4") == 1


async def test_a_timer_that_ran_out_meanwhile_ends_the_session(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk, "!breakout start 5m")
    world.clock.advance(timedelta(minutes=10))
    async with world.life() as talk:
        await talk.passes(5)
        assert talk.room_named("Red ·").joined == set()
        assert times(Room(talk, main.id), "everybody is back here") == 1


async def test_a_closing_session_closes_in_time(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
        await main.says("@ann", "!breakout end 2m")
    async with world.life() as talk:
        red = talk.room_named("Red ·")
        await talk.passes(100)
        assert red.joined == {"bob", "cleo"}
        await talk.passes(30)
        assert red.joined == set()
        assert times(red, "This room closes in") == 1
        assert times(red, "This room is closed") == 1


async def test_an_ended_session_is_opened_again_with_its_people(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
        await main.says("@ann", "!breakout end now")
    async with world.life() as talk:
        main, red = Room(talk, main.id), talk.room_named("Red ·")
        assert "They are closed" in main.message(LOST)["content"]["body"]
        assert red.joined == set()
        assert times(red, "This room is closed") == times(main, "everybody is back here") == 1
        await main.says("@ann", "!breakout start")
        assert talk.room_named("Red ·").id == red.id
        assert red.invited == {"bob", "cleo"}


async def test_of_a_plan_that_was_not_started_it_is_said_that_it_is_gone(world: World) -> None:
    async with world.life() as talk:
        main = await planned(talk)
        desk = await at_the_desk(talk)
    async with world.life() as talk:
        main, desk = Room(talk, main.id), Room(talk, desk.id)
        assert "a plan that was not started is gone" in desk.message(LOST)["content"]["body"]
        await main.says("@ann", "!breakout setup 2")
        assert times(desk, "This is the desk") == 1
        assert world.rooms_in_use == {"Class 7b": 1, "Moderators of Class 7b": 1}


async def test_what_was_typed_before_is_not_carried_out_again(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
        await main.says("@ann", "!breakout broadcast Hello")
    talk.user("ann").say(main.id, "!breakout end now")
    async with world.life() as talk:
        red = talk.room_named("Red ·")
        assert red.joined == {"bob", "cleo"}
        assert times(red, "Ann: Hello") == 1
        assert times(Room(talk, main.id), "I have lost my notes") == 1


async def test_who_left_a_room_is_not_invited_by_itself(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
        talk.user("bob").leave(talk.room_named("Red ·").id)
        await talk.settled()
    async with world.life() as talk:
        main, red = Room(talk, main.id), talk.room_named("Red ·")
        assert "Bob (left)" in await main.says("@ann", "!breakout status")
        assert red.invited == set()
        await main.says("@bob", "!breakout rejoin")
        assert red.invited == {"bob"}


async def test_who_was_on_the_way_is_taken_out_of_the_old_room(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
        world.clock.advance(timedelta(minutes=1))
        await main.says("@ann", "!breakout assign @bob to Green")
    async with world.life() as talk:
        await talk.passes(61)
        assert talk.room_named("Red ·").joined == {"cleo"}
        assert talk.room_named("Green ·").invited == {"bob"}


async def test_people_choose_on(world: World) -> None:
    async with world.life() as talk:
        main = await a_class(talk)
        await main.says("@ann", "!breakout setup Red, Green choose max 2")
        await main.says("@bob", "!breakout choose Red")
        await main.says("@ann", "!breakout start")
        talk.user("bob").join(talk.room_named("Red ·").id)
        await talk.settled()
    async with world.life() as talk:
        main = Room(talk, main.id)
        await main.taps("@cleo", "2️⃣", on="Breakout rooms are open")
        assert "cleo" in talk.room_named("Green ·").invited
        talk.user("dan").join(talk.room_named("Red ·").id)
        await talk.settled()
        assert talk.room_named("Red ·").joined == {"bob", "dan"}


async def test_two_sessions_are_found_again_each_for_itself(world: World) -> None:
    async with world.life() as talk:
        first = await under_way(talk)
        second = await talk.main_room(moderators=["mia"], people=["nora", "omar"], name="Class 8a")
        await second.says("@mia", "!breakout setup manual\nBlue: @nora\nPink: @omar")
        await second.says("@mia", "!breakout start")
    async with world.life() as talk:
        first, second = Room(talk, first.id), Room(talk, second.id)
        assert times(first, LOST) == times(second, LOST) == 1
        await first.says("@ann", "!breakout end now")
        assert talk.room_named("Red ·").joined == set()
        assert talk.room_named("Blue ·").invited == {"nora"}
        assert "Omar" in await second.says("@mia", "!breakout status Pink")


async def test_where_the_main_room_is_lost_too_everybody_is_sent_out_and_nothing_is_left(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
        await at_the_desk(talk)
    talk.server.leave(world.homeserver.me, main.id)
    async with world.life() as talk:
        await talk.passes(5)
        assert talk.room_named("Red ·").joined == talk.room_named("Moderators of").joined == set()
        assert not world.rooms_in_use


async def test_rooms_of_a_session_that_was_being_deleted_go(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
        talk.homeserver.fail("leave", times=1000)
        await main.says("@ann", "!breakout delete")
        await main.says("@ann", "!breakout delete confirm")
        assert len(world.rooms_in_use) > 1
    world.homeserver.faults.clear()
    async with world.life() as talk:
        await talk.passes(5)
        assert world.rooms_in_use == {"Class 7b": 1}


async def test_a_loss_is_told_once(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk)
    async with world.life() as talk:
        await talk.passes(60)
    async with world.again() as talk:
        await talk.passes(60)
        assert times(Room(talk, main.id), LOST) == 1


async def test_while_the_note_cannot_be_read_nobody_is_sent_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.life() as talk:
        main = await under_way(talk, "!breakout start 20m")
    reading, failures = world.homeserver.account_data, [Temporary("not now")] * 3

    async def account_data(type_: str) -> Content | None:
        if failures:
            raise failures.pop()
        return await reading(type_)

    monkeypatch.setattr(world.homeserver, "account_data", account_data)
    async with world.life() as talk:
        red = talk.room_named("Red ·")
        assert red.joined == {"bob", "cleo"}
        await talk.passes(90)
        assert red.joined == {"bob", "cleo"}
        assert "14:20" in Room(talk, main.id).message(LOST)["content"]["body"]


async def test_lost_twice_it_is_found_again_twice(world: World) -> None:
    async with world.life() as talk:
        main = await under_way(talk, "!breakout start 20m")
    for number in (1, 2):
        async with world.life() as talk:
            main = Room(talk, main.id)
            assert times(main, LOST) == number
            assert "2 of 2 here" in main.said[-1]
    async with world.again() as talk:
        await Room(talk, main.id).says("@ann", "!breakout end now")
        assert talk.room_named("Red ·").joined == set()

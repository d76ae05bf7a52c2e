"""What happens while the bot is down: what was typed or tapped long ago is not carried out when it is back."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeServer
from bot.testing.harness import Room, Talk, life
from tests.conversation.breakout import a_class, at_the_desk, planned, under_way

LONG, SHORT = timedelta(minutes=10), timedelta(minutes=4)
SKIPPED = "I was away and skipped"


class World:
    """A homeserver on which the bot lives twice, and is down between."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.server = FakeServer(self.clock)
        self.homeserver = FakeHomeserver(self.server)
        self.folder = folder

    def life(self) -> AbstractAsyncContextManager[Talk]:
        """One life of the bot."""
        return life(self.server, self.homeserver, self.folder)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_commands_of_long_ago_are_answered_by_one_sentence(world: World) -> None:
    async with world.life() as talk:
        room = await a_class(talk)
    for said in ("!breakout setup 2", "!breakout start"):
        talk.user("ann").say(room.id, said)
    world.clock.advance(LONG)
    async with world.life() as talk:
        room = Room(talk, room.id)
        assert sum(SKIPPED in said for said in room.said) == 1
        assert not talk.rooms_named(" · Class")
        assert "planned" in await room.says("@ann", "!breakout setup 2")


async def test_commands_of_a_short_downtime_are_carried_out(world: World) -> None:
    async with world.life() as talk:
        room = await a_class(talk)
    talk.user("ann").say(room.id, "!breakout setup 2")
    world.clock.advance(SHORT)
    async with world.life() as talk:
        assert any("planned" in said for said in Room(talk, room.id).said)


async def test_a_tap_of_long_ago_that_would_end_the_session_is_skipped(world: World) -> None:
    async with world.life() as talk:
        await under_way(talk)
        desk = await at_the_desk(talk)
        board = desk.message("Red")["event_id"]
    talk.user("ann").react(desk.id, board, "⏹")
    world.clock.advance(LONG)
    async with world.life() as talk:
        assert talk.room_named("Red ·").joined == {"bob", "cleo"}
        assert any(SKIPPED in said for said in Room(talk, desk.id).said)


async def test_a_hand_raised_long_ago_counts(world: World) -> None:
    async with world.life() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout checkin")
        check_in = room.message("✋")["event_id"]
    talk.user("bob").react(room.id, check_in, "✋")
    world.clock.advance(LONG)
    async with world.life() as talk:
        room = Room(talk, room.id)
        assert "1. Room 1: Bob" in await room.says("@ann", "!breakout setup 1 here")


async def test_rooms_that_were_to_end_while_the_bot_was_down_are_closed_when_it_is_back(world: World) -> None:
    async with world.life() as talk:
        await under_way(talk, "!breakout start 5m")
    world.clock.advance(LONG)
    async with world.life() as talk:
        await talk.passes(5)
        assert talk.room_named("Red ·").joined == set()


async def test_a_plan_outlives_a_downtime(world: World) -> None:
    async with world.life() as talk:
        room = await planned(talk)
    world.clock.advance(LONG)
    async with world.life() as talk:
        assert "Breakout rooms" in await Room(talk, room.id).says("@ann", "!breakout start")
        assert talk.room_named("Red ·").invited == {"bob", "cleo"}

"""Who is in the main room, who moderates, who is here, and how the rooms are: from the room-state table alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.clock import to_ms
from bot.matrix.ids import RoomId, UserId
from bot.store.database import Database
from bot.testing.clock import FakeClock
from bot.unit import Transactions
from plugins.breakout.config import BreakoutConfig
from plugins.breakout.domain.desired import MARKER
from plugins.breakout.observe import Hall, look, rooms_of, see
from tests.unit.store import open_store

MAIN, RED = RoomId("!main:x"), RoomId("!red")
ME, ANN, BOB, CLEO, DAN = (UserId(f"@{name}:x") for name in ("bot", "ann", "bob", "cleo", "dan"))
CALL = "org.matrix.msc3401.call.member"


class World:
    """A room-state table that a test fills, and what is observed of it."""

    def __init__(self, database: Database) -> None:
        self.clock = FakeClock()
        self.transactions = Transactions(
            database,
            self.clock,
            wake=lambda _owner, _key: None,
            room_has_mail=lambda _room, _urgency: None,
            alarms_changed=lambda: None,
        )

    async def state(
        self, type_: str, content: Mapping[str, Any], key: str = "", *, by: str = ANN, at: str = MAIN
    ) -> None:
        async with self.transactions.unit("breakout") as unit:
            await unit.rooms.assume(RoomId(at), type_, key, content, by)

    async def joined(self, user: str, name: str | None = None, membership: str = "join", *, at: str = MAIN) -> None:
        content = {"membership": membership, **({} if name is None else {"displayname": name})}
        await self.state("m.room.member", content, user, by=user, at=at)

    async def look(self, **settings: Any) -> Hall:
        async with self.transactions.unit("breakout") as unit:
            return await look(unit, BreakoutConfig(**settings), ME, MAIN)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A main room with the bot, Ann who moderates it, and Bob."""
    async with open_store(tmp_path / "data") as database:
        it = World(database)
        await it.state("m.room.create", {"room_version": "11"}, by="@admin:x")
        await it.state("m.room.power_levels", {"users": {ANN: 50, ME: 100}})
        await it.state("m.room.name", {"name": "Class 7b"})
        for user, name in ((ME, "Breakout rooms"), (ANN, "Ann"), (BOB, "Bob")):
            await it.joined(user, name)
        yield it


async def test_the_people_are_the_joined_members_without_the_bot(world: World) -> None:
    await world.joined(CLEO, "Cleo", "invite")
    await world.joined(DAN, "Dan", "leave")
    hall = await world.look()
    assert hall.names == {ANN: "Ann", BOB: "Bob"}
    assert hall.moderators == {ANN}
    assert hall.name == "Class 7b"


async def test_whom_the_settings_ignore_is_nobody(world: World) -> None:
    await world.joined("@_irc_joe:x", "Joe")
    await world.joined("@other-bot:y", "Helper")
    hall = await world.look(ignore_users=["@_irc_*:x", "@*bot:*"])
    assert hall.names.keys() == {ANN, BOB}


async def test_a_creator_of_a_version_12_room_moderates_it(world: World) -> None:
    await world.state("m.room.create", {"room_version": "12", "additional_creators": [BOB]}, by=CLEO)
    await world.joined(CLEO, "Cleo")
    assert (await world.look()).moderators == {ANN, BOB, CLEO}


async def test_the_level_of_moderators_is_a_setting(world: World) -> None:
    assert (await world.look(moderator_power_level=51)).moderators == frozenset()


async def test_who_wrote_in_the_last_quarter_of_an_hour_is_here(world: World) -> None:
    async with world.transactions.unit("breakout") as unit:
        ages = {ANN: 16, BOB: 14}
        rows = [
            {"room": MAIN, "user": user, "at_ms": to_ms(world.clock.now() - timedelta(minutes=age))}
            for user, age in ages.items()
        ]
        await unit.rooms.spoke(rows)
    assert {person.user for person in (await world.look()).people if person.here} == {BOB}


@pytest.mark.parametrize("key", [BOB, f"_{BOB}_DEVICE", f"_{BOB}_DEVICE_m.call", f"{BOB}_DEVICE"])
async def test_who_is_in_the_call_is_here(world: World, key: str) -> None:
    await world.state(CALL, {"application": "m.call"}, key, by=BOB)
    assert {person.user for person in (await world.look()).people if person.here} == {BOB}


@pytest.mark.parametrize("content", [{}, {"memberships": []}])
async def test_who_left_the_call_is_not_here_by_it(world: World, content: Mapping[str, Any]) -> None:
    await world.state(CALL, content, BOB, by=BOB)
    assert not any(person.here for person in (await world.look()).people)


async def test_people_of_one_name_are_told_apart_by_their_ids(world: World) -> None:
    await world.joined(CLEO, "bob")
    await world.joined(DAN)
    names = (await world.look()).names
    assert names == {ANN: "Ann", BOB: f"Bob ({BOB})", CLEO: f"bob ({CLEO})", DAN: DAN}


async def test_who_is_banned_is_known(world: World) -> None:
    await world.joined(CLEO, "Cleo", "ban")
    assert (await world.look()).banned == {CLEO}


async def test_links_name_our_own_server_and_those_of_the_most_people(world: World) -> None:
    for number, server in enumerate(["y", "y", "z", "w"]):
        await world.joined(f"@p{number}:{server}", f"P{number}")
    via = (await world.look()).via
    assert via[:2] == ("x", "y")
    assert len(via) == 3


async def test_a_room_is_seen_with_its_people_and_who_caused_their_membership(world: World) -> None:
    await world.joined(ME, "Breakout rooms", at=RED)
    await world.joined(BOB, "Bob", "leave", at=RED)
    await world.state("m.room.member", {"membership": "leave"}, CLEO, by=ME, at=RED)
    await world.state("m.room.name", {"name": "Red"}, by=ME, at=RED)
    async with world.transactions.unit("breakout") as unit:
        seen = await see(unit.rooms, RED, ME)
    assert seen is not None
    assert {user: (member.membership, member.by_self) for user, member in seen.members.items()} == {
        BOB: ("leave", True),
        CLEO: ("leave", False),
    }
    assert (seen.name, seen.topic, seen.power) == ("Red", "", {})


async def test_a_room_in_which_we_are_not_is_not_seen(world: World) -> None:
    await world.joined(ME, "Breakout rooms", "leave", at=RED)
    async with world.transactions.unit("breakout") as unit:
        assert await see(unit.rooms, RED, ME) is None


async def test_ours_are_the_rooms_that_we_made_for_this_main_room_whatever_markers_say(world: World) -> None:
    made = {"!red": (ME, MAIN), "!theirs": (BOB, MAIN), "!other": (ME, "!elsewhere:x")}
    for room, (creator, main) in made.items():
        await world.state("m.room.create", {"room_version": "12"}, by=creator, at=room)
        await world.state(MARKER, {"main": main, "key": f"key of {room}"}, by=creator, at=room)
    await world.state(MARKER, {"main": MAIN, "key": "a trick"})
    async with world.transactions.unit("breakout") as unit:
        assert await rooms_of(unit.rooms, MAIN, ME) == {"!red": "key of !red"}

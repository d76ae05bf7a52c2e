"""`on_end: keep`: people stay in their rooms after the end, to read, and the next start only unlocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeServer
from bot.testing.harness import Room, Talk, conversation, life, user_id
from tests.conversation.breakout import CLASS, PLAN, a_class, started, under_way
from tests.conversation.test_breakout_prepared import COLORS, calls, writes

KEEP = {"breakout": {"on_end": "keep"}}


async def ended(talk: Talk) -> Room:
    """The class after its first round, everybody still in."""
    room = await under_way(talk)
    await room.says("@ann", "!breakout end now")
    return room


async def test_people_stay_to_read_and_are_told_so() -> None:
    async with conversation(KEEP) as talk:
        room = await under_way(talk)
        said = await room.says("@ann", "!breakout end now")
        assert "people can still read there" in said
        assert "You can still read in yours" in said
        red = talk.room_named("Red ·")
        assert red.joined == {"bob", "cleo"}
        assert not writes(red, "bob")
        assert "You can still read it" in red.said[-1]
        assert "Class 7b" in red.said[-1]
        answer = await room.says("@bob", "!breakout me")
        assert "You can still read it: Red" in answer


async def test_nobody_is_warned_of_a_chat_that_will_be_gone() -> None:
    async with conversation(KEEP) as talk:
        await under_way(talk, "!breakout start 10m")
        await talk.passes(10 * 60 + 5)
        red = talk.room_named("Red ·")
        assert any("5 minutes left" in said for said in red.said)
        assert not any("cannot open" in said for said in red.said)


async def test_the_next_start_only_unlocks() -> None:
    async with conversation(KEEP) as talk:
        room = await ended(talk)
        red = talk.room_named("Red ·")
        talk.homeserver.calls.clear()
        await room.says("@ann", "!breakout start 20m")
        did = calls(talk)
        assert did["set_state"] == 2
        assert did["invite"] == did["create"] == did["remove"] == 0
        assert sum("Welcome to" in said for said in red.said) == 2
        assert writes(red, "bob")


async def test_who_left_or_never_came_is_invited_to_the_next_round() -> None:
    async with conversation(KEEP) as talk:
        room = await started(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        talk.user("bob").join(red.id)
        talk.user("dan").leave(green.id)
        await talk.settled()
        await room.says("@ann", "!breakout end now")
        assert (red.joined, red.invited, green.invited) == ({"bob"}, {"cleo"}, {"eve"})
        talk.user("bob").leave(red.id)
        talk.user("cleo").join(red.id)
        await talk.settled()
        talk.homeserver.calls.clear()
        await room.says("@ann", "!breakout start")
        assert calls(talk)["invite"] == 2
        assert (red.joined, red.invited, green.invited) == ({"cleo"}, {"bob"}, {"dan", "eve"})


async def test_who_leaves_the_main_room_or_loses_the_seat_is_taken_out() -> None:
    async with conversation(KEEP) as talk:
        room = await ended(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        talk.user("bob").leave(room.id)
        await talk.settled()
        assert red.joined == {"cleo"}
        await room.says("@ann", "!breakout unassign @cleo")
        assert red.joined == set()
        await room.says("@ann", "!breakout unassign @eve")
        assert green.joined == {"dan"}


async def test_a_plan_for_the_next_round_takes_nobody_out_before_it() -> None:
    async with conversation(KEEP) as talk:
        room = await ended(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        await room.says("@ann", "!breakout assign @dan to Red")
        assert (red.joined, green.joined) == ({"bob", "cleo"}, {"dan", "eve"})
        assert red.invited == set()
        assert str(green.id) in (await room.says("@dan", "!breakout me")).split("read it")[1]
        await room.says("@ann", "!breakout swap @bob @eve")
        await room.says("@ann", "!breakout swap @bob @eve")
        assert "Red: Bob, Cleo and Dan (not" in await room.says("@ann", "!breakout status")
        await room.says("@ann", "!breakout start")
        assert red.invited == {"dan"}
        assert "Dan" in green.message("please go to")["content"]["body"]
        assert str(red.id) in green.message("please go to")["content"]["body"].replace("%21", "!")
        talk.user("dan").join(red.id)
        await talk.settled()
        assert (red.joined, green.joined) == ({"bob", "cleo", "dan"}, {"eve"})


@pytest.mark.parametrize("door", ["", " open"])
async def test_a_plan_that_is_prepared_after_it_moves_people_in_time(door: str) -> None:
    async with conversation(KEEP) as talk:
        room = await a_class(talk)
        await room.says("@ann", PLAN.replace("manual", f"manual{door}"))
        await room.says("@ann", "!breakout start")
        for person, color in COLORS.items():
            talk.user(person).join(talk.room_named(f"{color} ·").id)
        await talk.settled()
        await room.says("@ann", "!breakout end now")
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        await room.says("@ann", "!breakout assign @dan to Red")
        await room.says("@ann", "!breakout prepare")
        assert green.joined == {"dan", "eve"}
        assert red.invited == (set() if door else {"dan"})
        await room.says("@ann", "!breakout start")
        await talk.passes(61)
        assert green.joined == {"eve"}
        talk.user("dan").join(red.id)
        await talk.settled()
        assert red.joined == {"bob", "cleo", "dan"}
        assert writes(red, "dan")


async def test_choose_mode_lets_nobody_walk_in_after_the_end() -> None:
    async with conversation(KEEP) as talk:
        room = await talk.main_room(moderators=["ann"], people=CLASS)
        await room.says("@ann", "!breakout setup Red, Green choose")
        await room.says("@ann", "!breakout start")
        red = talk.room_named("Red ·")
        talk.user("bob").join(red.id)
        await talk.settled()
        await room.says("@ann", "!breakout end now")
        assert red.joined == {"bob"}
        assert [rule["room_id"] for rule in red.raw.content("m.room.join_rules")["allow"]] != [room.id]
        assert room.id not in {rule["room_id"] for rule in red.raw.content("m.room.join_rules")["allow"]}


async def test_the_next_round_can_be_prepared_without_new_invites() -> None:
    async with conversation(KEEP) as talk:
        room = await ended(talk)
        talk.homeserver.calls.clear()
        await room.says("@ann", "!breakout prepare")
        assert calls(talk)["invite"] == 0
        await room.says("@ann", "!breakout start")
        assert calls(talk)["set_state"] == 2
        assert writes(talk.room_named("Red ·"), "bob")


@pytest.mark.parametrize("command", ["setup 3", "delete"])
async def test_setup_and_delete_take_everybody_out(command: str) -> None:
    async with conversation(KEEP) as talk:
        room = await ended(talk)
        await room.says("@ann", f"!breakout {command}")
        if command == "delete":
            await room.says("@ann", "!breakout delete confirm")
        for color in ("Red", "Green"):
            assert talk.room_named(f"{color} ·").raw.joined == set()


async def test_a_restart_and_a_lost_store_keep_them_too(tmp_path: Path) -> None:
    server = FakeServer(FakeClock())
    homeserver = FakeHomeserver(server)
    async with life(server, homeserver, tmp_path / "first", KEEP) as talk:
        main = await talk.main_room(moderators=["ann"], people=CLASS)
        await main.says("@ann", PLAN)
        await main.says("@ann", "!breakout start")
        for person, color in COLORS.items():
            talk.user(person).join(talk.room_named(f"{color} ·").id)
        await talk.settled()
        await main.says("@ann", "!breakout end now")
    for folder in ("first", "lost"):
        homeserver.calls.clear()
        async with life(server, homeserver, tmp_path / folder, KEEP) as talk:
            assert talk.room_named("Red ·").joined == {"bob", "cleo"}
            assert calls(talk)["remove"] == 0
    async with life(server, homeserver, tmp_path / "lost", KEEP) as talk:
        await Room(talk, main.id).says("@ann", "!breakout start")
        assert calls(talk)["invite"] == 0
        assert writes(talk.room_named("Red ·"), "bob")
        assert user_id("bob") in talk.room_named("Red ·").raw.joined

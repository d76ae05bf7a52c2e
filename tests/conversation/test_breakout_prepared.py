"""Rooms and invites ahead of the start, for reading only, so that the start is one state event a room."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from bot.errors import Permanent
from bot.matrix.ids import RoomId
from bot.matrix.ports import Blueprint, Wanted
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeServer
from bot.testing.harness import Room, Talk, conversation, life, user_id
from tests.conversation.breakout import CLASS, PLAN, a_class, at_the_desk, planned
from tests.conversation.test_breakout_faults import everybody_once
from tests.conversation.test_breakout_kills import Mortal, check_nothing_twice, settled_or_dead

COLORS = {"bob": "Red", "cleo": "Red", "dan": "Green", "eve": "Green"}


async def prepared(talk: Talk) -> Room:
    """The class with Bob and Cleo invited to Red, Dan and Eve to Green, ahead of the start."""
    room = await planned(talk)
    await room.says("@ann", "!breakout prepare")
    return room


async def all_waiting(talk: Talk) -> Room:
    """The same, and everybody has accepted."""
    room = await prepared(talk)
    for person, color in COLORS.items():
        talk.user(person).join(talk.room_named(f"{color} ·").id)
    await talk.settled()
    return room


def writes(room: Room, person: str) -> bool:
    """Whether somebody may write there."""
    try:
        room.talk.user(person).say(room.id, "hello")
    except Permanent:
        return False
    return True


def calls(talk: Talk) -> Counter[str]:
    """What the bot has asked of the homeserver since they were last cleared, what only reads left out."""
    return Counter(call[0] for call in talk.homeserver.calls if call[0] not in ("sync", "set_account_data"))


async def test_rooms_are_made_and_people_invited_for_reading_only() -> None:
    async with conversation() as talk:
        room = await planned(talk)
        await room.says("@ann", "!breakout task Red Discuss chapter 3")
        said = await room.says("@ann", "!breakout prepare")
        assert "being prepared: 2 rooms for 4 people" in said
        assert "The breakout rooms are prepared" in said
        assert "!breakout start" in said
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        assert (red.invited, green.invited) == ({"bob", "cleo"}, {"dan", "eve"})
        assert red.raw.content("m.room.topic")["topic"].startswith("Discuss chapter 3\n")
        assert "!help" in red.raw.content("m.room.topic")["topic"]
        talk.user("bob").join(red.id)
        await talk.settled()
        assert not writes(red, "bob")
        (welcome,) = [said for said in red.said if "Red" in said]
        assert "opens when" in welcome
        assert "only read" in welcome
        assert "Bob and Cleo" in welcome
        await talk.passes(10)
        board = next(said for said in reversed(room.said) if "1. Red: " in said)
        assert "prepared" in board
        assert "Cleo (not yet there) · 1 of 2 here" in board


async def test_the_start_is_one_state_event_a_room_and_the_messages() -> None:
    async with conversation() as talk:
        room = await all_waiting(talk)
        red = talk.room_named("Red ·")
        talk.homeserver.calls.clear()
        said = await room.says("@ann", "!breakout start 20m")
        assert "are opening: 2 rooms for 4 people" in said
        assert "Breakout rooms are open until" in said
        states = [call[2] for call in talk.homeserver.calls if call[0] == "set_state"]
        assert states == ["m.room.power_levels"] * 2
        welcomes = sum(
            "Welcome to" in said for color in ("Red", "Green") for said in talk.room_named(f"{color} ·").said
        )
        assert welcomes == 2
        # The answer, the message here with its 🔁, a board here and one at the desk with ➕ and ⏹️; welcomes with 🙋.
        assert calls(talk) == {"set_state": 2, "send": 3 + 4 + 4}
        verbs = [call[0] for call in talk.homeserver.calls if call[1] == red.id]
        assert verbs == ["set_state", "send", "send"]
        assert writes(red, "bob")
        await talk.passes(91)
        assert not any("is waiting" in said for said in room.said)


async def test_a_start_of_what_was_prepared_speaks_of_no_new_invitation() -> None:
    async with conversation() as talk:
        room = await all_waiting(talk)
        await talk.passes(60)
        told = len(room.said)
        assert "are prepared already: 2 rooms for 4 people" in await room.says("@ann", "!breakout prepare")
        await talk.passes(10)
        assert not any("You can open your invitation" in said for said in room.said[told:])
        await room.says("@ann", "!breakout start")
        (started,) = [said for said in room.said[told:] if "You stay in this room too" in said]
        assert "Go to your room, such as Red · Class 7b: it is in your list of rooms, or an invitation." in started


async def test_a_room_that_was_still_being_prepared_at_the_start_is_welcomed_when_it_is_unlocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with conversation() as talk:
        room = await planned(talk)
        create, begun, answer = talk.homeserver.create, asyncio.Event(), asyncio.Event()

        async def slowly(plan: Blueprint, key: str, wanted: Wanted | None = None) -> RoomId:
            if not plan.name.startswith("Moderators"):
                begun.set()
                await answer.wait()
            return await create(plan, key)

        monkeypatch.setattr(talk.homeserver, "create", slowly)
        talk.user("ann").say(room.id, "!breakout prepare")
        await begun.wait()
        talk.user("ann").say(room.id, "!breakout start")
        await talk.homeserver.taken_in()
        await talk.app._caught_up()
        answer.set()
        await talk.settled()
        events = talk.room_named("Red ·").raw.events
        unlocked = [number for number, event in enumerate(events) if event["type"] == "m.room.power_levels"][-1]
        (welcome,) = [n for n, event in enumerate(events) if "Welcome to" in str(event["content"].get("body"))]
        assert unlocked < welcome


async def test_nobody_who_said_no_ahead_of_the_start_is_asked_again_by_it() -> None:
    async with conversation() as talk:
        room = await prepared(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        talk.user("bob").leave(red.id)
        talk.user("dan").join(green.id)
        talk.user("dan").leave(green.id)
        await talk.settled()
        await room.says("@ann", "!breakout start")
        assert red.invited == {"cleo"}
        assert green.invited == {"eve"}
        board = await room.says("@ann", "!breakout status")
        assert "Bob (declined)" in board
        assert "Dan (left)" in board
        await room.says("@bob", "!breakout rejoin")
        assert red.invited == {"bob", "cleo"}


async def test_who_declined_can_come_back_ahead_of_the_start_too() -> None:
    async with conversation() as talk:
        room = await prepared(talk)
        red = talk.room_named("Red ·")
        talk.user("bob").leave(red.id)
        await talk.settled()
        await room.says("@bob", "!breakout rejoin")
        assert red.invited == {"bob", "cleo"}


async def test_who_comes_before_the_start_gets_the_smallest_room_and_who_goes_leaves_it() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 2")
        await room.says("@ann", "!breakout prepare")
        places = [talk.room_named("Room 1 ·"), talk.room_named("Room 2 ·")]
        talk.user("bob").leave(room.id)
        await talk.settled()
        left = next(place for place in places if len(place.invited) == 1)
        assert not any("bob" in place.invited for place in places)
        await talk.joins(room, "fay")
        assert "fay" in left.invited
        talk.user("fay").join(left.id)
        await talk.settled()
        talk.server.remove(user_id("ann"), room.id, user_id("fay"), "")
        await talk.settled()
        assert "fay" not in left.joined | left.invited


async def test_an_empty_hall_can_be_prepared() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"])
        await room.says("@ann", "!breakout setup 2")
        said = await room.says("@ann", "!breakout prepare")
        assert "whoever gets one is invited" in said
        assert talk.rooms_named("Room 2 ·")
        await talk.joins(room, "bob")
        assert any("bob" in place.invited for place in talk.rooms_named("Room "))


async def test_moves_are_an_invite_here_and_a_removal_there() -> None:
    async with conversation() as talk:
        room = await all_waiting(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        await room.says("@ann", "!breakout assign @bob to Green")
        assert "bob" in green.invited
        assert "opens at the start" in green.raw.content("m.room.member", user_id("bob"))["reason"]
        assert "bob" not in red.joined
        await room.says("@ann", "!breakout swap @cleo @dan")
        assert ("cleo" in green.invited, "dan" in red.invited) == (True, True)
        assert (red.joined, green.joined) == (set(), {"eve"})
        assert not any("please go to" in said for said in red.said)
        await room.says("@ann", "!breakout unassign @dan")
        assert "dan" not in red.invited
        assert "shuffle now" in await room.says("@ann", "!breakout shuffle")
        await room.says("@ann", "!breakout shuffle now")
        assert Counter(name for place in (red, green) for name in place.invited | place.joined) == Counter(
            name for name in CLASS if name != "dan"
        )


async def test_rooms_are_added_renamed_and_removed_at_once() -> None:
    async with conversation() as talk:
        room = await all_waiting(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        await room.says("@ann", "!breakout add Blue")
        await room.says("@ann", "!breakout rename Red to Scarlet")
        await room.says("@ann", "!breakout task Scarlet Read page 12")
        assert talk.rooms_named("Blue ·")
        assert red.raw.content("m.room.name")["name"].startswith("Scarlet ·")
        assert red.raw.content("m.room.topic")["topic"].startswith("Read page 12\n")
        assert not any("Read page 12" in said for said in red.said)
        await room.says("@ann", "!breakout remove Green")
        assert green.joined == set()
        assert talk.homeserver.me not in green.raw.joined
        talk.homeserver.calls.clear()
        await room.says("@ann", "!breakout start")
        assert calls(talk)["set_state"] == 2
        assert any("Read page 12" in said for said in red.said)


async def test_setup_plans_anew_and_the_prepared_rooms_are_closed_for_good() -> None:
    async with conversation() as talk:
        room = await all_waiting(talk)
        red = talk.room_named("Red ·")
        said = await room.says("@ann", "!breakout setup 2")
        assert "prepared Red and Green: those rooms are closed for good" in said
        assert "!breakout prepare" in said
        assert red.joined == set()
        assert talk.homeserver.me not in red.raw.joined
        assert not talk.rooms_named("Room 1 ·")
        await room.says("@ann", "!breakout prepare")
        assert talk.room_named("Room 1 ·").invited | talk.room_named("Room 2 ·").invited == set(CLASS)


async def test_delete_does_away_with_what_was_prepared() -> None:
    async with conversation() as talk:
        room = await all_waiting(talk)
        await room.says("@ann", "!breakout delete")
        await room.says("@ann", "!breakout delete confirm")
        for part in ("Red ·", "Green ·", "Moderators of"):
            assert talk.homeserver.me not in talk.room_named(part).raw.joined
            assert not talk.room_named(part).joined


async def test_what_was_prepared_and_never_started_is_deleted_in_the_end() -> None:
    async with conversation({"breakout": {"delete_after": "3 days"}}) as talk:
        room = await all_waiting(talk)
        red = talk.room_named("Red ·")
        await talk.passes(timedelta(days=2, minutes=1))
        (soon,) = [said for said in room.said if "will be deleted" in said]
        assert "not started" in soon
        assert "!breakout start" in soon
        assert red.joined == {"bob", "cleo"}
        await talk.passes(timedelta(days=1))
        assert "have been deleted" in room.said[-1]
        assert red.joined == set()


async def test_preparing_many_asks_first() -> None:
    async with conversation({"breakout": {"confirm_above": 3}}) as talk:
        room = await planned(talk)
        question = await room.says("@ann", "!breakout prepare")
        assert "4 people" in question
        assert "!breakout prepare confirm" in question
        assert not talk.rooms_named("Red ·")
        await room.taps("@ann", "✅", on="prepare confirm")
        assert talk.room_named("Red ·").invited == {"bob", "cleo"}
        await talk.passes(10)
        assert "nothing waits for a yes" in (await room.says("@ann", "!breakout prepare confirm")).casefold()


async def test_preparing_again_tries_again_whom_it_could_not_reach() -> None:
    async with conversation() as talk:
        room = await planned(talk)
        no = Permanent(403, "M_FORBIDDEN", "Bob takes no invites")
        talk.homeserver.fail("invite", no, times=1, when=lambda _room, user, _reason: user == user_id("bob"))
        talk.homeserver.fail("create", no, times=1, when=lambda plan, _key: plan.name.startswith("Red"))
        await room.says("@ann", "!breakout prepare")
        await talk.passes(30)
        assert any("Bob could not be invited" in said for said in room.said)
        assert talk.room_named("Red ·").invited == {"cleo"}
        await room.says("@ann", "!breakout prepare")
        assert talk.room_named("Red ·").invited == {"bob", "cleo"}


async def test_the_next_round_of_the_same_rooms_can_be_prepared() -> None:
    async with conversation() as talk:
        room = await all_waiting(talk)
        red = talk.room_named("Red ·")
        await room.says("@ann", "!breakout start")
        await room.says("@ann", "!breakout end now")
        assert red.joined | red.invited == set()
        await room.says("@ann", "!breakout prepare")
        assert red.invited == {"bob", "cleo"}
        talk.user("bob").join(red.id)
        await talk.settled()
        assert red.joined == {"bob"}
        assert not writes(red, "bob")
        await room.says("@ann", "!breakout start")
        assert writes(red, "bob")
        assert red.invited == {"cleo"}


async def test_who_comes_before_a_prepared_next_round_or_takes_part_again_is_invited_too() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 2")
        await room.says("@ann", "!breakout start")
        await room.says("@ann", "!breakout end now")
        await room.says("@ann", "!breakout prepare")
        await talk.joins(room, "fay")
        assert any("fay" in place.invited for place in talk.rooms_named("Room "))
        await room.says("@bob", "!breakout pass")
        assert not any("bob" in place.invited for place in talk.rooms_named("Room "))
        await room.says("@bob", "!breakout rejoin")
        assert any("bob" in place.invited for place in talk.rooms_named("Room "))


async def test_in_choose_mode_a_choice_is_an_invite_and_walking_in_is_a_choice() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup Red, Green choose")
        await room.says("@ann", "!breakout prepare")
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        assert red.invited == green.invited == set()
        await room.says("@bob", "!breakout choose Red")
        assert red.invited == {"bob"}
        await room.says("@bob", "!breakout choose Green")
        assert (red.invited, green.invited) == (set(), {"bob"})
        talk.user("cleo").join(red.id)
        await talk.settled()
        assert "Cleo" in await room.says("@ann", "!breakout status Red")
        assert not writes(red, "cleo")
        talk.homeserver.calls.clear()
        await room.says("@ann", "!breakout start")
        assert calls(talk)["set_state"] == 2
        assert writes(red, "cleo")


async def test_in_choose_mode_the_next_round_is_chosen_on_the_board_and_can_be_given_up_there() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup Red, Green choose")
        await room.says("@ann", "!breakout start")
        await room.says("@ann", "!breakout end now")
        assert "Choose a room with its number on the board" in await room.says("@ann", "!breakout prepare")
        await room.says("@ann", "!breakout status")
        board = room.message("Breakout rooms are planned")
        assert "1. Red: nobody yet · 0 of 4 seats taken" in board["content"]["body"]
        tap = talk.user("bob").react(room.id, board["event_id"], "1️⃣")
        await talk.settled()
        red = talk.room_named("Red ·")
        assert red.invited == {"bob"}
        talk.user("bob").redact(room.id, tap)
        await talk.settled()
        assert red.invited == set()


async def test_commands_for_open_rooms_wait_for_the_start_and_moderators_work_in_the_locked_ones() -> None:
    async with conversation() as talk:
        room = await all_waiting(talk)
        await at_the_desk(talk)
        red = talk.room_named("Red ·")
        assert "Open them with" in await room.says("@ann", "!breakout broadcast Hello")
        talk.user("ann").join(red.id)
        await talk.settled()
        assert "Bob" in await red.says("@ann", "!breakout status")
        assert "prepared already" in await red.says("@ann", "!breakout prepare")
        assert "are opening" in await red.says("@ann", "!breakout start")


@pytest.mark.parametrize("acts_last", [False, True])
@pytest.mark.parametrize("calls", [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25])
async def test_a_kill_at_any_call_changes_nothing_in_the_end(tmp_path: Path, calls: int, acts_last: bool) -> None:
    server = FakeServer(FakeClock())
    homeserver = Mortal(server)
    async with life(server, homeserver, tmp_path / "before") as talk:
        main = await talk.main_room(moderators=["ann"], people=CLASS)
        await main.says("@ann", PLAN)
        homeserver.left, homeserver.acts_last = calls, acts_last
        for said in ("!breakout prepare", "!breakout assign @bob to Green", "!breakout start"):
            talk.user("ann").say(main.id, said)
            await settled_or_dead(talk, homeserver)
    homeserver.revive()
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    async with life(server, homeserver, tmp_path / "after") as talk:
        for seconds in (1, 2, 4, 8):
            await talk.passes(seconds)
        main = Room(talk, RoomId(main.id))
        check_nothing_twice(talk)
        assert everybody_once(talk)
        assert talk.room_named("Green ·").invited == {"bob", "dan", "eve"}
        for part in ("are being prepared", "are opening", "You stay in this room too"):
            assert sum(part in said for said in main.said) == 1
        talk.user("bob").join(talk.room_named("Green ·").id)
        await talk.settled()
        assert writes(talk.room_named("Green ·"), "bob")


async def test_a_restart_between_prepare_and_start_changes_nothing(tmp_path: Path) -> None:
    server = FakeServer(FakeClock())
    homeserver = Mortal(server)
    async with life(server, homeserver, tmp_path) as talk:
        main = await prepared(talk)
        before = set(server.rooms)
    server.join(user_id("bob"), talk.room_named("Red ·").id)
    server.leave(user_id("dan"), main.id)
    async with life(server, homeserver, tmp_path) as talk:
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        assert green.invited == {"eve"}
        homeserver.calls.clear()
        await Room(talk, main.id).says("@ann", "!breakout start")
        assert set(server.rooms) == before
        assert (red.joined, red.invited, green.invited) == ({"bob"}, {"cleo"}, {"eve"})
        assert [call[0] for call in homeserver.calls].count("invite") == 0

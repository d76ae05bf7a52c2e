"""The open door: people walk in by a link, one message says who goes where, and nobody is invited."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bot.matrix.ports import Pace
from bot.message.render import MAX_BYTES
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeServer
from bot.testing.harness import Room, Talk, conversation, life, user_id
from tests.conversation.breakout import CLASS, PLAN, a_class, at_the_desk
from tests.conversation.test_breakout_kills import Mortal, check_nothing_twice, settled_or_dead
from tests.conversation.test_breakout_prepared import COLORS, calls, writes

OPEN = PLAN.replace("setup manual", "setup manual open")


async def planned(talk: Talk) -> Room:
    """The class with Bob and Cleo in Red, Dan and Eve in Green, the door open."""
    room = await a_class(talk)
    await room.says("@ann", OPEN)
    return room


async def started(talk: Talk, command: str = "!breakout start") -> Room:
    """The same, running; nobody has walked in yet."""
    room = await planned(talk)
    await room.says("@ann", command)
    return room


async def all_in(talk: Talk) -> None:
    for person, color in COLORS.items():
        talk.user(person).join(talk.room_named(f"{color} ·").id)
        await talk.settled()


def lets_in(room: Room, main: Room) -> bool:
    return main.id in {rule["room_id"] for rule in room.raw.content("m.room.join_rules").get("allow", [])}


async def test_one_message_says_who_goes_where_and_nobody_is_invited() -> None:
    async with conversation() as talk:
        room = await planned(talk)
        talk.homeserver.calls.clear()
        await room.says("@ann", "!breakout start 20m")
        assert calls(talk)["invite"] == 0
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        assert red.invited == green.invited == set()
        assert lets_in(red, room)
        message = room.message("Find your name")
        body = message["content"]["body"]
        assert f"Red (https://matrix.to/#/{red.id}" in body.replace("%21", "!")
        assert "): Bob and Cleo" in body
        assert "): Dan and Eve" in body
        assert "matrix.to/#/@" not in message["content"]["formatted_body"]  # no pills
        assert set(message["content"]["m.mentions"]["user_ids"]) == {user_id(name) for name in CLASS}
        await all_in(talk)
        assert red.joined == {"bob", "cleo"}
        assert writes(red, "bob")


async def test_with_rooms_prepared_a_start_is_one_message() -> None:
    async with conversation() as talk:
        room = await planned(talk)
        said = await room.says("@ann", "!breakout prepare")
        assert "Nobody is told of them" in said
        red = talk.room_named("Red ·")
        assert red.invited == set()
        talk.homeserver.calls.clear()
        await room.says("@ann", "!breakout start")
        # The answer, the message with its 🔁, and the boards here and at the desk with ⏹️; nothing in the rooms.
        assert calls(talk) == {"send": 6}
        assert {call[1] for call in talk.homeserver.calls if call[0] == "send"} == {
            room.id,
            talk.room_named("Moderators of").id,
        }
        await all_in(talk)
        assert red.joined == {"bob", "cleo"}


async def test_nobody_learns_a_link_before_the_start_and_who_comes_all_the_same_is_sent_out() -> None:
    async with conversation() as talk:
        room = await planned(talk)
        await room.says("@ann", "!breakout prepare")
        red = talk.room_named("Red ·")
        for question in ("!breakout me", "!breakout rejoin", "!breakout"):
            assert red.id not in await room.says("@bob", question)
        assert red.id not in await room.says("@ann", "!breakout status Red")
        talk.user("bob").join(red.id)
        await talk.settled()
        assert red.joined == set()
        assert "opens at the start" in red.raw.content("m.room.member", user_id("bob"))["reason"]
        await room.says("@ann", "!breakout start")
        talk.user("bob").join(red.id)
        await talk.settled()
        assert red.joined == {"bob"}


async def test_who_walks_into_another_room_is_shown_there() -> None:
    async with conversation() as talk:
        room = await started(talk)
        await all_in(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        talk.user("bob").join(green.id)
        await talk.settled()
        assert (red.joined, green.joined) == ({"cleo"}, {"bob", "dan", "eve"})
        assert "Bob" in await room.says("@ann", "!breakout status Green")


async def test_who_was_unassigned_does_not_walk_in_again() -> None:
    async with conversation() as talk:
        room = await started(talk)
        await all_in(talk)
        red = talk.room_named("Red ·")
        await room.says("@ann", "!breakout unassign @bob")
        assert red.joined == {"cleo"}
        talk.user("bob").join(red.id)
        await talk.settled()
        assert red.joined == {"cleo"}


async def test_whom_a_moderator_took_out_does_not_walk_in_again_until_a_moderator_says_so() -> None:
    async with conversation() as talk:
        room = await started(talk)
        await all_in(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        await at_the_desk(talk)
        ann, bob = talk.user("ann"), talk.user("bob")
        ann.join(red.id)
        await talk.settled()
        ann.kick(red.id, bob.id)
        await talk.settled()
        for place in (red, green, red):
            bob.join(place.id)
            await talk.settled()
            assert "bob" not in place.joined
        assert "took you out" in await room.says("@bob", "!breakout me")
        ann.invite(red.id, bob.id)
        await talk.settled()
        assert red.invited == {"bob"}
        bob.join(red.id)
        await talk.settled()
        assert red.joined == {"ann", "bob", "cleo"}
        ann.kick(red.id, bob.id)
        await talk.settled()
        await room.says("@ann", "!breakout assign @bob to Green")
        assert green.invited == {"bob"}
        bob.join(green.id)
        await talk.settled()
        assert "bob" in green.joined


async def test_the_welcome_comes_with_the_first_and_once_more_when_all_are_in() -> None:
    async with conversation() as talk:
        room = await started(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        assert not red.said
        talk.user("bob").join(red.id)
        await talk.settled()
        assert [said.splitlines()[0] for said in red.said] == ["Welcome to Red."]
        talk.user("cleo").join(red.id)
        await talk.settled()
        assert [said.splitlines()[0] for said in red.said] == ["Welcome to Red."] * 2
        await red.taps("@bob", "🙋", on="Welcome to Red")
        assert any("Bob in Red" in said for said in room.said)
        talk.user("dan").join(green.id)
        await talk.passes(91)
        assert sum("Welcome to" in said for said in green.said) == 1
        talk.user("eve").join(green.id)
        await talk.settled()
        assert "Eve has come" in green.said[-1]
        assert len(green.said) == 2


async def test_a_late_joiner_is_told_the_link() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 2 open")
        await room.says("@ann", "!breakout start")
        talk.homeserver.calls.clear()
        await talk.joins(room, "fay")
        assert "open the link of your breakout room" in room.said[-1]
        assert calls(talk)["invite"] == 0


async def test_whoever_asks_is_invited_and_so_is_who_is_moved() -> None:
    async with conversation() as talk:
        room = await started(talk)
        red, green = talk.room_named("Red ·"), talk.room_named("Green ·")
        await room.taps("@bob", "🔁", on="Find your name")
        assert red.invited == {"bob"}
        await room.says("@ann", "!breakout assign @cleo to Green")
        assert green.invited == {"cleo"}
        await room.says("@ann", "!breakout swap @dan @bob")
        assert "dan" in red.invited


async def test_who_is_not_in_yet_is_shown_the_way() -> None:
    async with conversation() as talk:
        room = await started(talk)
        talk.user("bob").join(talk.room_named("Red ·").id)
        await talk.passes(91)
        (said,) = [said for said in room.said if "is waiting" in said]
        assert "!breakout me" in said
        assert "Bob" not in said
        answer = await room.says("@cleo", "!breakout me")
        assert talk.room_named("Red ·").id.strip("!") in answer


async def test_choose_mode_lists_the_rooms_and_walking_in_is_choosing() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup Red, Green choose open")
        await room.says("@bob", "!breakout choose Red")
        await room.says("@ann", "!breakout start")
        red = talk.room_named("Red ·")
        assert red.invited == set()
        body = room.message("Open the link of the room that you want")["content"]["body"]
        assert "): Bob" in body
        assert "): nobody yet" in body
        talk.user("cleo").join(red.id)
        await talk.settled()
        assert "Cleo" in await room.says("@ann", "!breakout status Red")


async def test_the_end_closes_the_door_before_it_removes() -> None:
    async with conversation() as talk:
        room = await started(talk)
        await all_in(talk)
        red = talk.room_named("Red ·")
        await room.says("@ann", "!breakout end now")
        assert not lets_in(red, room)
        assert red.joined == set()


async def test_delete_does_away_with_what_was_prepared() -> None:
    async with conversation() as talk:
        room = await planned(talk)
        await room.says("@ann", "!breakout prepare")
        await room.says("@ann", "!breakout delete")
        await room.says("@ann", "!breakout delete confirm")
        assert talk.homeserver.me not in talk.room_named("Red ·").raw.joined


async def test_the_setting_opens_the_door_and_a_word_shuts_it() -> None:
    async with conversation({"breakout": {"door": "open"}}) as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 2")
        await room.says("@ann", "!breakout start")
        assert talk.room_named("Room 1 ·").invited == set()
        await room.says("@ann", "!breakout end now")
        await room.says("@ann", "!breakout setup 2 invite")
        await room.says("@ann", "!breakout start")
        assert talk.room_named("Room 1 ·").invited


async def test_rooms_that_are_made_late_are_told_with_those_who_belong_there() -> None:
    async with conversation() as talk:
        room = await planned(talk)
        talk.homeserver.fail("create", times=20, when=lambda plan, _key: plan.name.startswith("Red"))
        await room.says("@ann", "!breakout start")
        await talk.passes(61)
        body = room.message("Find your name")["content"]["body"]
        assert "Red (its link follows): Bob and Cleo" in body
        await talk.passes(20 * 60)
        (ready,) = [event for event in room.raw.messages if "is ready" in event["content"]["body"]]
        assert set(ready["content"]["m.mentions"]["user_ids"]) == {user_id("bob"), user_id("cleo")}


async def test_long_names_of_many_people_are_split_by_room() -> None:
    people = [f"p{number}" for number in range(70)]
    async with conversation({"breakout": {"confirm_above": 1000}}) as talk:
        for person in people:  # 80 characters are said of a name, and these weigh four bytes each
            talk.people[person] = talk.server.user(person, f"{person} {'🙂' * 80}")
        room = await talk.main_room(moderators=["ann"], people=people)
        await room.says("@ann", "!breakout setup 10 open")
        await room.says("@ann", "!breakout start")
        told = [event for event in room.raw.messages if "🙂" in event["content"]["body"]]
        assert len(told) > 1
        for event in told:
            assert len(json.dumps(event["content"], ensure_ascii=False).encode()) <= MAX_BYTES
        said = "\n".join(event["content"]["body"] for event in told)
        assert all(f"{person} 🙂" in said for person in people)
        first = room.message("Find your name")["content"]
        assert len(first["m.mentions"]["user_ids"]) == len(people)
        assert not any(event["content"]["m.mentions"] for event in told if event["content"] != first)


async def test_setup_says_which_door_would_be_much_faster() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=[f"p{number}" for number in range(40)])
        talk.homeserver.pace = lambda: Pace(0.05, per_second=0.2, burst_left=0, rooms_per_second=0.2, rooms_left=10)  # type: ignore[method-assign]
        said = await room.says("@ann", "!breakout setup 2")
        assert "With !breakout prepare now, the start is felt at once" in said
        assert "with open at the end of !breakout setup" in said
        said = await room.says("@ann", "!breakout setup 2 open")
        assert "with open at the end" not in said


async def test_a_long_start_names_the_faster_door_too_before_it_begins() -> None:
    async with conversation({"breakout": {"confirm_above": 30}}) as talk:
        room = await talk.main_room(moderators=["ann"])
        talk.homeserver.pace = lambda: Pace(0.05, per_second=0.2, burst_left=0, rooms_per_second=0.2, rooms_left=10)  # type: ignore[method-assign]
        assert "with open at the end" not in await room.says("@ann", "!breakout setup 2")  # the hall is empty
        for number in range(40):
            await talk.joins(room, f"p{number}")
        said = await room.says("@ann", "!breakout start")
        assert "Start now?" in said
        assert "With !breakout prepare now, the start is felt at once" in said
        assert "with open at the end of !breakout setup" in said
        await room.says("@ann", "!breakout prepare")
        await room.says("@ann", "!breakout prepare confirm")
        said = await room.says("@ann", "!breakout start")
        assert "prepare now" not in said
        assert "about 20 seconds" in said  # two tokens for answers, two to unlock the rooms


@pytest.mark.parametrize("acts_last", [False, True])
@pytest.mark.parametrize("calls", [1, 2, 3, 4, 5, 7, 9, 12, 16, 20])
async def test_a_kill_at_any_call_changes_nothing_in_the_end(tmp_path: Path, calls: int, acts_last: bool) -> None:
    server = FakeServer(FakeClock())
    homeserver = Mortal(server)
    async with life(server, homeserver, tmp_path / "before") as talk:
        main = await talk.main_room(moderators=["ann"], people=CLASS)
        await main.says("@ann", OPEN)
        homeserver.left, homeserver.acts_last = calls, acts_last
        for said in ("!breakout prepare", "!breakout start"):
            talk.user("ann").say(main.id, said)
            await settled_or_dead(talk, homeserver)
    homeserver.revive()
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    async with life(server, homeserver, tmp_path / "after") as talk:
        for seconds in (1, 2, 4, 8):
            await talk.passes(seconds)
        main = Room(talk, main.id)
        check_nothing_twice(talk)
        assert sum("Find your name" in said for said in main.said) == 1
        await all_in(talk)
        assert talk.room_named("Red ·").joined == {"bob", "cleo"}
        assert talk.room_named("Green ·").joined == {"dan", "eve"}
        assert not any(room.invited for room in (talk.room_named("Red ·"), talk.room_named("Green ·")))


async def test_a_lost_store_finds_the_door_as_it_was(tmp_path: Path) -> None:
    server = FakeServer(FakeClock())
    homeserver = FakeHomeserver(server)
    async with life(server, homeserver, tmp_path / "first") as talk:
        main = await planned(talk)
        await main.says("@ann", "!breakout prepare")
    async with life(server, homeserver, tmp_path / "lost") as talk:
        main = Room(talk, main.id)
        homeserver.calls.clear()
        assert "prepared" in await main.says("@ann", "!breakout")
        await main.says("@ann", "!breakout fill")
        await main.says("@ann", "!breakout start")
        assert calls(talk)["invite"] == calls(talk)["set_state"] == 0
        talk.user("bob").join(talk.room_named("Red ·").id)
        await talk.settled()
        assert talk.room_named("Red ·").joined == {"bob"}

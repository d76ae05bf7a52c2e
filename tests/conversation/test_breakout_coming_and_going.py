"""People who come, go, move, rise and fall while a session lives."""

from __future__ import annotations

from bot.errors import MatrixError, Permanent
from bot.testing.harness import conversation
from tests.conversation.breakout import PLAN, a_class, at_the_desk, started, under_way


async def test_a_newcomer_before_the_start_gets_the_smallest_room() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 2")
        await talk.joins(room, "fay")
        await room.says("@ann", "!breakout start")
        sizes = sorted(len(talk.room_named(name).invited) for name in ("Room 1", "Room 2"))
        assert sizes == [2, 3]


async def test_a_late_joiner_is_seated_in_auto_mode_and_mentioned() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 2")
        await room.says("@ann", "!breakout start")
        await talk.joins(room, "fay")
        assert "fay" in talk.room_named("Room 1").invited | talk.room_named("Room 2").invited
        assert any("Fay" in said for said in room.said)


async def test_the_moderators_are_asked_about_a_late_joiner_in_manual_mode() -> None:
    async with conversation() as talk:
        room = await started(talk)
        desk = await at_the_desk(talk)
        await talk.joins(room, "fay")
        await desk.taps("@ann", "2️⃣", on="Fay")
        assert "fay" in talk.room_named("Green").invited


async def test_who_leaves_the_main_room_leaves_the_breakout_room() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        talk.user("bob").leave(room.id)
        await talk.settled()
        assert talk.room_named("Red").joined == {"cleo"}


async def test_a_ban_in_the_main_room_is_one_in_the_breakout_rooms() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        talk.user("ann").ban(room.id, "@bob:test")
        await talk.settled()
        assert talk.room_named("Red").raw.membership("@bob:test") == "ban"


async def test_who_is_moved_is_asked_to_go_and_taken_out_when_in() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        red, green = talk.room_named("Red"), talk.room_named("Green")
        await room.says("@ann", "!breakout assign @bob to Green")
        assert green.invited == {"bob"}
        assert red.joined == {"bob", "cleo"}
        asked = red.raw.messages[-1]["content"]
        assert "Bob" in asked["body"]
        assert "Green" in asked["body"]
        assert asked["m.mentions"]["user_ids"] == ["@bob:test"]
        talk.user("bob").join(green.id)
        await talk.settled()
        assert red.joined == {"cleo"}


async def test_who_does_not_follow_is_taken_out_after_a_minute() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout assign @bob to Green")
        await talk.passes(61)
        assert talk.room_named("Red").joined == {"cleo"}
        assert talk.room_named("Green").invited == {"bob"}


async def test_a_promotion_frees_the_seat_and_opens_the_desk() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        desk = await at_the_desk(talk)
        levels = dict(room.raw.content("m.room.power_levels"))
        levels["users"] = {**levels["users"], "@bob:test": 50}
        talk.user("ann").set_state(room.id, "m.room.power_levels", levels)
        await talk.settled()
        red = talk.room_named("Red")
        assert red.joined == {"bob", "cleo"}
        assert red.raw.power.level("@bob:test") == 50
        assert "bob" in desk.invited


async def test_a_demotion_takes_desk_and_level_away() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        desk = await at_the_desk(talk)
        levels = dict(room.raw.content("m.room.power_levels"))
        levels["users"] = {user: level for user, level in levels["users"].items() if user != "@ann:test"}
        talk.user("ann").set_state(room.id, "m.room.power_levels", levels)
        await talk.settled()
        assert desk.joined == set()
        assert talk.room_named("Red").raw.power.level("@ann:test") == 0


async def test_rooms_are_added_removed_and_renamed_while_running() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout add Blue")
        assert talk.rooms_named("Blue")
        await room.says("@ann", "!breakout rename Green to Lime")
        assert talk.room_named("Lime").raw.content("m.room.name")["name"] == "Lime · Class 7b"
        red = talk.room_named("Red")
        answer = await room.says("@ann", "!breakout remove Red")
        assert "Bob" in answer
        assert red.raw.joined == set()
        assert any("Red" in said and "Bob" in said for said in room.said)


async def test_an_invite_that_fails_is_told_to_the_moderators_by_name() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup manual\nRed: @bob\nGreen: @cleo")
        talk.homeserver.fail("create", talk_refuses(), times=1)
        talk.homeserver.fail("invite", talk_refuses(), times=1)
        await room.says("@ann", "!breakout start")
        await talk.passes(30)
        assert "could not be invited" in await room.says("@ann", "!breakout status")


def talk_refuses() -> MatrixError:
    return Permanent(403, "M_FORBIDDEN", "Bob does not take invites")


async def test_a_room_that_the_bot_is_removed_from_is_made_anew() -> None:
    async with conversation() as talk:
        await under_way(talk)
        await at_the_desk(talk)
        red = talk.room_named("Red")
        talk.server.leave(talk.homeserver.me, red.id)
        await talk.settled()
        assert len(talk.rooms_named("Red")) == 2
        assert talk.room_named("Red").invited == {"bob", "cleo"}


async def test_the_main_room_s_old_boards_still_choose_for_this_session_only() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup Red, Green choose")
        old = room.message("Choose yours")["event_id"]
        await room.says("@ann", "!breakout status")
        talk.user("bob").react(room.id, old, "1️⃣")
        await talk.settled()
        assert "Bob" in await room.says("@ann", "!breakout status Red")
        await room.says("@ann", "!breakout delete")
        await room.says("@ann", "!breakout delete confirm")
        await room.says("@ann", "!breakout setup Blue, Black choose")
        talk.user("cleo").react(room.id, old, "1️⃣")
        await talk.settled()
        assert "Cleo" not in await room.says("@ann", "!breakout status Blue")


async def test_a_bot_taken_out_of_the_main_room_closes_what_it_made() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        desk = await at_the_desk(talk)
        red = talk.room_named("Red")
        talk.server.leave(talk.homeserver.me, room.id)
        await talk.settled()
        assert red.raw.joined == set()
        assert desk.raw.joined == set()


async def test_the_rooms_of_a_former_session_answer_for_no_room_of_the_new_one() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end now")
        old = talk.room_named("Red")
        await room.says("@ann", PLAN)
        assert old.raw.joined == set()
        assert talk.room_named("Red").id == old.id
        await room.says("@ann", "!breakout start")
        assert talk.room_named("Red").id != old.id


async def test_a_moderator_who_cannot_be_invited_to_the_desk_is_not_asked_for_ever() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        talk.homeserver.fail("create", talk_refuses())
        talk.homeserver.fail("invite", talk_refuses(), times=1000)
        await room.says("@ann", "!breakout setup 2")
        await talk.passes(60)
        (fault,) = talk.homeserver.faults
        assert fault.times > 1000 - 5

"""What participants say and tap."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from bot.testing.harness import Room, Talk, conversation
from tests.conversation.breakout import a_class, at_the_desk, planned, started, under_way


async def choosing(talk: Talk, setup: str = "!breakout setup Red, Green choose") -> Room:
    room = await a_class(talk)
    await room.says("@ann", setup)
    return room


def reactions(room: Room, key: str, to: str) -> list[dict[str, Any]]:
    return [
        event
        for event in room.raw.events
        if event["type"] == "m.reaction"
        and event["content"]["m.relates_to"]["key"] == key
        and event["content"]["m.relates_to"]["event_id"] == to
    ]


async def test_a_choice_is_ticked_and_shown() -> None:
    async with conversation() as talk:
        room = await choosing(talk)
        assert await room.says("@bob", "!breakout choose red") == ""
        typed = next(e for e in room.raw.messages if e["content"].get("body") == "!breakout choose red")
        assert reactions(room, "✅", typed["event_id"])
        assert "Bob" in await room.says("@ann", "!breakout status Red")


async def test_the_number_on_the_board_is_a_choice_and_the_last_one_wins() -> None:
    async with conversation() as talk:
        room = await choosing(talk)
        await room.taps("@bob", "1️⃣", on="Choose yours")
        assert "Bob" in await room.says("@ann", "!breakout status Red")
        await room.taps("@bob", "2️⃣", on="Choose yours")
        assert "Bob" not in await room.says("@ann", "!breakout status Red")
        assert "Bob" in await room.says("@ann", "!breakout status Green")
        await room.untaps("@bob", "2️⃣")
        assert "Bob" not in await room.says("@ann", "!breakout status Green")


async def test_a_full_room_says_so_and_which_ones_have_a_seat() -> None:
    async with conversation() as talk:
        room = await choosing(talk, "!breakout setup Red, Green choose max 1")
        await room.says("@bob", "!breakout choose red")
        answer = await room.says("@cleo", "!breakout choose red")
        assert "full" in answer
        assert "Green" in answer


async def test_a_refused_tap_says_whose_it_was_and_what_was_tapped() -> None:
    async with conversation() as talk:
        room = await choosing(talk, "!breakout setup Red, Green choose max 1")
        await room.says("@bob", "!breakout choose red")
        board = room.message("1. Red")
        answer = await room.taps("@cleo", "1️⃣", on="1. Red")
        assert answer.startswith("Cleo, you tapped 1️⃣ on the board.")
        assert "Red is full. There is space in Green." in answer
        content = room.raw.messages[-1]["content"]
        assert content["msgtype"] == "m.notice"
        assert "user_ids" not in content["m.mentions"]
        assert "@cleo:test" in content["formatted_body"].replace("%40", "@")
        assert content["m.relates_to"]["rel_type"] == "m.thread"
        assert content["m.relates_to"]["event_id"] == board["event_id"]


async def test_a_moderator_s_refused_tap_is_answered_beside_what_was_tapped() -> None:
    async with conversation({"breakout": {"confirm_above": 1}}) as talk:
        room = await talk.main_room(moderators=["ann", "mia"], people=["bob", "cleo"])
        await room.says("@ann", "!breakout setup 2")
        await room.says("@ann", "!breakout start")
        answer = await room.taps("@mia", "✅", on="Start now?")
        assert answer.startswith("Mia, you tapped ✅ on the question.")
        assert "!breakout start confirm" in answer
        relation = room.raw.messages[-1]["content"]["m.relates_to"]
        assert relation == {"m.in_reply_to": {"event_id": room.message("Start now?")["event_id"]}}


async def test_who_walks_into_a_room_has_chosen_it() -> None:
    async with conversation() as talk:
        room = await choosing(talk)
        await room.says("@ann", "!breakout start")
        red = talk.room_named("Red")
        talk.user("bob").join(red.id)
        await talk.settled()
        assert "Bob" in await room.says("@ann", "!breakout status Red")


async def test_who_has_not_chosen_at_the_start_is_asked_once_and_filled() -> None:
    async with conversation() as talk:
        room = await choosing(talk)
        await room.says("@bob", "!breakout choose red")
        await room.says("@ann", "!breakout start")
        asked = [
            sorted(event["content"]["m.mentions"]["user_ids"])
            for event in room.raw.messages
            if event["sender"] == talk.homeserver.me and event["content"]["m.mentions"].get("user_ids")
        ]
        assert ["@cleo:test", "@dan:test", "@eve:test"] in asked
        await room.says("@ann", "!breakout fill")
        assert talk.room_named("Red").invited | talk.room_named("Green").invited == {"bob", "cleo", "dan", "eve"}


async def test_me_says_my_room_and_its_people_in_a_thread() -> None:
    async with conversation() as talk:
        room = await under_way(talk, "!breakout start 20m")
        answer = await room.says("@bob", "!breakout me")
        assert "Red" in answer
        assert "Cleo" in answer
        assert "20 minutes" in answer
        assert room.message("You are in Red")["content"]["m.relates_to"]["rel_type"] == "m.thread"


async def test_me_says_what_is_so_before_and_after_the_round() -> None:
    async with conversation() as talk:
        room = await started(talk)
        assert "Your room is Red" in await room.says("@bob", "!breakout me")
        await room.says("@ann", "!breakout end now")
        answer = await room.says("@bob", "!breakout me")
        assert answer.startswith("The round has ended; your seat is in Red with Cleo.")
        assert room.id in unquote(answer)
        assert talk.room_named("Red ·").id not in unquote(answer)
        # Seats that are dealt for the next round are no tale of the last one.
        moved = await room.says("@ann", "!breakout assign @bob to Green")
        assert "moves from Red" in moved
        assert "your seat is in Green" in await room.says("@bob", "!breakout me")
        assert not any("was where" in said for said in room.said)
    async with conversation() as talk:
        room = await planned(talk)
        answer = await room.says("@bob", "!breakout me")
        assert answer.startswith("You will be in Red with Cleo, once the breakout rooms are open.")


async def test_a_refusal_to_a_participant_stands_in_a_thread_too() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@bob", "!breakout choose Red")
        assert room.raw.messages[-1]["content"]["m.relates_to"]["rel_type"] == "m.thread"


async def test_who_declined_comes_back_by_rejoin() -> None:
    async with conversation() as talk:
        room = await started(talk)
        red = talk.room_named("Red")
        talk.user("bob").leave(red.id)
        await talk.settled()
        assert red.invited == {"cleo"}
        assert "declined" in await room.says("@ann", "!breakout status Red")
        await room.says("@bob", "!breakout rejoin")
        assert red.invited == {"bob", "cleo"}


async def test_who_left_comes_back_by_a_tap() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        red = talk.room_named("Red")
        talk.user("bob").leave(red.id)
        await talk.settled()
        await room.taps("@bob", "🔁", on="Breakout rooms are open")
        assert red.invited == {"bob"}


async def test_who_passes_is_left_alone_until_rejoin() -> None:
    async with conversation() as talk:
        room = await started(talk)
        red = talk.room_named("Red")
        await room.says("@bob", "!breakout pass")
        assert red.invited == {"cleo"}
        await room.says("@bob", "!breakout rejoin")
        assert red.invited == {"bob", "cleo"}


async def test_who_was_removed_by_a_moderator_is_invited_again_only_by_assign() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await at_the_desk(talk)
        red = talk.room_named("Red")
        talk.user("ann").join(red.id)
        await talk.settled()
        talk.user("ann").kick(red.id, "@bob:test")
        await talk.settled()
        assert "A moderator took you out of Red." in await room.says("@bob", "!breakout rejoin")
        assert await room.says("@bob", "!breakout me") == "A moderator took you out of Red. Please ask one of them."
        assert red.invited == set()
        await room.says("@ann", "!breakout assign @bob to Red")
        assert red.invited == {"bob"}


async def test_the_bare_command_says_where_i_am() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        answer = await room.says("@bob", "!breakout")
        assert "You are in Red" in answer
        assert "Cleo" in answer


async def test_a_comma_after_help_does_not_lose_the_call() -> None:
    async with conversation() as talk:
        await under_way(talk)
        red = talk.room_named("Red ·")
        assert "moderators are told" in await red.says("@bob", "!help, we are lost")


async def test_a_call_for_help_in_the_main_room_is_one_from_ones_own_room() -> None:
    async with conversation() as talk:
        room = await started(talk)
        desk = await at_the_desk(talk)
        answer = await room.says("@bob", "!help I cannot open the room")
        assert "The moderators are told" in answer
        assert "!help cancel" in answer
        asked = desk.message("Their room is Red")
        assert "I cannot open the room" in asked["content"]["body"]
        assert asked["content"]["m.mentions"]["user_ids"] == ["@ann:test"]
        assert "Red" in await desk.says("@ann", "!breakout queue")
        await desk.taps("@ann", "👀", on="I cannot open")
        assert "Ann is on the way" in room.said[-1]
        assert room.raw.messages[-1]["content"]["m.mentions"]["user_ids"] == ["@bob:test"]
        assert "taken back" in await room.says("@bob", "!help cancel")
        assert "Nobody" in await desk.says("@ann", "!breakout queue")


async def test_who_called_from_the_main_room_is_told_there_that_it_takes_longer() -> None:
    async with conversation() as talk:
        room = await started(talk)
        await at_the_desk(talk)
        await room.says("@bob", "!help where do I go?")
        await talk.passes(181)
        assert any("the moderators were told again" in said for said in room.said)


@pytest.mark.parametrize("typed", ["!help me", "!help me please", "!help, i am lost", "!breakout help we are stuck"])
async def test_words_that_name_no_command_are_a_call_for_help(typed: str) -> None:
    async with conversation() as talk:
        room = await started(talk)
        assert "The moderators are told" in await room.says("@bob", typed)
        assert any("Bob asks for help in Class 7b. Their room is Red" in said for said in room.said)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("!help", "!breakout me"),
        ("!help choose", "!breakout choose"),
        ("!help start", "!breakout me"),
        ("!breakout help me", "!breakout me"),
    ],
)
async def test_help_about_a_command_calls_nobody(typed: str, said: str) -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        assert said in await room.says("@bob", typed)
        assert "Nobody" in await room.says("@ann", "!breakout queue")


async def test_who_has_no_seat_can_call_a_moderator_too() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        desk = await at_the_desk(talk)
        await room.says("@ann", "!breakout unassign @bob")
        assert "The moderators are told" in await room.says("@bob", "!help where do I belong?")
        asked = desk.message("They have no breakout room")
        assert "where do I belong?" in asked["content"]["body"]
        assert asked["content"]["m.mentions"]["user_ids"] == ["@ann:test"]
        assert "in 10 seconds" in await room.says("@bob", "!help hello?")


async def test_a_call_for_help_while_no_room_is_open_says_whom_to_ask() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        answer = await room.says("@bob", "!help I am lost")
        assert "No breakout rooms are open" in answer
        assert "Ann" in answer
        assert "!breakout choose" not in answer


async def test_a_moderator_s_help_with_words_stays_a_list_of_commands() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        assert "!breakout end" in await room.says("@ann", "!help we need more chalk")
        red = talk.room_named("Red ·")
        await at_the_desk(talk)
        talk.user("ann").join(red.id)
        await talk.settled()
        assert "!breakout end" in await red.says("@ann", "!help we need more chalk")


async def test_a_guest_s_raised_hand_is_heard_as_their_words_are() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        desk = await at_the_desk(talk)
        red = talk.room_named("Red ·")
        talk.user("ann").join(red.id)
        talk.user("ann").invite(red.id, "@guest:test")
        talk.user("guest").join(red.id)
        await talk.settled()
        await red.taps("@guest", "🙋", on="Welcome")
        assert "Red" in await desk.says("@ann", "!breakout queue")
        await red.untaps("@guest", "🙋")
        assert "Nobody" in await desk.says("@ann", "!breakout queue")
        assert await room.taps("@bob", "🙋", on="Breakout rooms are open") == ""


async def test_a_mistyped_first_word_is_not_met_with_silence() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        answer = await room.says("@ann", "!breakot setup 4")
        assert answer == "There is no command !breakot. Did you mean !breakout?"
        assert "Breakout rooms are open" in await room.says("@ann", "!breakout: status")


async def test_a_number_that_nobody_offered_is_no_choice() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 2 choose")
        assert await room.taps("@bob", "3️⃣", on="Choose yours") == ""


async def test_who_was_removed_is_not_invited_in_the_next_round_either_until_assign() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await at_the_desk(talk)
        talk.user("ann").join(talk.room_named("Red").id)
        await talk.settled()
        talk.user("ann").kick(talk.room_named("Red").id, "@bob:test")
        await talk.settled()
        await room.says("@ann", "!breakout end now")
        await room.says("@ann", "!breakout shuffle")
        await room.says("@ann", "!breakout start")
        assert not any("bob" in one.invited | one.joined for one in (talk.room_named("Red"), talk.room_named("Green")))
        assert "moderator" in await room.says("@bob", "!breakout rejoin")
        await room.says("@ann", "!breakout assign @bob to Green")
        assert "bob" in talk.room_named("Green").invited


@pytest.mark.parametrize("typed", ["choose 1", "rejoin", "pass"])
async def test_where_nothing_is_set_up_a_participant_is_told_who_begins(typed: str) -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        answer = await room.says("@bob", f"!breakout {typed}")
        assert answer == "No breakout rooms are set up here yet; a moderator begins. !breakout shows yours then."
        await room.says("@ann", "!breakout setup 1")
        assert "You will be in Room 1" in await room.says("@bob", "!breakout")


@pytest.mark.parametrize("typed", ["choose 1", "rejoin", "pass"])
async def test_while_the_rooms_close_a_participant_is_told_to_wait(typed: str) -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end")
        answer = await room.says("@bob", f"!breakout {typed}")
        assert "has to wait until they are closed. !breakout says when." in answer
        assert "extend" not in answer
        assert "the rooms close at" in await room.says("@bob", "!breakout")
        assert "!breakout extend 5m" in await room.says("@ann", "!breakout choose 1")


async def test_a_tap_of_a_participant_while_the_rooms_close_is_told_so_too() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end")
        answer = await room.taps("@bob", "🔁", on="Breakout rooms are open")
        assert "has to wait until they are closed" in answer
        assert "extend" not in answer


async def test_who_cannot_choose_is_told_how_to_see_their_room() -> None:
    async with conversation() as talk:
        room = await planned(talk)
        answer = await room.says("@bob", "!breakout choose green")
        assert answer == "That does not work here, where the seats are given. !breakout shows yours."


@pytest.mark.parametrize("late", ["smallest", "ask", "stay"])
async def test_who_has_no_seat_is_told_how_to_get_one(late: str) -> None:
    async with conversation({"breakout": {"late_joiners": late}}) as talk:
        room = await planned(talk)
        await room.says("@ann", "!breakout unassign @bob")
        assert "not open yet; once they are, !breakout rejoin asks for one." in await room.says("@bob", "!breakout")
        await room.says("@ann", "!breakout start")
        answer = await room.says("@bob", "!breakout")
        assert answer == "You have no seat in a breakout room.\n\n!breakout rejoin asks for one."
        assert "The moderators are asked" in await room.says("@bob", "!breakout rejoin")
        await room.says("@ann", "!breakout end")
        answer = await room.says("@bob", "!breakout")
        assert "rejoin" not in answer
        assert "the rooms close at" in answer


async def test_who_sits_out_is_told_how_to_take_part_again() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 2")
        await room.says("@bob", "!breakout pass")
        assert "You sit out; !breakout rejoin has you take part again." in await room.says("@bob", "!breakout")


async def test_who_has_no_room_yet_is_not_told_to_choose_while_the_rooms_close() -> None:
    async with conversation() as talk:
        room = await choosing(talk)
        await room.says("@ann", "!breakout start")
        await room.says("@ann", "!breakout end")
        assert "choose" not in await room.says("@bob", "!breakout")


@pytest.mark.parametrize(
    ("where", "typed", "named", "then"),
    [
        ("main", "!time", "only in a breakout room.\n\nHere it is !breakout.", "left: the rooms close at"),
        ("main", "!commands", "only in a breakout room.\n\nHere it is !breakout help.", "!breakout me"),
        ("main", "!back", "only in a breakout room.", None),
        ("red", "!breakout me", "only in the main room.\n\nHere it is !breakout.", "You are in Red"),
        ("red", "!breakout rejoin", "only in the main room.\n\n!back leads there.", "Class 7b"),
    ],
)
async def test_what_works_elsewhere_names_what_works_here(where: str, typed: str, named: str, then: str | None) -> None:
    async with conversation() as talk:
        room = await under_way(talk, "!breakout start 20m")
        there = room if where == "main" else talk.room_named("Red")
        answer = await there.says("@bob", typed)
        assert answer == f"{typed} does not work here, {named}"
        if then is not None:
            works = answer.split("Here it is ")[-1].rstrip(".") if "Here" in answer else "!back"
            assert then in await there.says("@bob", works)


@pytest.mark.parametrize(
    ("typed", "instead"), [("!time", "!breakout"), ("!commands", "!breakout help"), ("!breakout me", "!breakout")]
)
async def test_the_desk_has_its_own_words_too(typed: str, instead: str) -> None:
    async with conversation() as talk:
        await under_way(talk, "!breakout start 20m")
        desk = await at_the_desk(talk)
        assert (await desk.says("@ann", typed)).endswith(f"Here it is {instead}.")
        assert "does not work" not in await desk.says("@ann", instead)

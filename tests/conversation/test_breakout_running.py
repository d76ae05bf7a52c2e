"""Starting, the time, the end, and doing away with it all."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.testing.harness import Room, conversation, user_id
from tests.conversation.breakout import a_class, at_the_desk, planned, started, under_way


async def test_a_start_makes_the_rooms_and_invites_everybody_to_their_own() -> None:
    async with conversation() as talk:
        room = await started(talk)
        assert talk.room_named("Red").raw.content("m.room.name")["name"] == "Red · Class 7b"
        assert talk.room_named("Red").invited == {"bob", "cleo"}
        assert talk.room_named("Green").invited == {"dan", "eve"}
        assert any("open" in said and "Red" in said for said in room.said)


async def test_each_room_is_welcomed() -> None:
    async with conversation() as talk:
        room = await planned(talk)
        await room.says("@ann", "!breakout task red Discuss *chapter 3*")
        await room.says("@ann", "!breakout start 20m")
        for person in ("bob", "cleo", "dan", "eve"):
            talk.user(person).join(talk.room_named("Red" if person in ("bob", "cleo") else "Green").id)
        await talk.settled()
        (welcome,) = [said for said in talk.room_named("Red").said if "Discuss" in said]
        assert "Bob" in welcome
        assert "Cleo" in welcome
        assert "Discuss *chapter 3*" in welcome
        assert "!help" in welcome
        assert "oderator" in welcome
        assert "Class 7b" in welcome


async def test_the_board_says_who_is_where_in_words() -> None:
    async with conversation() as talk:
        room = await started(talk)
        talk.user("bob").join(talk.room_named("Red").id)
        await talk.settled()
        await talk.passes(10)
        board = next(said for said in reversed(room.said) if "1. Red: " in said)
        assert "Bob" in board
        assert "Cleo (not yet there)" in board
        assert "1 of 2 here" in board


async def test_names_on_the_board_ping_nobody() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout status")
        board = room.message("here")
        assert board["content"]["m.mentions"] == {}
        assert board["content"]["msgtype"] == "m.notice"


async def test_a_start_above_fifty_people_asks_first() -> None:
    async with conversation({"breakout": {"confirm_above": 3}}) as talk:
        room = await planned(talk)
        question = await room.says("@ann", "!breakout start 20m")
        assert "4 people" in question
        assert "!breakout start confirm" in question
        assert not talk.rooms_named("Red")
        await room.taps("@bob", "✅", on="start confirm")
        assert not talk.rooms_named("Red")
        await room.taps("@ann", "✅", on="start confirm")
        assert talk.room_named("Red").invited == {"bob", "cleo"}


async def test_the_question_before_a_start_says_how_long_and_a_second_one_takes_its_place() -> None:
    async with conversation({"breakout": {"confirm_above": 3}}) as talk:
        room = await planned(talk)
        question = await room.says("@ann", "!breakout start")
        assert question.startswith("Start now? 4 people will be invited into 2 rooms, without a time limit.")
        assert "does not wait" not in question
        question = await room.says("@ann", "!breakout start 20m")
        assert question.startswith("Start now? 4 people will be invited into 2 rooms, for 20 minutes.")
        assert "The question before this one does not wait for a yes any more." in question
        await talk.passes(121)
        assert "does not wait" not in await room.says("@ann", "!breakout start 15m")
        answer = await room.says("@ann", "!breakout start confirm")
        assert "They close 15 minutes after the invites are out." in answer


async def test_the_typed_yes_works_within_two_minutes() -> None:
    async with conversation({"breakout": {"confirm_above": 3}}) as talk:
        room = await planned(talk)
        await room.says("@ann", "!breakout start")
        await talk.passes(121)
        assert "!breakout start" in await room.says("@ann", "!breakout start confirm")
        assert not talk.rooms_named("Red")
        await room.says("@ann", "!breakout start")
        await room.says("@ann", "!breakout start confirm")
        assert talk.rooms_named("Red")


async def test_a_start_that_would_seat_nobody_names_the_command_that_mends_it() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"])
        await room.says("@ann", "!breakout setup 2")
        answer = await room.says("@ann", "!breakout start")
        assert "everyone" in answer


async def test_a_start_with_empty_rooms_names_the_command_that_mends_it() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 6")
        answer = await room.says("@ann", "!breakout start")
        assert "!breakout setup 4" in answer or "!breakout remove" in answer


async def test_a_time_limit_warns_closes_and_brings_everybody_back() -> None:
    async with conversation() as talk:
        room = await under_way(talk, "!breakout start 10m")
        red = talk.room_named("Red")
        await talk.passes(5 * 60)
        assert any("5 minutes" in said for said in red.said)
        await talk.passes(4 * 60)
        assert red.joined >= {"bob", "cleo"}
        await talk.passes(60 + 5)
        assert not red.joined - {"ann"}
        assert any("back" in said for said in room.said[-2:])
        assert any("Class 7b" in said for said in red.said[-1:])


async def test_the_end_gives_notice_and_locks_before_it_removes() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        red = talk.room_named("Red")
        answer = await room.says("@ann", "!breakout end")
        assert "1 minute" in answer
        assert "!breakout end cancel" in answer
        assert red.joined == {"bob", "cleo"}
        talk.homeserver.calls.clear()
        await talk.passes(61)
        acts = [(call[0], call[2]) for call in talk.homeserver.calls if call[1] == red.id]
        verbs = [verb for verb, _ in acts]
        assert acts[0] == ("set_state", "m.room.power_levels")
        assert verbs.index("send") < verbs.index("remove")
        assert red.joined == set()


async def test_an_end_is_taken_back() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end 2m")
        assert "taken back" in await room.says("@ann", "!breakout end cancel")
        await talk.passes(180)
        assert talk.room_named("Red").joined == {"bob", "cleo"}


async def test_extend_takes_the_end_back_too() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end")
        assert "taken back" in await room.says("@ann", "!breakout extend 5m")
        await talk.passes(120)
        assert talk.room_named("Red").joined == {"bob", "cleo"}


async def test_a_second_end_ends_at_once() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end")
        await room.says("@ann", "!breakout end")
        assert talk.room_named("Red").joined == set()


async def test_two_moderators_who_end_at_once_do_not_mean_at_once() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann", "zoe"], people=["bob", "cleo"])
        await room.says("@ann", "!breakout setup manual\nRed: @bob\nGreen: @cleo")
        await room.says("@ann", "!breakout start")
        talk.user("bob").join(talk.room_named("Red").id)
        await talk.settled()
        await room.says("@ann", "!breakout end")
        answer = await room.says("@zoe", "!breakout end")
        assert "Ann" in answer
        assert "!breakout end now" in answer
        assert talk.room_named("Red").joined == {"bob"}
        await room.says("@zoe", "!breakout end now")
        assert talk.room_named("Red").joined == set()


async def test_the_timer_says_the_end_with_its_zone() -> None:
    async with conversation({"breakout": {"timezone": "Europe/Berlin"}}) as talk:
        room = await under_way(talk)
        assert "15:15 CET" in await room.says("@ann", "!breakout timer 15m")
        assert "15:20 CET" in await room.says("@ann", "!breakout extend 5m")
        assert "until you end" in await room.says("@ann", "!breakout timer off")
        assert "!breakout timer" in await room.says("@ann", "!breakout extend 5m")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("!breakout timer 1:30", "1h30m"),
        ("!breakout timer 25h", "24h"),
        ("!breakout timer", "!breakout timer 15m"),
        ("!breakout timer soon", "soon"),
        ("!breakout setup 4", "!breakout end"),
        ("!breakout start", "already"),
        ("!breakout shuffle", "!breakout shuffle now"),
        ("!breakout end cancel", ""),
        ("!breakout delete confirm", "!breakout delete"),
        ("!breakout start confirm", "already"),
        ("!breakout claim 1", ""),
    ],
)
async def test_a_running_session_refuses_in_one_sentence(typed: str, said: str) -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        answer = await room.says("@ann", typed)
        assert answer
        assert "broke" not in answer
        assert said in answer


@pytest.mark.parametrize(
    "typed",
    [
        "!breakout assign @bob to Green",
        "!breakout swap @bob @dan",
        "!breakout unassign @bob",
        "!breakout shuffle now",
        "!breakout fill",
        "!breakout add Blue",
        "!breakout remove Red",
        "!breakout rename Red to Blue",
        "!breakout task all Read",
        "!breakout start",
        "!breakout setup 4",
    ],
)
async def test_nothing_but_the_end_is_decided_while_the_rooms_close(typed: str) -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end")
        answer = await room.says("@ann", typed)
        assert answer
        assert "broke" not in answer
        assert talk.room_named("Red").joined == {"bob", "cleo"}
        assert not talk.rooms_named("Blue")


async def test_the_same_rooms_run_again() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end now")
        red = talk.room_named("Red")
        await room.says("@ann", "!breakout start")
        assert len(talk.rooms_named("Red")) == 1
        assert red.invited == {"bob", "cleo"}


async def test_delete_asks_and_then_leaves_nothing_behind() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        desk = await at_the_desk(talk)
        question = await room.says("@ann", "!breakout delete")
        assert question.startswith(
            "Delete 2 rooms and the desk? What was written there becomes unreachable; this room is not touched. "
            "The rooms are open: they end at once.\n"
        )
        assert "!breakout delete confirm" in question
        await room.says("@ann", "!breakout delete confirm")
        for gone in (talk.room_named("Red"), talk.room_named("Green"), desk):
            assert gone.raw.joined == set()
        removed = [call[3] for call in talk.homeserver.calls if call[:3] == ("remove", desk.id, "@ann:test")]
        assert removed == ["The desk is closed. You are still in Class 7b."]
        assert room.joined == {"ann", "bob", "cleo", "dan", "eve"}
        assert "!breakout setup 4" in await room.says("@ann", "!breakout status")


async def test_a_deletion_confirmed_by_a_tap_closes_the_desk_too() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        desk = await at_the_desk(talk)
        await room.says("@ann", "!breakout delete")
        await room.taps("@ann", "✅", on="delete confirm")
        assert desk.raw.joined == set()


async def test_the_desk_starts_extends_and_ends_by_a_tap() -> None:
    async with conversation() as talk:
        await planned(talk)
        desk = await at_the_desk(talk)
        await desk.taps("@ann", "▶️", on="▶️")
        red = talk.room_named("Red")
        assert red.invited == {"bob", "cleo"}
        await desk.says("@ann", "!breakout timer 10m")
        await desk.says("@ann", "!breakout status")
        await talk.passes(1)
        await desk.taps("@ann", "➕", on="➕")
        assert any("14:15" in said for said in red.said)
        await desk.taps("@ann", "⏹", on="⏹")
        await talk.passes(121)  # a round of 15 minutes has the longer notice
        assert red.joined == set()
        assert red.invited == set()


async def test_those_who_are_not_in_yet_are_mentioned_once() -> None:
    async with conversation() as talk:
        room = await started(talk)
        talk.user("bob").join(talk.room_named("Red").id)
        await talk.settled()
        await talk.passes(160)
        pinged = [
            event["content"]["m.mentions"].get("user_ids", [])
            for event in room.raw.messages
            if event["sender"] == talk.homeserver.me
        ]
        assert [sorted(users) for users in pinged if users] == [["@cleo:test", "@dan:test", "@eve:test"]]


async def test_the_end_is_said_in_the_same_words_everywhere() -> None:
    async with conversation() as talk:
        room = await under_way(talk, "!breakout start 10m")
        await talk.passes(timedelta(minutes=9, seconds=10))
        assert any(said.startswith("Breakout rooms close at 14:10 UTC.") for said in room.said)
        assert any("This room closes in 1 minute, at 14:10 UTC." in said for said in talk.room_named("Red ·").said)
        await talk.passes(60)
        assert "Breakout rooms are closed; everybody is back here.\n\nThe time is up." in room.said
        assert any(said.startswith("Breakout rooms are closed. Who sits where:") for said in room.said)
        assert any(said.startswith("This room is closed.") for said in talk.room_named("Red ·").said)
        assert not any("closing" in said for said in room.said)


async def test_deleting_a_running_session_says_in_the_main_room_that_it_is_over() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout delete")
        await room.says("@ann", "!breakout delete confirm")
        assert any("everybody is back here" in said for said in room.said)


@pytest.mark.parametrize("typed", ["!breakout start", "!breakout setup 4"])
async def test_while_the_rooms_close_it_is_said_how_that_is_taken_back(typed: str) -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end")
        assert "!breakout end cancel" in await room.says("@ann", typed)


async def test_a_setup_after_the_end_says_that_the_former_rooms_are_closed_for_good() -> None:
    async with conversation({"breakout": {"on_end": "keep"}}) as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end now")
        answer = await room.says("@ann", "!breakout setup 2")
        assert "The former Red and Green are closed for good." in answer


async def test_who_is_left_without_a_seat_or_said_no_is_named_with_the_way_in() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end now")
        await room.says("@ann", "!breakout unassign @dan")
        assert "Dan. !breakout fill seats them too." in await room.says("@ann", "!breakout shuffle")
        await room.says("@cleo", "!breakout pass")
        answer = await room.says("@ann", "!breakout assign @cleo to Green")
        assert "Cleo. !breakout rejoin, typed by themselves, brings them back." in answer


async def test_who_is_taken_out_is_told_how_to_learn_where_they_belong() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        red = talk.room_named("Red ·")
        await room.says("@ann", "!breakout unassign @bob")
        assert "!breakout me in Class 7b" in red.raw.content("m.room.member", user_id("bob"))["reason"]
        assert "rejoin" in await room.says("@bob", "!breakout me")


async def test_deleting_a_running_session_locks_each_room_before_it_is_told_and_emptied() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        red = talk.room_named("Red ·")
        before = len(red.raw.events)
        await room.says("@ann", "!breakout delete")
        await room.says("@ann", "!breakout delete confirm")
        events = [event for event in red.raw.events[before:] if event["sender"] == talk.homeserver.me]
        types = [event["type"] for event in events]
        assert types[:2] == ["m.room.power_levels", "m.room.message"]
        assert set(types[2:]) <= {"m.room.join_rules", "m.room.member"}


@pytest.mark.parametrize("typed", ["!breakout setup 4", "!breakout start", "!breakout delete", "!breakout status"])
async def test_an_ended_session_is_set_up_anew_run_again_shown_or_deleted(typed: str) -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end now")
        answer = await room.says("@ann", typed)
        assert answer
        assert not any(refused in answer for refused in ("broke", "already", "End first", "No breakout rooms"))


@pytest.mark.parametrize(
    "typed",
    [
        "!breakout timer 5m",
        "!breakout extend 5m",
        "!breakout end",
        "!breakout end cancel",
        "!breakout broadcast Hello",
        "!breakout tell 1 Hello",
        "!breakout visit 1",
        "!breakout queue",
        "!breakout claim 1",
        "!breakout resolve 1",
    ],
)
async def test_after_the_end_what_needs_open_rooms_says_how_to_open_them(typed: str) -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout end now")
        assert "!breakout start" in await room.says("@ann", typed)


async def test_the_time_left_on_the_board_stays_true() -> None:
    async with conversation() as talk:
        room = await under_way(talk, "!breakout start 20m")
        await talk.passes(5)
        assert any("(20 minutes left)" in said for said in room.said)
        await talk.passes(60)
        await room.says("@ann", "!breakout status")
        assert "(about 20 minutes left)" in room.said[-1]
        await talk.passes(timedelta(minutes=14, seconds=30))
        assert any("about 5 minutes left" in said for said in room.said)
        assert "20 minutes left" not in room.said[-1]


async def test_the_welcome_of_a_later_round_is_there_for_those_who_are_invited_again() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        red = talk.room_named("Red ·")
        await room.says("@ann", "!breakout end now")
        await talk.passes(5)
        before = len(red.raw.events)
        await room.says("@ann", "!breakout start")
        kinds = [
            "invite" if event["content"].get("membership") == "invite" else "welcome"
            for event in red.raw.events[before:]
            if event["content"].get("membership") == "invite" or "Welcome" in event["content"].get("body", "")
        ]
        assert kinds == ["invite", "invite", "welcome"]


async def test_who_is_moved_gets_the_task_and_the_end_in_the_new_room() -> None:
    async with conversation() as talk:
        room = await planned(talk)
        await room.says("@ann", "!breakout task all Read page 4")
        await room.says("@ann", "!breakout start 20m")
        for person, color in (("bob", "Red"), ("cleo", "Red"), ("dan", "Green"), ("eve", "Green")):
            talk.user(person).join(talk.room_named(color).id)
        await talk.passes(30)
        await room.says("@ann", "!breakout assign @bob to green")
        green = talk.room_named("Green ·")
        talk.user("bob").join(green.id)
        await talk.settled()
        assert "Bob has come" in green.said[-1]
        assert "Read page 4" in green.said[-1]
        assert sum("has come" in said for said in green.said) == 1


def edits_of(room: Room) -> list[str]:
    """What the bot's messages read after an edit, and what it said anew, in order; edits begin with "* "."""
    return [e["content"]["body"] for e in room.raw.messages if e["sender"] == room.talk.homeserver.me]


async def test_nothing_of_the_open_rooms_is_said_after_their_end() -> None:
    async with conversation() as talk:
        room = await started(talk, "!breakout start 20m")
        await room.says("@ann", "!breakout end now")
        await talk.passes(60)
        for place in (room, talk.room_named("Moderators of")):
            said = edits_of(place)
            over = next(number for number, text in enumerate(said) if "are closed" in text)
            assert not [text for text in said[over:] if "are open" in text]


async def test_rooms_that_stay_open_after_all_get_a_new_board() -> None:
    async with conversation() as talk:
        room = await under_way(talk, "!breakout start 20m")
        await room.says("@ann", "!breakout end")
        await talk.passes(10)
        said = len(room.said)
        await room.says("@ann", "!breakout end cancel")
        await talk.passes(10)
        assert any("Breakout rooms are open" in text for text in room.said[said:])


async def test_a_board_that_is_asked_for_is_the_one_that_is_kept_up_to_date() -> None:
    async with conversation() as talk:
        room = await started(talk)
        await room.says("@ann", "!breakout status")
        talk.user("bob").join(talk.room_named("Red").id)
        await talk.passes(60)
        boards = [text for text in room.said if "are open" in text and "1. Red" in text]
        assert ["1 of 2 here" in board for board in boards] == [False, True]


async def test_an_end_that_is_moved_too_far_is_answered_with_an_example_of_extend() -> None:
    async with conversation() as talk:
        room = await under_way(talk, "!breakout start 2h")
        answer = await room.says("@ann", "!breakout extend 23h")
        assert answer == "The rooms close at most 12 hours from now: !breakout timer 12h sets that."
        assert "The rooms close at" in await room.says("@ann", "!breakout timer 12h")
        await talk.passes(11 * 3600 + 54 * 60)
        answer = await room.says("@ann", "!breakout timer 20m")
        assert "6 minutes is the most, such as !breakout timer 6m." in answer

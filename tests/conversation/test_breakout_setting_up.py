"""Setting up rooms and seats, in sentences."""

from __future__ import annotations

import pytest

from bot.testing.harness import conversation
from tests.conversation.breakout import CLASS, a_class, at_the_desk, planned, under_way


async def test_the_bot_greets_with_the_first_command() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        assert "!breakout setup 4" in room.said[0]


async def test_setup_says_what_is_planned_for_whom() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        answer = await room.says("@ann", "!breakout setup 2")
        assert "2 breakout rooms are planned: Room 1 and Room 2" in answer
        assert "5 people are in the main room, and 4 of them take part. None of them seems to be here." in answer
        assert "here. All 4 have a seat." in answer
        assert "!breakout start 20m" in answer


async def test_a_full_stop_behind_a_command_does_not_matter() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        for typed, said in (
            ("!breakout setup 2 manual.", "2 breakout rooms are planned"),
            ("!breakout assign bob, cleo to 2.", "Bob and Cleo"),
            ("!breakout unassign bob.", "Bob has no seat"),
            ("!breakout fill.", "have a seat now"),
            ("!breakout assign dan to 1.", "Dan"),
            ("!breakout swap @dan @cleo.", "moves from"),
            ("!breakout rename 2 to Green.", "Room 2 is now Green."),
            ("!breakout add Yellow.", "Yellow is added as number 3."),
            ("!breakout remove Yellow.", "Yellow is removed."),
            ("!breakout Status.", "Nobody is invited yet."),
            ("!breakout help start.", "Makes the rooms"),
            ("!breakout stats.", "There is no command !breakout stats. Did you mean"),
            ("!breakout start 20m.", "are opening"),
            ("!breakout timer off.", "stay open until you end them"),
            ("!breakout visit next.", "Open "),
            ("!breakout shuffle now.", ("room", "Everybody stays where they are.")),  # as chance has it
            ("!breakout end now.", "everybody is back"),
            ("!breakout delete.", "Tap ✅"),
            ("!breakout delete confirm.", "deleted"),
        ):
            answer = await room.says("@ann", typed)
            assert any(part in answer for part in ((said,) if isinstance(said, str) else said)), typed
            assert ".." not in answer


async def test_a_single_room_is_not_followed_by_an_example_with_a_second_one() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        answer = await room.says("@ann", "!breakout setup 1")
        assert "to 2" not in answer
        assert "!breakout start 20m" in answer


async def test_nobody_is_invited_before_the_start() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 2")
        assert not talk.rooms_named("Room 1")


async def test_the_moderators_get_a_desk_at_the_first_setup() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 2")
        desk = talk.room_named("Moderators of Class 7b")
        assert desk.invited == {"ann"}
        await room.says("@ann", "!breakout setup 3")
        assert len(talk.rooms_named("Moderators of Class 7b")) == 1


async def test_a_second_setup_says_what_it_replaces() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup Red, Green")
        answer = await room.says("@ann", "!bo create 2 rooms")
        assert "replaces the plan of Red and Green" in answer


async def test_the_whole_plan_fits_into_one_message() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup manual\nRed: @bob @cleo\nGreen: Dan, Eve")
        red = await room.says("@ann", "!breakout status red")
        assert "Red" in red
        assert "Bob" in red
        assert "Cleo" in red
        assert "Dan" not in red


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("!breakout setup", "!breakout setup 4"),
        ("!breakout setup 0", "1 to 20"),
        ("!breakout setup 21", "20"),
        ("!breakout setup groups of 1", "groups of"),
        ("!breakout setup Red", "One room only? Separate names by commas."),
        ("!breakout setup 3 foo", "I do not understand “foo” after `!breakout setup 3`"),
        (
            "!breakout setup 3 chose",
            "choose, max 8, here, everyone or open, such as !breakout setup 3 choose",
        ),
        ("!breakout setup groups of", "how many people to a group: !breakout setup groups of 4"),
        ("!breakout setup groups here", "how many people to a group: !breakout setup groups of 4"),
        ("!breakout setup in groups of.", "how many people to a group: !breakout setup groups of 4"),
        ("!breakout setup Red, red", "red"),
        ("!breakout setup Red, all", "all"),
        ("!breakout setup 4 max 8 auto", "max"),
        ("!breakout setup groups of many", "many"),
        ("!breakout setup manual\nRed: @nobody", "@nobody"),
        ("!breakout setup manual\nRed: @bob\nGreen: @bob", "Bob"),
        ("!breakout setup choose\nRed: @bob\nGreen: @dan", "manual"),
        ("!breakout setupp 4", "Did you mean `!breakout setup 4`"),
    ],
)
async def test_a_refused_setup_says_what_was_wrong_and_changes_nothing(typed: str, said: str) -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        answer = await room.says("@ann", typed)
        assert said.replace("`", "") in answer.replace("`", "")
        assert "broke" not in answer
        assert not talk.rooms_named("Moderators of")


@pytest.mark.parametrize(
    "typed",
    [
        "!breakout status",
        "!breakout status 1",
        "!breakout assign @bob to 1",
        "!breakout swap @bob @cleo",
        "!breakout unassign @bob",
        "!breakout shuffle",
        "!breakout fill",
        "!breakout add Blue",
        "!breakout remove 1",
        "!breakout rename 1 to Blue",
        "!breakout task all Read",
        "!breakout start",
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
        "!breakout delete",
        "!breakout choose 1",
        "!breakout pass",
        "!breakout rejoin",
    ],
)
async def test_without_a_session_every_command_says_how_to_begin(typed: str) -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        answer = await room.says("@ann", typed)
        assert "!breakout setup 4" in answer


async def test_only_moderators_give_moderators_commands_and_are_told_so_once_a_minute() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        assert "Only a moderator" in await room.says("@bob", "!breakout setup 4")
        assert await room.says("@bob", "!breakout setup 4") == ""
        await talk.passes(61)
        assert "Only a moderator" in await room.says("@bob", "!breakout start")


async def test_a_demotion_counts_at_once() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        levels = dict(room.raw.content("m.room.power_levels"))
        levels["users"] = {user: level for user, level in levels["users"].items() if "ann" not in user}
        talk.user("@ann").set_state(room.id, "m.room.power_levels", levels)
        assert "Only a moderator" in await room.says("@ann", "!breakout setup 4")


async def test_rooms_and_seats_are_changed_before_the_start() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup manual Red, Green")
        assert "Red: Bob and Cleo" in await room.says("@ann", "!breakout assign @bob and Cleo to red")
        await room.says("@ann", "!breakout move Dan to Green")
        await room.says("@ann", "!breakout swap @bob @dan")
        assert "Dan" in await room.says("@ann", "!breakout status Red")
        assert "Blue is added as number 3" in await room.says("@ann", "!breakout add Blue")
        assert "Red is now Rose" in await room.says("@ann", "!breakout rename red to Rose")
        assert await room.says("@ann", "!breakout fill") == "1 person has a seat now."
        assert "Blue is removed" in await room.says("@ann", "!breakout remove blue")
        assert "Bob has no seat in Green" in await room.says("@ann", "!breakout remove @bob")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("!breakout assign @bob to Purple", "Red and Green"),
        ("!breakout assign @zoe to Red", "zoe"),
        ("!breakout assign @bob to R", ""),
        ("!breakout swap @bob @bob", ""),
        ("!breakout unassign @eve", "Eve"),
        ("!breakout add red", "red"),
        ("!breakout add Green: blue", ""),
        ("!breakout rename Red to Green", "Green"),
        ("!breakout remove Purple", "Red and Green"),
        ("!breakout choose Red", "choose"),
        ("!breakout timer 5m", "!breakout start"),
        ("!breakout broadcast hi", "!breakout start"),
    ],
)
async def test_a_refused_change_says_what_was_wrong(typed: str, said: str) -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup manual\nRed: @bob @cleo\nGreen: @dan")
        answer = await room.says("@ann", typed)
        assert answer
        assert said in answer
        assert "broke" not in answer


async def test_the_check_in_seats_only_those_who_are_here() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout checkin")
        await room.taps("@bob", "✋", on="✋")
        await room.taps("@cleo", "✋🏽", on="✋")
        await room.taps("@dan", "✋", on="✋")
        await room.untaps("@dan", "✋")
        answer = await room.says("@ann", "!breakout setup 2 here")
        assert "2 of 4 seem to be here. 2 of 4 have a seat." in answer


async def test_the_bare_command_names_the_one_next_step() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        assert "!breakout setup 4" in await room.says("@ann", "! breakout")
        await room.says("@ann", "!breakout setup 2")
        assert "!breakout start 20m" in await room.says("@ann", "!breakout")
        assert "!breakout" not in await room.says("@bob", "!breakout")


async def test_help_lists_what_the_asker_may_run() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        moderators = await room.says("@ann", "!breakout help")
        assert "!breakout setup" in moderators
        participants = await room.says("@bob", "!breakout help")
        assert "!breakout setup" not in participants
        assert "!breakout rejoin" in participants
        assert "20m" in await room.says("@ann", "!breakout help start")
        assert "20m" in await room.says("@ann", "!help start")


async def test_a_moderator_sets_up_anew_from_a_breakout_room() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await at_the_desk(talk)
        red = talk.room_named("Red")
        talk.user("ann").join(red.id)
        await talk.settled()
        assert "End first" in await red.says("@ann", "!breakout setup 2")
        await red.says("@ann", "!breakout end now")
        assert "2 breakout rooms are planned" in await red.says("@ann", "!breakout setup 2")
        assert "Room 1" in await room.says("@ann", "!breakout status")


async def test_a_plan_that_cannot_start_says_so_at_once() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        answer = await room.says("@ann", "!breakout setup 6")
        assert "Try !breakout setup 4" in answer
        assert "Next: !breakout start" not in answer
        answer = await room.says("@ann", "!breakout setup 2 here")
        assert "Nobody has a seat yet" in answer


async def test_numbers_that_are_not_in_a_row_are_said() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup manual Red, Green, Blue")
        assert "The others keep their numbers: 2 Green and 3 Blue." in await room.says("@ann", "!breakout remove red")
        assert "The rooms are 2 Green and 3 Blue" in await room.says("@ann", "!breakout status purple")
        assert "3. Blue has 0 people" in await room.says("@ann", "!breakout status blue")
        assert "3. Blue" in await room.says("@ann", "!breakout status")
        await room.says("@ann", "!breakout setup manual 3")
        assert "The others keep their numbers: Room 2 and Room 3." in await room.says("@ann", "!breakout remove 1")


async def test_where_a_number_is_asked_for_it_is_said() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup manual Team Red, Team Green")
        assert "could be 1 Team Red and 2 Team Green" in await room.says("@ann", "!breakout status team")


async def test_the_board_offers_the_numbers_of_its_rooms_and_no_others() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup Red, Green, Blue choose")
        await room.says("@ann", "!breakout remove red")
        await room.says("@ann", "!breakout status")
        board = room.message("Choose yours")["event_id"]
        offered = [
            event["content"]["m.relates_to"]["key"]
            for event in room.raw.events
            if event["type"] == "m.reaction" and event["content"]["m.relates_to"]["event_id"] == board
        ]
        assert offered == ["2️⃣", "3️⃣"]
        assert "There is no room “1”" in await room.taps("@bob", "1️⃣", on="Choose yours")
        await room.taps("@bob", "3️⃣", on="Choose yours")
        assert "Bob" in await room.says("@ann", "!breakout status blue")


async def test_a_late_joiner_s_choice_has_the_numbers_to_tap() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        desk = await at_the_desk(talk)
        await talk.joins(room, "zoe")
        asked = desk.message("Zoe has come and has no seat")["content"]["body"]
        assert "1 Red" in asked
        assert "2 Green" in asked


async def test_filling_rooms_beyond_their_seats_says_so() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup Red, Green choose max 1")
        answer = await room.says("@ann", "!breakout fill")
        assert "4 people have a seat now." in answer
        assert "Red (2) and Green (2) have more people than the 1 seat" in answer
        await room.says("@ann", "!breakout setup Red, Green choose max 2")
        assert "more people" not in await room.says("@ann", "!breakout fill")


async def test_deleting_a_plan_speaks_of_a_plan() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 4")
        question = await room.says("@ann", "!breakout delete")
        assert question.startswith("Delete the plan of 4 rooms and the desk? No room is made yet; this room is")
        assert "unreachable" not in question
        assert "  " not in question
        assert " \n" not in question
        assert "The plan is gone" in await room.says("@ann", "!breakout delete confirm")


async def test_a_yes_to_what_does_not_wait_says_what_waits() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 2")
        await room.says("@ann", "!breakout delete")
        answer = await room.says("@ann", "!breakout start confirm")
        assert "!breakout delete waits for a yes, not !breakout start" in answer
        assert "!breakout delete confirm" in answer


async def test_moderators_are_never_met_with_silence() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        for _ in range(3):
            assert "!breakout setup 4" in await room.says("@ann", "!breakout start")


@pytest.mark.parametrize(
    ("people", "here", "said"),
    [
        ((), 0, "1 person is in the main room, and nobody takes part."),
        (("bob",), 0, "1 of them takes part. They do not seem to be here. They have a seat."),
        (("bob",), 1, "2 people are in the main room, and 1 of them takes part. They seem to be here."),
        (CLASS, 0, "4 of them take part. None of them seems to be here. All 4 have a seat."),
        (("bob", "cleo"), 0, "2 of them take part. None of them seems to be here. Both have a seat."),
        (("bob", "cleo"), 2, "2 of them take part. Both seem to be here. Both have a seat."),
        (CLASS, 1, "1 of 4 seems to be here."),
        (CLASS, 3, "3 of 4 seem to be here."),
        (CLASS, 4, "All 4 seem to be here."),
    ],
)
async def test_the_numbers_of_a_setup_read_as_sentences(people: tuple[str, ...], here: int, said: str) -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=people)
        for person in people[:here]:
            await room.says(person, "Hello")
        answer = await room.says("@ann", "!breakout setup 1")
        assert said in answer
        assert ("All 4 have a seat." in answer) is (people == CLASS)


async def test_who_asked_for_those_who_are_here_is_told_that_nobody_seems_to_be() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        answer = await room.says("@ann", "!breakout setup 2 here")
        assert "None of them seems to be here. Nobody has a seat yet." in answer
        assert "Whoever is here at the start gets a seat. Ask with !breakout checkin, or seat everybody:" in answer


async def test_with_everyone_the_moderators_take_part() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        assert "5 people are in the main room, and all take part." in await room.says(
            "@ann", "!breakout setup 2 everyone"
        )


@pytest.mark.parametrize(
    ("people", "here", "typed", "mends"),
    [
        ((), (), "setup 3", ["setup 1 everyone"]),
        ((), (), "setup 3 open", ["setup 1 everyone open"]),
        ((), (), "setup 3 here", ["setup 1 everyone here"]),
        ((), (), "setup 3 everyone", ["setup 1 everyone"]),
        (("bob",), (), "setup 3", ["setup 1"]),
        (CLASS, ("bob",), "setup 3 here", ["setup 1 here"]),
        (CLASS, (), "setup 3 here", ["setup 3"]),
        (("bob",), (), "setup 3 here", ["setup 1"]),
        (CLASS, (), "setup 6 everyone", ["setup 5 everyone"]),
    ],
)
async def test_the_command_that_mends_a_start_leads_to_a_start(
    people: tuple[str, ...], here: tuple[str, ...], typed: str, mends: list[str]
) -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=people)
        for person in here:
            await room.says(person, "Hello")
        plan = await room.says("@ann", f"!breakout {typed}")
        refused = await room.says("@ann", "!breakout start")
        for mend in mends:
            assert f"!breakout {mend}." in plan
            assert f"!breakout {mend}." in refused
            await room.says("@ann", f"!breakout {mend}")
        assert "are opening" in await room.says("@ann", "!breakout start")


async def test_one_person_is_one_person_where_rooms_would_stay_empty() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=["bob"])
        await room.says("@ann", "!breakout setup 3")
        assert "there is 1 person for 3 rooms" in await room.says("@ann", "!breakout start")


async def test_an_empty_room_is_removed_where_all_seats_were_given_by_hand() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=[])
        await room.says("@ann", "!breakout setup 2")
        await room.says("@ann", "!breakout assign @ann to 2")
        assert "Try !breakout remove 1." in await room.says("@ann", "!breakout start")
        await room.says("@ann", "!breakout remove 1")
        assert "are opening" in await room.says("@ann", "!breakout start")


async def test_moderators_alone_are_seated_by_hand_in_manual_mode() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=[])
        await room.says("@ann", "!breakout setup 2 manual")
        for typed in ("start", "fill"):
            assert "!breakout assign @ann to 1" in await room.says("@ann", f"!breakout {typed}")


async def test_who_sits_out_is_not_taken_for_nobody() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=["bob"])
        await room.says("@ann", "!breakout setup 1")
        await room.says("@bob", "!breakout pass")
        assert "Those who could take part sit out." in await room.says("@ann", "!breakout start")
        await room.says("@ann", "!breakout setup 1")
        await room.says("@bob", "!breakout rejoin")
        await room.says("@ann", "!breakout unassign @bob")
        assert "!breakout fill" in await room.says("@ann", "!breakout start")


async def test_setup_in_an_empty_hall_says_who_is_seated() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=[])
        answer = await room.says("@ann", "!breakout setup 1")
        assert "Whoever joins this room before the start gets a seat." in answer
        assert "fill" not in answer
        await talk.joins(room, "zoe")
        assert "Zoe" in await room.says("@ann", "!breakout status 1")
        answer = await room.says("@ann", "!breakout setup 1 here")
        assert "Whoever is here at the start gets a seat." in answer


@pytest.mark.parametrize(
    ("typed", "example"),
    [
        ("delete confrm", "Did you mean !breakout delete confirm?"),
        ("prepare 20m", "such as !breakout prepare."),
        ("checkin now", "such as !breakout checkin."),
        ("start confrim", "Did you mean !breakout start confirm?"),
        ("start confirm 5m", "Did you mean !breakout start confirm?"),
        ("end cancle", "Did you mean !breakout end cancel?"),
        ("timer of", "Did you mean !breakout timer off?"),
        ("start soon", "20m"),
    ],
)
async def test_what_a_command_does_not_take_is_answered_with_what_it_takes(typed: str, example: str) -> None:
    async with conversation() as talk:
        room = await planned(talk)
        assert example in await room.says("@ann", f"!breakout {typed}")


async def test_an_unknown_person_lists_the_candidates() -> None:
    async with conversation() as talk:
        room = await talk.main_room(moderators=["ann"], people=["bob", "bobby"])
        await room.says("@ann", "!breakout setup 1")
        assert "Did you mean: Bob, Bobby?" in await room.says("@ann", "!breakout assign bo to 1")
        answer = await room.says("@ann", "!breakout assign @zed to 1")
        assert answer == "Nobody here is called “@zed”. Here are: Ann, Bob, Bobby."


async def test_help_about_what_is_no_command_says_so() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        for typed in ("!breakout help assigm", "!help assigm"):
            answer = await room.says("@ann", typed)
            assert answer.startswith("There is no command “assigm”. Did you mean !breakout help assign?")
        assert "Seats people" in await room.says("@ann", "!breakout help assign")
        answer = await room.says("@ann", "!breakout help foo")
        assert answer.startswith("There is no command “foo”. There are:")
        assert "!breakout setup 4" in answer


async def test_help_about_a_moderator_s_command_says_whose_it_is() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        answer = await room.says("@bob", "!breakout help setup")
        assert answer.startswith("Only a moderator can use !breakout setup.")
        assert "!breakout rejoin" in answer


@pytest.mark.parametrize(
    ("typed", "example"),
    [
        ("rename green to 2", "rename 2 to Team Delta"),
        ("rename red to Gamma: x", "rename 1 to Team Delta"),
        ("add 7", "add Team Gamma"),
        ("add all", "add Team Gamma"),
    ],
)
async def test_a_bad_name_is_answered_with_an_example_of_the_command_that_was_typed(typed: str, example: str) -> None:
    async with conversation() as talk:
        room = await planned(talk)
        answer = await room.says("@ann", f"!breakout {typed}")
        assert answer.endswith(f"Try !breakout {example}.")
        assert "Team" in await room.says("@ann", f"!breakout {example}")


async def test_a_room_too_many_is_not_answered_with_another_plan() -> None:
    async with conversation({"breakout": {"max_rooms": 2}}) as talk:
        room = await planned(talk)
        answer = await room.says("@ann", "!breakout add Blue")
        assert "setup" not in answer
        assert "Room" not in await room.says("@ann", "!breakout rename 2 to Team Delta")


async def test_the_only_room_is_spoken_of_as_one() -> None:
    async with conversation() as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup 1")
        answer = await room.says("@ann", "!breakout status purple")
        assert answer == "There is no room “purple”. The only one is Room 1; its number works too."


@pytest.mark.parametrize("asked", ["groups of 2 everyone", "7 everyone", "A, B everyone"])
async def test_too_many_rooms_are_answered_with_a_plan_for_the_same_people(asked: str) -> None:
    async with conversation({"breakout": {"max_rooms": 1}}) as talk:
        room = await a_class(talk)
        answer = await room.says("@ann", f"!breakout setup {asked}")
        assert "!breakout setup 1 everyone." in answer
        assert "all take part" in await room.says("@ann", "!breakout setup 1 everyone")


async def test_groups_that_have_become_too_many_at_the_start_are_answered_so_too() -> None:
    async with conversation({"breakout": {"max_rooms": 2}}) as talk:
        room = await a_class(talk)
        await room.says("@ann", "!breakout setup groups of 2")
        await talk.joins(room, "zoe")
        await talk.joins(room, "yan")
        assert "!breakout setup 2." in await room.says("@ann", "!breakout start")
        assert "Both" not in await room.says("@ann", "!breakout setup 2")
        assert "are opening" in await room.says("@ann", "!breakout start")

"""What participants say and tap."""

from __future__ import annotations

from typing import Any

from bot.testing.harness import Room, Talk, conversation
from tests.conversation.breakout import a_class, at_the_desk, started, under_way


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
        await room.taps("@bob", "1️⃣", on="Red")
        assert "Bob" in await room.says("@ann", "!breakout status Red")
        await room.taps("@bob", "2️⃣", on="planned")
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
        assert "moderator" in await room.says("@bob", "!breakout rejoin")
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


async def test_a_call_for_help_where_nobody_can_be_called_lists_what_can_be_typed() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        assert "!breakout me" in await room.says("@bob", "!help we are stuck")
        await at_the_desk(talk)
        red = talk.room_named("Red ·")
        talk.user("ann").join(red.id)
        await talk.settled()
        assert "!breakout end" in await red.says("@ann", "!help we need more chalk")


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

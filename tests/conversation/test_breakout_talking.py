"""Texts to the rooms, and help requests from them."""

from __future__ import annotations

from typing import Any

from bot.testing.harness import Room, Talk, conversation
from tests.conversation.breakout import at_the_desk, planned, under_way


def newest(room: Room) -> dict[str, Any]:
    content: dict[str, Any] = room.raw.messages[-1]["content"]
    return content


async def test_a_broadcast_reaches_every_room_with_its_formatting_and_its_sender() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        html = "!breakout broadcast <b>Five</b> more &lt;minutes&gt;"
        receipt = await room.says(
            "@ann",
            "!breakout broadcast **Five** more <minutes>",
            format="org.matrix.custom.html",
            formatted_body=html,
        )
        for color in ("Red", "Green"):
            said = newest(talk.room_named(color))
            assert "Ann" in said["body"]
            assert "Five more <minutes>" in said["body"]
            assert "<b>Five</b> more &lt;minutes&gt;" in said["formatted_body"]
            assert said["m.mentions"] == {"room": True}
            assert said["msgtype"] == "m.text"
        assert "Red" in receipt
        assert "Green" in receipt


async def test_mentions_in_a_broadcast_ping_nobody_in_person() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        html = '!breakout broadcast Ask <a href="https://matrix.to/#/@bob:test">Bob</a>'
        await room.says("@ann", "!breakout broadcast Ask Bob", format="org.matrix.custom.html", formatted_body=html)
        assert "user_ids" not in newest(talk.room_named("Red"))["m.mentions"]
        assert "matrix.to/#/@bob" not in newest(talk.room_named("Red"))["formatted_body"]


async def test_the_receipt_names_who_is_seated_but_not_there() -> None:
    async with conversation() as talk:
        room = await planned(talk)
        await room.says("@ann", "!breakout start")
        talk.user("bob").join(talk.room_named("Red").id)
        await talk.settled()
        receipt = await room.says("@ann", "!breakout announce Hello")
        assert "Cleo" in receipt
        assert "Bob" not in receipt


async def test_a_reply_relays_the_message_that_it_answers() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        image = {"msgtype": "m.image", "url": "mxc://test/abc", "info": {"w": 10}, "m.mentions": {"room": True}}
        original = talk.user("ann").say(room.id, "chart.png", **image)
        await talk.settled()
        relation = {"m.in_reply_to": {"event_id": original}}
        await room.says("@ann", "> <@ann:test> chart.png\n\n!breakout broadcast", **{"m.relates_to": relation})
        for color in ("Red", "Green"):
            said = next(e["content"] for e in talk.room_named(color).raw.messages if e["content"].get("url"))
            assert said["url"] == "mxc://test/abc"
            assert said["msgtype"] == "m.image"
            assert said["m.mentions"] == {}
            assert "m.relates_to" not in said
            line = talk.room_named(color).raw.messages[-2]["content"]
            assert line["body"] == "Ann shows you this:"
            assert line["m.mentions"] == {"room": True}


async def relay(talk: Talk, room: Room, event: str, words: str = "") -> str:
    """Ann broadcasts in reply to an event; returns what the bot answers."""
    relation = {"m.in_reply_to": {"event_id": event}}
    return await room.says("@ann", f"!breakout broadcast {words}", **{"m.relates_to": relation})


async def test_relayed_words_carry_the_name_of_who_wrote_them() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        red = talk.room_named("Red")
        html = {"format": "org.matrix.custom.html", "formatted_body": "read <b>this</b>"}
        await relay(talk, room, talk.user("ann").say(room.id, "read this", **html))
        assert "Ann" in red.said[-1]
        assert "passed on" not in red.said[-1]
        assert "<b>this</b>" in newest(red)["formatted_body"]
        assert newest(red)["m.mentions"] == {"room": True}
        await relay(talk, room, talk.user("bob").say(room.id, "my idea"))
        assert "Bob" in red.said[-1]
        assert "passed on by Ann: my idea" in red.said[-1]


async def test_words_and_the_message_that_they_answer_both_go_out() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        original = talk.user("ann").say(room.id, "chart.png", msgtype="m.image", url="mxc://test/abc")
        receipt = await relay(talk, room, original, "Look at this")
        assert receipt.count("Red") == 1
        for color in ("Red", "Green"):
            assert "Look at this" in talk.room_named(color).said[-2]
            assert newest(talk.room_named(color))["url"] == "mxc://test/abc"


async def test_a_picture_of_somebody_else_carries_both_names() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        red = talk.room_named("Red")
        original = talk.user("bob").say(room.id, "chart.png", msgtype="m.image", url="mxc://test/abc")
        receipt = await relay(talk, room, original)
        assert red.said[-2:] == ["Bob sent this, passed on by Ann:", "chart.png"]
        assert receipt.count("Red") == 1
        await relay(talk, room, original, "Look at this")
        assert red.said[-3:] == ["Ann: Look at this", "Bob sent this, passed on by Ann:", "chart.png"]
        talk.user("bob").redact(room.id, original)
        await talk.settled()
        assert not any("Bob sent this" in said for said in red.said)


async def test_an_edited_message_is_relayed_as_it_reads_now() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        original = talk.user("ann").say(room.id, "read page 3")
        talk.user("ann").edit(room.id, original, "read page 5")
        await relay(talk, room, original)
        assert "read page 5" in talk.room_named("Red ·").said[-1]


async def test_an_answer_to_the_bot_does_not_relay_the_bot() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await relay(talk, room, room.message("Breakout rooms are open")["event_id"], "Well begun")
        assert "Well begun" in talk.room_named("Red").said[-1]
        assert not any("Breakout rooms are open" in said for said in talk.room_named("Red").said)


async def test_a_poll_is_relayed_as_it_is() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        poll = {"m.poll": {"question": {"m.text": [{"body": "Lunch?"}]}}, "m.text": [{"body": "Lunch?"}]}
        original = talk.user("ann").send(room.id, "m.poll.start", poll)
        await relay(talk, room, original)
        copies = [e for e in talk.room_named("Red").raw.events if e["type"] == "m.poll.start"]
        assert [copy["content"]["m.poll"] for copy in copies] == [poll["m.poll"]]


async def test_what_nobody_could_read_is_not_relayed() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        red = talk.room_named("Red")
        before = len(red.raw.events)
        redacted = talk.user("bob").say(room.id, "oh no")
        talk.user("bob").redact(room.id, redacted)
        encrypted = talk.user("bob").send(room.id, "m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2"})
        state = next(e["event_id"] for e in room.raw.events if e["type"] == "m.room.power_levels")
        for event in (redacted, encrypted, state):
            assert "I cannot read that message" in await relay(talk, room, event)
        assert len(red.raw.events) == before
        answer = await relay(talk, room, redacted, "See above")
        assert "I cannot read that message" in answer
        assert "Said in" in answer
        assert "See above" in red.said[-1]


async def test_redacting_the_original_redacts_the_copies() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout broadcast Oops")
        original = next(e for e in room.raw.messages if "Oops" in e["content"].get("body", ""))
        talk.user("ann").redact(room.id, original["event_id"])
        await talk.settled()
        for color in ("Red", "Green"):
            assert not any("Oops" in said for said in talk.room_named(color).said)


async def test_tell_speaks_to_one_room() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout tell red: five more")
        assert "five more" in talk.room_named("Red").said[-1]
        assert not any("five more" in said for said in talk.room_named("Green").said)


async def test_a_broadcast_needs_words_or_a_message() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        assert "!breakout broadcast" in await room.says("@ann", "!breakout broadcast")
        assert "!breakout tell" in await room.says("@ann", "!breakout tell Red")


async def test_a_broadcast_works_from_a_breakout_room_and_from_the_desk() -> None:
    async with conversation() as talk:
        await under_way(talk)
        desk = await at_the_desk(talk)
        red = talk.room_named("Red")
        talk.user("ann").join(red.id)
        await talk.settled()
        await red.says("@ann", "!breakout say From red")
        await desk.says("@ann", "!breakout say From the desk")
        green = talk.room_named("Green")
        assert any("From red" in said for said in green.said)
        assert any("From the desk" in said for said in green.said)


async def test_help_goes_to_the_main_room_without_its_text_while_nobody_is_at_the_desk() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        red = talk.room_named("Red")
        answer = await red.says("@bob", "!help we are lost")
        assert "!help cancel" in answer
        assert "!commands" in answer
        asked = room.raw.messages[-1]["content"]
        assert "Bob" in asked["body"]
        assert "Red" in asked["body"]
        assert "lost" not in asked["body"]
        assert asked["m.mentions"]["user_ids"] == ["@ann:test"]


async def test_help_goes_to_the_desk_with_its_text() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        desk = await at_the_desk(talk)
        before = len(room.raw.messages)
        await talk.room_named("Red").says("@bob", "!help we are lost")
        asked = next(e["content"] for e in desk.raw.messages if "lost" in e["content"].get("body", ""))
        assert asked["m.mentions"]["user_ids"] == ["@ann:test"]
        assert talk.room_named("Red").id in asked["formatted_body"].replace("%21", "!")
        assert not any("lost" in e["content"]["body"] for e in room.raw.messages[before:])


async def test_a_claim_tells_the_room_who_is_coming() -> None:
    async with conversation() as talk:
        await under_way(talk)
        desk = await at_the_desk(talk)
        red = talk.room_named("Red")
        await red.says("@bob", "!help we are lost")
        await desk.taps("@ann", "👀", on="lost")
        assert "Ann" in red.said[-1]
        await desk.untaps("@ann", "👀")
        assert "Red" in await desk.says("@ann", "!breakout queue")
        assert "Red" in await desk.says("@ann", "!breakout claim 1")
        await desk.says("@ann", "!breakout resolve 1")
        assert "Nobody" in await desk.says("@ann", "!breakout queue")


async def test_a_moderator_who_writes_there_has_answered() -> None:
    async with conversation() as talk:
        await under_way(talk)
        desk = await at_the_desk(talk)
        red = talk.room_named("Red")
        await red.says("@bob", "!help")
        talk.user("ann").join(red.id)
        await red.says("@ann", "Here I am")
        assert "Nobody" in await desk.says("@ann", "!breakout queue")


async def test_an_old_request_s_controls_do_nothing_to_a_new_one() -> None:
    async with conversation() as talk:
        await under_way(talk)
        desk = await at_the_desk(talk)
        red = talk.room_named("Red")
        await red.says("@bob", "!help the first")
        await desk.says("@ann", "!breakout resolve 1")
        await talk.passes(30)
        await red.says("@bob", "!help the second")
        await desk.taps("@ann", "✅", on="the first")
        assert "Red" in await desk.says("@ann", "!breakout queue")


async def test_a_raised_hand_on_the_welcome_asks_for_help_and_is_taken_back() -> None:
    async with conversation() as talk:
        await under_way(talk)
        desk = await at_the_desk(talk)
        red = talk.room_named("Red")
        answer = await red.taps("@bob", "🙋🏾‍♀️", on="!help")
        assert "The moderators are told" in answer
        assert "!help cancel, or taking your 🙋 back, withdraws it" in answer
        assert "Red" in await desk.says("@ann", "!breakout queue")
        await red.untaps("@bob", "🙋🏾‍♀️")
        assert red.said[-1] == "Your request is taken back."
        assert "Nobody" in await desk.says("@ann", "!breakout queue")


async def test_help_is_withdrawn_in_words_and_has_a_cool_down() -> None:
    async with conversation() as talk:
        await under_way(talk)
        red = talk.room_named("Red")
        await red.says("@bob", "!help")
        assert "second" in await red.says("@bob", "!help")
        assert "taken back" in await red.says("@bob", "!help cancel")
        await talk.passes(61)
        nothing = "Red has not asked for help, so there is nothing to take back."
        assert await red.says("@bob", "!help cancel") == nothing


async def test_nobody_has_come_is_said_once_more() -> None:
    async with conversation() as talk:
        await under_way(talk)
        desk = await at_the_desk(talk)
        red = talk.room_named("Red")
        await red.says("@bob", "!help we are lost")
        said_in_red, said_at_desk = len(red.said), len(desk.said)
        await talk.passes(181)
        assert len(red.said) == said_in_red + 1
        assert len(desk.said) == said_at_desk + 1


async def test_a_visit_gives_a_link_and_goes_where_nobody_was_longest() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        assert "Red" in await room.says("@ann", "!breakout visit red")
        await talk.passes(1)
        assert "Green" in await room.says("@ann", "!breakout visit next")


async def test_the_room_commands_answer_in_the_room() -> None:
    async with conversation() as talk:
        room = await under_way(talk, "!breakout start 20m")
        red = talk.room_named("Red")
        assert "20 minutes" in await red.says("@bob", "!time")
        assert "Class 7b" in await red.says("@bob", "!back")
        await talk.passes(10)
        assert "Bob (in the main room)" in await room.says("@ann", "!breakout status red")
        assert "1 of 2 here, 1 in the main room" in await room.says("@ann", "!breakout status")
        assert "Bob" not in await room.says("@ann", "!breakout broadcast Hello")
        await red.says("@bob", "I am here again")
        assert "Bob (in the main room)" not in await room.says("@ann", "!breakout status red")
        commands = await red.says("@bob", "!commands")
        assert "!time" in commands
        assert "!breakout setup" not in commands


async def test_the_second_call_for_help_can_be_tapped_too() -> None:
    async with conversation() as talk:
        await under_way(talk)
        desk = await at_the_desk(talk)
        red = talk.room_named("Red")
        await red.says("@bob", "!help we are lost")
        await talk.passes(181)
        await desk.taps("@ann", "👀", on="still waits")
        assert "Ann is coming" in red.said[-1]


async def test_a_request_that_is_closed_is_said_once() -> None:
    async with conversation() as talk:
        await under_way(talk)
        desk = await at_the_desk(talk)
        await talk.room_named("Red").says("@bob", "!help we are lost")
        said = await desk.says("@ann", "!breakout resolve 1")
        assert said.count("closed") == 1


async def test_a_moderator_who_is_not_at_the_desk_is_invited_to_the_room_of_a_visit_or_claim() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        red, green = talk.room_named("Red"), talk.room_named("Green")
        assert "invitation" in await room.says("@ann", "!breakout visit green")
        assert green.invited == {"ann"}
        talk.user("ann").leave(green.id)
        await talk.passes(30)
        assert green.invited == set()
        await red.says("@bob", "!help")
        await room.taps("@ann", "👀", on="asks for help")
        assert red.invited == {"ann"}


async def test_a_moderator_at_the_desk_needs_no_invitation() -> None:
    async with conversation() as talk:
        await under_way(talk)
        desk = await at_the_desk(talk)
        assert "invitation" not in await desk.says("@ann", "!breakout visit red")
        red = talk.room_named("Red")
        assert red.invited == set()
        talk.user("ann").join(red.id)
        await talk.settled()
        assert "ann" in red.joined


async def test_a_sign_behind_a_command_s_word_does_not_matter() -> None:
    async with conversation() as talk:
        room = await under_way(talk)
        await room.says("@ann", "!breakout broadcast: Ten more minutes")
        assert "Ten more minutes" in talk.room_named("Red").said[-1]
        await room.says("@ann", "!breakout tell, red: come back")
        assert talk.room_named("Red").said[-1].endswith("come back")
        assert "There is no room “hi”" in await room.says("@ann", "!breakout tell: hi")

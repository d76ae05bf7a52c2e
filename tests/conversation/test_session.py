"""A whole session, as a moderator and the participants live through it."""

from __future__ import annotations

from bot.testing.harness import conversation


async def test_a_session_from_setup_to_delete() -> None:
    async with conversation() as talk:
        main = await talk.main_room(moderators=["mia"], people=["ann", "bob", "cleo", "dan"])
        await main.says("@mia", "!breakout setup 2")
        await main.says("@mia", "!breakout start 20m")
        one, two = talk.room_named("Room 1"), talk.room_named("Room 2")
        assert one.invited | two.invited == {"ann", "bob", "cleo", "dan"}
        for room in (one, two):
            for name in sorted(room.invited):
                talk.user(name).join(room.id)
        await talk.settled()
        await main.says("@mia", "!breakout broadcast Hello <all>")
        await main.says("@mia", "!breakout end")
        await talk.passes(125)
        assert one.joined == set()
        await main.says("@mia", "!breakout delete")
        await main.taps("@mia", "✅", "Delete")
        assert one.raw.joined == set()

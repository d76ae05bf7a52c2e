"""The documentation's example plugin says what its page says."""

from __future__ import annotations

from bot.testing.harness import conversation


async def test_a_greeting_shows_who_is_greeted() -> None:
    async with conversation({"hello": {}}) as talk:
        room = await talk.main_room(moderators=["alice"])
        assert await room.says("@alice", "!hello big <world>") == "Hello big <world>!"
        assert await room.says("@alice", "!hello big <world>") == "Hello big <world>, for the 2. time!"


async def test_what_is_no_command_gets_no_answer() -> None:
    async with conversation({"hello": {}}) as talk:
        room = await talk.main_room(moderators=["alice"])
        assert await room.says("@alice", "hello") == ""
        assert await room.says("@alice", "!weather") == ""
        assert await room.says("@alice", "!hello", msgtype="m.notice") == ""


async def test_a_command_typed_before_the_bot_came_is_history() -> None:
    async with conversation({"hello": {}}) as talk:
        admin = talk.user("admin")
        room = admin.create_room("Class", version="11")
        admin.say(room, "!hello")
        talk.server.invite(admin.id, room, talk.homeserver.me, "")
        await talk.settled()
        assert not [e for e in talk.server.room(room).messages if e["sender"] == talk.homeserver.me]

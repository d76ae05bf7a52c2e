"""People who are moved into their rooms without a tap, where the bot may do that."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from bot.errors import Permanent
from bot.matrix.ids import UserId
from bot.testing.fake import FakeUser
from bot.testing.harness import Room, Talk, conversation
from tests.conversation.breakout import a_class, planned, started

MOVED = {"breakout": {"members": "force_join"}}


@pytest_asyncio.fixture
async def talk() -> AsyncIterator[Talk]:
    """A homeserver whose admins made the bot one of them."""
    async with conversation(MOVED) as talk:
        talk.server.admins.add(talk.homeserver.me)
        yield talk


async def test_at_the_start_everybody_is_in_without_a_tap(talk: Talk) -> None:
    room = await started(talk)
    assert talk.room_named("Red").joined == {"bob", "cleo"}
    assert talk.room_named("Green").joined == {"dan", "eve"}
    assert "2 of 2 here" in await room.says("@ann", "!breakout status")
    assert not any("accept" in said for said in room.said)
    assert any("You are taken to your room" in said for said in room.said)


async def test_the_welcome_names_those_who_were_brought_in(talk: Talk) -> None:
    await started(talk)
    (welcome,) = [said for said in talk.room_named("Red").said if "Welcome" in said]
    assert "Bob" in welcome
    assert "Cleo" in welcome


async def test_who_is_assigned_elsewhere_is_moved_there_at_once(talk: Talk) -> None:
    room = await started(talk)
    await talk.passes(1)
    await room.says("@ann", "!breakout assign @bob to Green")
    assert talk.room_named("Green").joined == {"bob", "dan", "eve"}
    assert talk.room_named("Red").joined == {"cleo"}
    assert not any("please go to" in said for said in talk.room_named("Red").said)
    welcome = talk.room_named("Green").message("Bob has come")
    assert welcome["content"]["m.mentions"] == {"user_ids": [talk.user("bob").id]}
    assert welcome["content"]["msgtype"] == "m.text"


async def test_who_went_back_by_themselves_is_not_brought_in_again(talk: Talk) -> None:
    room = await started(talk)
    talk.user("bob").leave(talk.room_named("Red").id)
    await talk.settled()
    await talk.passes(120)
    assert talk.room_named("Red").joined == {"cleo"}
    await room.says("@bob", "!breakout rejoin")
    assert talk.room_named("Red").joined == {"bob", "cleo"}


async def test_a_late_joiner_is_brought_in(talk: Talk) -> None:
    room = await a_class(talk)
    await room.says("@ann", "!breakout setup 2")
    await room.says("@ann", "!breakout start")
    await talk.joins(room, "@lea")
    assert any("lea" in one.joined for one in talk.rooms_named("Room"))
    assert any("Lea, welcome: you are taken to your breakout room" in said for said in room.said)


async def test_people_of_other_servers_get_an_invitation(talk: Talk) -> None:
    room = await a_class(talk)
    zoe = FakeUser(talk.server, UserId("@zoe:elsewhere"))
    talk.server.invite(talk.user("ann").id, room.id, zoe.id, "")
    zoe.join(room.id)
    await talk.settled()
    await room.says("@ann", "!breakout setup 1")
    await room.says("@ann", "!breakout start")
    assert talk.server.room(talk.room_named("Room 1").id).membership(zoe.id) == "invite"


async def test_where_the_bot_is_no_admin_everybody_is_invited() -> None:
    async with conversation(MOVED) as talk:
        room = await started(talk)
        assert talk.room_named("Red").invited == {"bob", "cleo"}
        talk.user("bob").join(talk.room_named("Red").id)
        await talk.settled()
        assert "1 of 2 here" in await room.says("@ann", "!breakout status")
        refused = [call for call in talk.homeserver.calls if call[0] == "bring_in"]
        await talk.passes(600)
        assert [call for call in talk.homeserver.calls if call[0] == "bring_in"] == refused, "asked once each"


async def test_who_cannot_be_brought_in_is_invited_and_the_others_come(talk: Talk) -> None:
    room = await planned(talk)
    bob = talk.user("bob").id
    gone = Permanent(404, "M_NOT_FOUND", "User not found")
    talk.homeserver.fail("bring_in", gone, times=100, when=lambda _room, user: user == bob)
    await room.says("@ann", "!breakout assign @bob to Green")
    await room.says("@ann", "!breakout start")
    assert talk.room_named("Green").joined == {"dan", "eve"}
    assert talk.room_named("Green").invited == {"bob"}


async def test_a_bot_whose_invite_is_accepted_for_it_greets(talk: Talk) -> None:
    ann = talk.user("ann")
    room = Room(talk, ann.create_room("Class 7b", invite=[talk.homeserver.me]))
    talk.server.join(talk.homeserver.me, room.id)
    await talk.settled()
    assert len([said for said in room.said if "setup 4" in said]) == 1
    await talk.passes(60)
    assert len(room.said) == 1


async def test_a_bot_whose_invite_is_accepted_for_it_leaves_where_its_admins_do_not_want_it() -> None:
    async with conversation(allowed_inviters=["@boss:*"]) as talk:
        room = talk.user("ann").create_room("Class 7b", invite=[talk.homeserver.me])
        talk.server.join(talk.homeserver.me, room)
        await talk.settled()
        assert talk.server.room(room).membership(talk.homeserver.me) == "leave"

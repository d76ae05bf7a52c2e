"""What befalls the main room and the rooms beside the session: upgrades, removals of the bot, people who all go."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.errors import Permanent
from bot.matrix.ids import RoomId
from bot.testing.harness import Room, Talk, conversation
from tests.conversation.breakout import CLASS, a_class, at_the_desk, started, under_way

COME_ALONG = "have come along to this room"


def times(room: Room, part: str) -> int:
    """How often the bot said something there."""
    return sum(part in said for said in room.said)


async def upgraded(talk: Talk, old: Room, *, invites_bot: bool = True) -> Room:
    """The main room replaced by an admin of the server, who invites everybody, the bot too."""
    admin = talk.user("root")
    levels = dict(old.raw.content("m.room.power_levels"))
    levels["users"] = {**levels["users"], admin.id: 100}
    talk.server._append(old.raw, old.raw.creator, "m.room.power_levels", levels, "")
    talk.server._member(old.raw, admin.id, admin.id, "join")
    new = admin.upgrade(old.id, "11")
    await talk.settled()
    for person in ("ann", *CLASS):
        admin.invite(new, talk.user(person).id)
    if invites_bot:
        admin.invite(new, talk.homeserver.me)
    await talk.settled()
    return Room(talk, new)


async def test_the_session_comes_along_to_the_room_that_replaces_the_main_room() -> None:
    async with conversation() as talk:
        old = await under_way(talk, "!breakout start 20m")
        desk, red = await at_the_desk(talk), talk.room_named("Red ·")
        rooms = len(talk.server.rooms)
        new = await upgraded(talk, old)
        assert len(talk.server.rooms) == rooms + 1
        assert times(new, COME_ALONG) == 1
        assert times(new, "setup 4") == 0
        assert "2 of 2 here" in new.said[-1]
        assert red.joined == {"bob", "cleo"}
        assert desk.joined == {"ann"}
        assert red.raw.content("org.breakoutbot.room")["main"] == new.id
        assert desk.raw.content("org.breakoutbot.room")["main"] == new.id
        for person in ("ann", *CLASS):
            talk.user(person).join(new.id)
        await talk.settled()
        assert red.joined == {"bob", "cleo"}
        assert "in 25 minutes" in await new.says("@ann", "!breakout extend 5m")
        assert "Said in 2 rooms" in await desk.says("@ann", "!breakout broadcast Hello")
        assert "moderators are told" in await red.says("@bob", "!help")
        await new.says("@ann", "!breakout end now")
        assert red.joined == set()
        assert times(new, "everybody is back here") == 1
        assert str(new.id) in red.message("This room is closed")["content"]["body"]


async def test_until_somebody_has_come_membership_of_the_old_room_counts_for_a_day() -> None:
    async with conversation() as talk:
        old = await under_way(talk)
        red = talk.room_named("Red ·")
        new = await upgraded(talk, old)
        assert "Said in 2 rooms" in await old.says("@ann", "!breakout broadcast Hello")
        talk.user("ann").join(new.id)
        talk.user("bob").join(new.id)
        await talk.settled()
        await talk.passes(timedelta(minutes=5))
        assert red.joined == {"bob", "cleo"}
        talk.clock.advance(timedelta(hours=11))
        await talk.settled()
        await new.says("@ann", "!breakout end now")
        await new.says("@ann", "!breakout start")
        assert red.invited == {"bob", "cleo"}
        talk.clock.advance(timedelta(hours=11))
        await talk.settled()
        assert red.invited == {"bob", "cleo"}
        talk.clock.advance(timedelta(hours=2))
        await talk.settled()
        await talk.passes(5)
        assert "cleo" not in red.invited | red.joined
        assert talk.homeserver.me not in old.raw.joined


async def test_who_leaves_the_old_room_without_having_come_leaves_the_session() -> None:
    async with conversation() as talk:
        old = await under_way(talk)
        red = talk.room_named("Red ·")
        new = await upgraded(talk, old)
        talk.user("bob").leave(old.id)
        talk.user("cleo").join(new.id)
        talk.user("cleo").leave(old.id)
        await talk.settled()
        assert red.joined == {"cleo"}
        talk.user("cleo").leave(new.id)
        await talk.settled()
        assert red.joined == set()


async def test_who_comes_over_is_no_late_joiner() -> None:
    async with conversation() as talk:
        old = await started(talk)
        await talk.joins(old, "fay")
        new = await upgraded(talk, old)
        for person in ("fay", "gus"):
            talk.user("root").invite(new.id, talk.user(person).id)
            talk.user(person).join(new.id)
        await talk.settled()
        assert times(old, "Fay has come and has no seat") == 1
        assert times(new, "Fay has come and has no seat") == 0
        assert times(new, "Gus has come and has no seat") == 1


async def test_the_rules_of_the_rooms_name_the_new_room_first() -> None:
    async with conversation() as talk:
        old = await a_class(talk)
        await old.says("@ann", "!breakout setup Red, Green choose")
        await old.says("@ann", "!breakout start")
        red, desk = talk.room_named("Red ·"), talk.room_named("Moderators of")
        new = await upgraded(talk, old)
        allowed = [rule["room_id"] for rule in red.raw.content("m.room.join_rules")["allow"]]
        assert allowed == [desk.id, new.id, old.id]
        talk.user("bob").join(red.id)
        await talk.settled()
        assert "Bob" in await old.says("@ann", "!breakout status Red")
        talk.user("cleo").join(new.id)
        await new.taps("@cleo", "2️⃣", on="Breakout rooms are open")
        assert "cleo" in talk.room_named("Green ·").invited


async def test_where_the_bot_may_not_follow_it_asks_once_for_an_invite() -> None:
    async with conversation() as talk:
        old = await under_way(talk)
        new = await upgraded(talk, old, invites_bot=False)
        await old.says("@ann", "!breakout status")
        assert times(old, "Please invite me there") == 1
        assert "Said in 2 rooms" in await old.says("@ann", "!breakout broadcast Hello")
        talk.user("root").invite(new.id, talk.homeserver.me)
        await talk.settled()
        assert times(new, COME_ALONG) == 1
        assert talk.room_named("Red ·").joined == {"bob", "cleo"}


async def test_a_tombstone_that_names_a_room_that_does_not_replace_this_one_is_not_followed() -> None:
    async with conversation() as talk:
        old = await under_way(talk)
        admin = talk.user("root")
        other = admin.create_room("Elsewhere", version="11")
        admin.invite(other, talk.homeserver.me)
        await talk.settled()
        talk.server._append(old.raw, old.raw.creator, "m.room.tombstone", {"replacement_room": other}, "")
        await talk.settled()
        assert "Said in 2 rooms" in await old.says("@ann", "!breakout broadcast Hello")
        assert talk.room_named("Red ·").raw.content("org.breakoutbot.room")["main"] == old.id

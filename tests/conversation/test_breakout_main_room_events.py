"""What befalls the main room and the rooms beside the session: upgrades, removals of the bot, people who all go."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.errors import Permanent, Temporary
from bot.testing.clock import FakeClock
from bot.testing.fake import FakeHomeserver, FakeServer, FakeUser
from bot.testing.harness import Room, Talk, conversation, life
from tests.conversation.breakout import CLASS, a_class, at_the_desk, started, under_way

COME_ALONG = "have come along to this room"


def times(room: Room, part: str) -> int:
    """How often the bot said something there."""
    return sum(part in said for said in room.said)


def strong(talk: Talk, room: Room) -> FakeUser:
    """Somebody who is in the room with more power than the bot."""
    root = talk.user("root")
    levels = dict(room.raw.content("m.room.power_levels"))
    levels["users"] = {**levels["users"], root.id: 101}
    talk.server._append(room.raw, room.raw.creator, "m.room.power_levels", levels, "")
    talk.server._member(room.raw, root.id, root.id, "join")
    return root


async def upgraded(talk: Talk, old: Room, *, invites_bot: bool = True) -> Room:
    """The main room replaced by an admin of the server, who invites everybody, the bot too."""
    admin = strong(talk, old)
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
    async with conversation({"breakout": {"max_duration": "3 days"}}) as talk:
        old = await under_way(talk)
        red = talk.room_named("Red ·")
        new = await upgraded(talk, old)
        assert "Said in 2 rooms" in await old.says("@ann", "!breakout broadcast Hello")
        talk.user("ann").join(new.id)
        talk.user("bob").join(new.id)
        await talk.settled()
        await talk.passes(timedelta(minutes=5))
        assert red.joined == {"bob", "cleo"}
        talk.clock.advance(timedelta(hours=23))
        await talk.settled()
        assert red.joined == {"bob", "cleo"}
        talk.clock.advance(timedelta(hours=1))
        await talk.settled()
        assert red.joined == {"bob"}
        assert talk.homeserver.me not in old.raw.joined
        assert "Cleo" not in await new.says("@ann", "!breakout status Red")


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


async def test_a_replacement_that_cannot_be_entered_for_now_stops_no_session() -> None:
    async with conversation() as talk:
        old = await under_way(talk, "!breakout start 20m")
        talk.homeserver.fail("join", Temporary("its server does not answer"), times=10**9)
        new = await upgraded(talk, old)
        await talk.passes(timedelta(minutes=10))
        assert "Said in 2 rooms" in await old.says("@ann", "!breakout broadcast Hello")
        await talk.passes(timedelta(minutes=11))
        assert talk.room_named("Red ·").joined == set()
        talk.homeserver.faults.clear()
        await talk.passes(timedelta(minutes=1))
        assert times(new, COME_ALONG) == 1


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


async def test_an_upgrade_while_the_bot_is_away_is_followed_when_it_is_back(tmp_path: Path) -> None:
    said = await _upgraded_while_away(tmp_path / "kept", tmp_path / "kept")
    assert sum(COME_ALONG in text for text in said) == 1


async def test_a_store_lost_with_the_main_room_upgraded_is_found_again_in_the_new_room(tmp_path: Path) -> None:
    said = await _upgraded_while_away(tmp_path / "lost", tmp_path / "new")
    assert sum("I have lost my notes" in text for text in said) == 1


async def _upgraded_while_away(before: Path, after: Path) -> list[str]:
    """What was said in the old and the new room."""
    server = FakeServer(FakeClock())
    homeserver = FakeHomeserver(server)
    async with life(server, homeserver, before) as talk:
        old = await under_way(talk)
        root = strong(talk, old)
    new_id = root.upgrade(old.id, "11")
    root.invite(new_id, homeserver.me)
    async with life(server, homeserver, after) as talk:
        new, red = Room(talk, new_id), talk.room_named("Red ·")
        assert times(new, "setup 4") == 0
        assert red.joined == {"bob", "cleo"}
        assert "Said in 2 rooms" in await Room(talk, old.id).says("@ann", "!breakout broadcast Hello")
        await Room(talk, old.id).says("@ann", "!breakout end now")
        assert red.joined == set()
        return [*Room(talk, old.id).said, *new.said]


@pytest.mark.parametrize("banned", [False, True], ids=["removed", "banned"])
async def test_where_the_bot_is_taken_out_of_the_main_room_everybody_is_told_in_their_rooms(*, banned: bool) -> None:
    async with conversation() as talk:
        main = await under_way(talk)
        desk, red = await at_the_desk(talk), talk.room_named("Red ·")
        root = strong(talk, main)
        (root.ban if banned else root.kick)(main.id, talk.homeserver.me)
        await talk.settled()
        assert red.joined == desk.joined == set()
        assert times(red, "This room is closed") == 1
        assert str(main.id) in red.message("This room is closed")["content"]["body"]
        assert times(desk, "@root:test has removed me from") == 1
        for room in talk.server.rooms.values():
            assert talk.homeserver.me not in room.joined
        if not banned:
            root.invite(main.id, talk.homeserver.me)
            await talk.settled()
            assert "No breakout rooms are set up" in await main.says("@ann", "!breakout status")
            assert "planned" in await main.says("@ann", "!breakout setup 2")
            assert talk.room_named("Moderators of").id != desk.id


async def test_a_session_that_has_ended_says_nothing_more_in_its_rooms_when_the_bot_is_taken_out() -> None:
    async with conversation() as talk:
        main = await under_way(talk)
        await main.says("@ann", "!breakout end now")
        red = talk.room_named("Red ·")
        before = len(red.said)
        strong(talk, main).kick(main.id, talk.homeserver.me)
        await talk.settled()
        assert len(red.said) == before
        assert talk.homeserver.me not in red.raw.joined


async def test_a_lost_desk_is_made_anew_and_opens_the_rooms() -> None:
    async with conversation() as talk:
        await under_way(talk)
        desk, red = await at_the_desk(talk), talk.room_named("Red ·")
        talk.server.leave(talk.homeserver.me, desk.id)
        await talk.settled()
        new = talk.room_named("Moderators of")
        assert new.id != desk.id
        assert new.invited == {"ann"}
        assert [rule["room_id"] for rule in red.raw.content("m.room.join_rules")["allow"]] == [new.id]
        assert red.joined == {"bob", "cleo"}
        talk.user("ann").join(new.id)
        talk.user("ann").join(red.id)
        await talk.settled()
        assert "Said in 2 rooms" in await new.says("@ann", "!breakout broadcast Hello")


async def test_people_of_a_room_that_the_bot_is_taken_out_of_are_called_to_the_new_one() -> None:
    async with conversation() as talk:
        main = await under_way(talk)
        red = talk.room_named("Red ·")
        talk.server.leave(talk.homeserver.me, red.id)
        await talk.settled()
        new = talk.room_named("Red ·")
        assert new.id != red.id
        assert new.invited == {"bob", "cleo"}
        call = main.message("I was taken out of Red")["content"]
        assert call["m.mentions"]["user_ids"] == ["@bob:test", "@cleo:test"]
        assert times(main, "I was taken out of Red") == 1
        assert times(new, "Welcome to") == 1


async def test_a_moderator_can_neither_upgrade_a_room_nor_take_the_bot_out_of_it() -> None:
    async with conversation() as talk:
        await under_way(talk)
        red, desk = talk.room_named("Red ·"), await at_the_desk(talk)
        ann = talk.user("ann")
        ann.join(red.id)
        for room in (red, desk):
            with pytest.raises(Permanent):
                ann.upgrade(room.id)
            with pytest.raises(Permanent):
                ann.kick(room.id, talk.homeserver.me)


async def test_without_a_moderator_people_are_told_once_when_it_ends() -> None:
    async with conversation() as talk:
        main = await under_way(talk, "!breakout start 20m")
        desk, red = await at_the_desk(talk), talk.room_named("Red ·")
        talk.user("ann").leave(main.id)
        await talk.settled()
        await talk.passes(60)
        assert times(main, "No moderator is here any more") == 1
        assert "14:20" in main.message("No moderator is here any more")["content"]["body"]
        assert desk.joined == set()
        assert red.joined == {"bob", "cleo"}
        await talk.passes(timedelta(minutes=20))
        assert red.joined == set()


async def test_a_guest_whom_a_moderator_invites_may_stay_until_the_end() -> None:
    async with conversation() as talk:
        main = await under_way(talk)
        desk, red = await at_the_desk(talk), talk.room_named("Red ·")
        talk.user("ann").join(red.id)
        zoe = talk.user("zoe")
        talk.user("ann").invite(red.id, zoe.id)
        await talk.settled()
        assert red.invited == {"zoe"}
        assert times(desk, "a guest there until the rooms close") == 1
        zoe.join(red.id)
        await talk.settled()
        await talk.passes(60)
        assert red.joined == {"ann", "bob", "cleo", "zoe"}
        await main.says("@ann", "!breakout end now")
        assert red.joined == {"ann"}
        await main.says("@ann", "!breakout start")
        assert red.invited == {"bob", "cleo"}


async def test_a_guest_who_has_gone_comes_in_again_by_another_invite_only() -> None:
    async with conversation() as talk:
        await under_way(talk)
        await at_the_desk(talk)
        red, ann, zoe = talk.room_named("Red ·"), talk.user("ann"), talk.user("zoe")
        ann.join(red.id)
        ann.invite(red.id, zoe.id)
        zoe.join(red.id)
        zoe.leave(red.id)
        await talk.settled()
        with pytest.raises(Permanent):
            zoe.join(red.id)
        ann.invite(red.id, zoe.id)
        await talk.settled()
        assert red.invited == {"zoe"}


async def test_who_is_banned_from_the_main_room_is_nobody_s_guest() -> None:
    async with conversation() as talk:
        main = await under_way(talk)
        await at_the_desk(talk)
        red, ann = talk.room_named("Red ·"), talk.user("ann")
        ann.join(red.id)
        ann.ban(main.id, "@zoe:test")
        ann.invite(red.id, talk.user("zoe").id)
        await talk.settled()
        assert red.raw.membership("@zoe:test") == "ban"


async def test_a_session_that_everybody_has_left_goes() -> None:
    async with conversation() as talk:
        main = await under_way(talk)
        desk, red = await at_the_desk(talk), talk.room_named("Red ·")
        for person in (*CLASS, "ann"):
            talk.user(person).leave(main.id)
            await talk.settled()
        await talk.passes(5)
        assert red.joined == desk.joined == set()
        assert [room.id for room in talk.server.rooms.values() if talk.homeserver.me in room.joined] == [main.id]
        main.raw.state["m.room.join_rules", ""]["content"]["join_rule"] = "public"
        talk.user("ann").join(main.id)
        await talk.settled()
        assert "planned" in await main.says("@ann", "!breakout setup 2")

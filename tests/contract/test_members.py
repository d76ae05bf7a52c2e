"""Inviting, removing and banning are harmless when repeated, and refused to those who may not."""

from __future__ import annotations

import pytest

from bot.errors import Outdated, Permanent
from bot.matrix.events import RawEvent
from bot.matrix.ids import UserId
from tests.contract.worlds import World, blueprint, new_key, types


def memberships(events: list[RawEvent]) -> list[tuple[str, str]]:
    return [(event["content"]["membership"], event["content"].get("reason", "")) for event in events]


async def test_an_invite_again_for_the_same_reason_is_no_event(world: World) -> None:
    ann, room = await world.person("Ann"), await world.room()
    await world.catch_up()
    for reason in ("Room 1", "Room 1", "Room 1, 20 minutes"):
        await world.bot.invite(room, ann.id, reason)
    assert memberships(await world.heard(room)) == [("invite", "Room 1"), ("invite", "Room 1, 20 minutes")]


async def test_a_member_is_invited_without_effect(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    await world.catch_up()
    await world.bot.invite(room, ann.id, "again")
    assert await world.heard(room) == []


async def test_who_declined_can_be_invited_again(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room(ann)
    await ann.leave(room)
    await world.bot.invite(room, ann.id, "please")
    assert await world.membership(room, ann.id) == "invite"


async def test_removing_tells_the_reason_and_may_be_repeated(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    await world.catch_up()
    for _ in range(2):
        await world.bot.remove(room, ann.id, "it is over")
    assert memberships(await world.heard(room)) == [("leave", "it is over")]


async def test_an_invite_can_be_withdrawn(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room(ann)
    await world.bot.remove(room, ann.id, "")
    assert await world.membership(room, ann.id) == "leave"
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await ann.join(room)


async def test_removing_who_never_was_there_or_left_is_no_event(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    room = await world.room_with(ann)
    await ann.leave(room)
    await world.catch_up()
    for person in (ann, bob):
        await world.bot.remove(room, person.id, "it is over")
    assert await world.heard(room) == []


async def test_banning_removes_withdraws_and_keeps_out_and_may_be_repeated(world: World) -> None:
    ann, bob, eve = await world.person("Ann"), await world.person("Bob"), await world.person("Eve")
    room = await world.room(ann, bob)
    await ann.join(room)
    for person in (ann, bob, eve):
        for _ in range(2):
            await world.bot.ban(room, person.id, "not here")
        assert await world.membership(room, person.id) == "ban"
        with pytest.raises(Permanent, match="M_BAD_STATE"):
            await world.bot.invite(room, person.id, "")
        with pytest.raises(Permanent, match="M_BAD_STATE"):
            await person.join(room)


async def test_removing_who_is_banned_takes_no_ban_back(world: World) -> None:
    ann, room = await world.person("Ann"), await world.room()
    await world.bot.ban(room, ann.id, "")
    await world.bot.remove(room, ann.id, "")
    assert await world.membership(room, ann.id) == "ban"


async def test_a_ban_is_taken_back_once_and_is_no_invite(world: World) -> None:
    ann, room = await world.person("Ann"), await world.room()
    await world.bot.ban(room, ann.id, "")
    await world.catch_up()
    for _ in range(2):
        await world.bot.unban(room, ann.id)
    assert types(await world.heard(room)) == ["m.room.member"]
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await ann.join(room)
    await world.bot.invite(room, ann.id, "")
    await ann.join(room)


async def test_unbanning_removes_nobody(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    await world.bot.unban(room, ann.id)
    assert await world.membership(room, ann.id) == "join"


async def test_who_is_as_strong_cannot_be_removed(world: World) -> None:
    ann, bob, eve = await world.person("Ann"), await world.person("Bob"), await world.person("Eve")
    levels = {world.bot.me: 50, bob.id: 50}
    hers = await ann.create_room("Hers", invite=[world.bot.me, bob.id, eve.id], powers=levels)
    await world.bot.join(hers)
    for person in (bob, eve):
        await person.join(hers)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await world.bot.remove(hers, bob.id, "")
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await world.bot.ban(hers, ann.id, "")
    await world.bot.remove(hers, eve.id, "")
    assert await world.membership(hers, eve.id) == "leave"


async def test_who_has_not_the_level_removes_and_invites_nobody(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    room = await world.room_with(ann)
    for act, user in ((ann.invite, bob.id), (ann.kick, world.bot.me), (ann.ban, bob.id)):
        with pytest.raises(Permanent, match="M_FORBIDDEN"):
            await act(room, user)


async def test_removing_who_is_gone_is_fine_also_without_the_level(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    await world.bot.join(hers)
    await world.bot.remove(hers, bob.id, "")


async def test_an_admin_brings_people_in_invited_or_not_and_again_without_effect(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    room = await world.room(ann)
    await world.make_admin()
    await world.catch_up()
    for person in (ann, bob, ann):
        await world.bot.bring_in(room, person.id)
        assert await world.membership(room, person.id) == "join"
    assert memberships(await world.heard(room)) == [("join", ""), ("invite", ""), ("join", "")]


async def test_who_left_can_be_brought_in_and_who_is_banned_cannot(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    room = await world.room(ann, bob)
    await ann.leave(room)
    await world.bot.ban(room, bob.id, "")
    await world.make_admin()
    await world.bot.bring_in(room, ann.id)
    assert await world.membership(room, ann.id) == "join"
    with pytest.raises(Permanent):
        await world.bot.bring_in(room, bob.id)
    assert await world.membership(room, bob.id) == "ban"


async def test_only_an_admin_of_the_server_brings_anybody_in_and_only_its_own_people(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room(ann)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await world.bot.bring_in(room, ann.id)
    await world.make_admin()
    for stranger in ("@nobody-has-this-name:" + ann.id.partition(":")[2], "@ann:elsewhere.example"):
        with pytest.raises(Permanent):
            await world.bot.bring_in(room, UserId(stranger))
    assert await world.membership(room, ann.id) == "invite"


async def test_what_is_not_wanted_any_more_when_its_turn_comes_is_not_done(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    room, asked = await world.room(ann), list[str]()

    async def unwanted() -> bool:
        asked.append("")
        return False

    with pytest.raises(Outdated):
        await world.bot.invite(room, bob.id, "", unwanted)
    with pytest.raises(Outdated):
        await world.bot.remove(room, ann.id, "", unwanted)
    with pytest.raises(Outdated):
        await world.bot.create(blueprint(), new_key(), unwanted)
    assert len(asked) == 3
    assert await world.membership(room, bob.id) == "leave"
    assert await world.membership(room, ann.id) == "invite"


async def test_what_is_still_wanted_when_its_turn_comes_is_done(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    room = await world.room(ann)

    async def wanted() -> bool:
        return True

    await world.bot.invite(room, bob.id, "", wanted)
    await world.bot.remove(room, ann.id, "", wanted)
    assert await world.membership(room, bob.id) == "invite"
    assert await world.membership(room, ann.id) == "leave"

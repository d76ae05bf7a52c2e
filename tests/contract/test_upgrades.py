"""A room that is upgraded names its replacement, which copies it and names it in turn, and in which nobody is yet."""

from __future__ import annotations

import pytest

from bot.errors import Permanent
from bot.matrix.ids import RoomId
from bot.matrix.ports import Blueprint, InitialState
from tests.contract.worlds import POWER, Person, World, new_key, restricted_to


async def main_room(world: World, ann: Person) -> RoomId:
    """A room of Ann's in which the bot is."""
    room = await ann.create_room("Class 7b", invite=[world.bot.me], powers={world.bot.me: 100}, version="11")
    await world.bot.join(room)
    return room


async def test_the_replacement_copies_the_room_and_both_name_each_other(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    old = await main_room(world, ann)
    await ann.ban(old, bob.id)
    new = await ann.upgrade(old, "12")
    assert (await world.content(old, "m.room.tombstone"))["replacement_room"] == new
    await ann.invite(new, world.bot.me)
    await world.bot.join(new)
    create = await world.content(new, "m.room.create")
    assert create["room_version"] == "12"
    assert create["predecessor"]["room_id"] == old
    assert await world.content(new, "m.room.name") == {"name": "Class 7b"}
    assert (await world.content(new, "m.room.power_levels"))["users"] == {world.bot.me: 100}
    assert await world.membership(new, bob.id) == "ban"


async def test_nobody_is_in_the_replacement_by_itself_nor_may_walk_in(world: World) -> None:
    ann = await world.person("Ann")
    old = await main_room(world, ann)
    new = await ann.upgrade(old, "12")
    with pytest.raises(Permanent) as refused:
        await world.bot.join(new)
    assert refused.value.status == 403


async def test_people_stay_in_the_old_room_which_falls_silent(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    old = await main_room(world, ann)
    await ann.invite(old, bob.id)
    await bob.join(old)
    await ann.upgrade(old, "12")
    assert await world.membership(old, bob.id) == await world.membership(old, world.bot.me) == "join"
    with pytest.raises(Permanent):
        await bob.say(old, "Where is everybody?")
    await world.bot.send(old, "m.room.message", {"msgtype": "m.notice", "body": "I am here"}, new_key())


async def test_a_moderator_cannot_upgrade_a_room_of_the_bot(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.bot.create(_moderated_by(ann), new_key())
    await ann.join(room)
    with pytest.raises(Permanent) as refused:
        await ann.upgrade(room, "12")
    assert refused.value.status == 403


async def test_a_rule_may_name_both_rooms(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    old = await main_room(world, ann)
    await ann.invite(old, bob.id)
    await bob.join(old)
    new = await ann.upgrade(old, "12")
    await ann.invite(new, world.bot.me)
    await world.bot.join(new)
    allow = [*restricted_to(new).content["allow"], *restricted_to(old).content["allow"]]
    rule = InitialState("m.room.join_rules", {"join_rule": "restricted", "allow": allow})
    room = await world.room(state=(rule,))
    await bob.join(room)
    assert await world.membership(room, bob.id) == "join"


def _moderated_by(ann: Person) -> Blueprint:
    power = {**POWER, "users": {ann.id: 50}, "events": {"m.room.tombstone": 100}}
    return Blueprint("Red", "", power, invite=(ann.id,))

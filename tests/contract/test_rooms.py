"""Rooms are made whole and once, and nobody changes or enters them who may not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.errors import Permanent
from bot.matrix.ids import RoomId, UserId
from bot.matrix.ports import InitialState
from tests.contract.worlds import CALL, MARKER, POWER, World, blueprint, new_key, restricted_to


async def test_creating_again_with_the_same_key_is_the_same_room(world: World) -> None:
    key, plan = new_key(), blueprint()
    first, second = await asyncio.gather(world.bot.create(plan, key), world.bot.create(plan, key))
    assert first == second == await world.bot.create(plan, key)
    assert first != await world.bot.create(plan, new_key())


async def test_a_new_room_is_as_its_blueprint_says(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room(ann, state=(InitialState("m.room.history_visibility", {"history_visibility": "invited"}),))
    assert (await world.content(room, "m.room.name")) == {"name": "Room 1"}
    assert (await world.content(room, "m.room.topic"))["topic"] == "What we talk about"
    assert (await world.content(room, "m.room.history_visibility")) == {"history_visibility": "invited"}
    assert (await world.content(room, "m.room.join_rules"))["join_rule"] == "invite"
    assert (await world.content(room, MARKER)) == {"n": 1}
    assert await world.membership(room, ann.id) == "invite"
    assert await world.membership(room, world.bot.me) == "join"


@pytest.mark.parametrize(("version", "own"), [("11", {100}), ("12", set())])
async def test_the_bot_stands_in_the_power_levels_where_the_room_version_asks_for_it(
    world: World, version: str, own: set[int]
) -> None:
    world.use_version(version)
    for wished in ({}, {world.bot.me: 3}):
        room = await world.room(power={**POWER, "users": wished})
        assert (await world.content(room, "m.room.create"))["room_version"] == version
        users = (await world.content(room, "m.room.power_levels"))["users"]
        assert {level for user, level in users.items() if user == world.bot.me} == own


async def test_more_than_ten_are_not_invited_at_once(usual: World) -> None:
    world = usual
    await world.catch_up()
    crowd = tuple(UserId(f"@nobody{number}:localhost") for number in range(11))
    with pytest.raises(Permanent, match="M_UNKNOWN") as refused:
        await world.bot.create(replace(blueprint(), invite=crowd), new_key())
    assert refused.value.status == 400
    assert (await world.bot.sync(world.since, 0)).joined == {}


async def test_an_invite_that_fails_leaves_a_room_behind_that_only_its_marker_tells_of(world: World) -> None:
    await world.catch_up()
    ann, bob, key = await world.person("Ann"), await world.person("Bob"), new_key()
    plan = replace(blueprint(), invite=(ann.id, world.bot.me, bob.id))
    with pytest.raises(Permanent) as refused:
        await world.bot.create(plan, key)
    assert refused.value.status == 403
    (room,) = (await world.bot.sync(world.since, 0)).joined
    assert await world.content(room, MARKER) == {"n": 1}
    assert [await world.membership(room, person.id) for person in (ann, bob)] == ["invite", "leave"]
    again = await world.bot.create(replace(plan, invite=(ann.id,)), key)
    assert again != room


async def test_somebody_whom_the_server_does_not_know_is_invited_all_the_same(world: World) -> None:
    ann = await world.person("Ann")
    nobody = UserId(f"@nobody:{ann.id.partition(':')[2]}")
    room = await world.bot.create(replace(blueprint(), invite=(nobody,)), new_key())
    assert await world.membership(room, nobody) == "invite"


async def test_the_same_state_again_is_no_event(world: World) -> None:
    room = await world.room()
    await world.catch_up()
    first = await world.bot.set_state(room, MARKER, {"n": 2}, "a/b")
    assert await world.bot.set_state(room, MARKER, {"n": 2}, "a/b") == first
    assert await world.bot.set_state(room, MARKER, {"n": 3}, "a/b") != first
    assert [event["content"] for event in await world.heard(room)] == [{"n": 2}, {"n": 3}]
    assert await world.content(room, MARKER) == {"n": 1}


async def test_who_has_not_the_level_changes_no_state(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await ann.set_state(room, "m.room.topic", {"topic": "mine"})
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    await world.bot.join(hers)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await world.bot.set_state(hers, "m.room.name", {"name": "mine"})


async def test_nobody_acts_in_a_room_that_they_are_not_in(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    for act in (
        lambda: world.bot.set_state(hers, MARKER, {}),
        lambda: world.bot.send(hers, "m.room.message", {"msgtype": "m.text", "body": "hi"}, new_key()),
        lambda: world.bot.invite(hers, bob.id, ""),
        lambda: world.bot.remove(hers, ann.id, ""),
        lambda: world.bot.ban(hers, bob.id, ""),
        lambda: world.bot.state(hers),
        lambda: world.bot.content(hers, "m.room.name", ""),
    ):
        with pytest.raises(Permanent) as refused:
            await act()
        assert refused.value.status == 403


async def test_one_state_event_is_asked_for_by_type_and_key(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    member = await world.bot.content(room, "m.room.member", ann.id)
    assert member is not None
    assert member["membership"] == "join"
    assert await world.bot.content(room, MARKER, "") == {"n": 1}
    assert await world.bot.content(room, MARKER, "another key") is None


async def test_nobody_acts_in_a_room_that_does_not_exist(world: World) -> None:
    nowhere, ann = RoomId("!nowhere:localhost"), await world.person("Ann")
    for act in (
        lambda: world.bot.set_state(nowhere, MARKER, {}),
        lambda: world.bot.send(nowhere, "m.room.message", {"msgtype": "m.text", "body": "hi"}, new_key()),
        lambda: world.bot.invite(nowhere, ann.id, ""),
        lambda: world.bot.remove(nowhere, ann.id, ""),
        lambda: world.bot.join(nowhere),
        lambda: world.bot.state(nowhere),
    ):
        with pytest.raises(Permanent):
            await act()


@pytest.mark.parametrize("version", ["11", "12"])
async def test_a_locked_room_hears_nobody_but_moderators_and_calls_go_on(world: World, version: str) -> None:
    world.use_version(version)
    ann, bob = await world.person("Ann"), await world.person("Bob")
    room = await world.room_with(ann, bob, power={**POWER, "users": {bob.id: 50}})
    said = await ann.say(room, "before")
    locked = {**POWER, "users": {bob.id: 50}, "events_default": 50}
    await world.bot.set_state(room, "m.room.power_levels", locked)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await ann.say(room, "after")
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await ann.redact(room, said)
    await bob.say(room, "a moderator")
    await ann.set_state(room, CALL, {"memberships": []}, ann.id)
    await world.bot.set_state(room, "m.room.power_levels", {**locked, "events_default": 0})
    await ann.say(room, "open again")


@pytest.mark.parametrize(("version", "own"), [("11", {100}), ("12", set())])
async def test_the_bot_stays_above_when_it_sets_the_power_levels_anew(
    world: World, version: str, own: set[int]
) -> None:
    world.use_version(version)
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    first = await world.bot.set_state(room, "m.room.power_levels", {**POWER, "users": {ann.id: 50, world.bot.me: 3}})
    assert await world.bot.set_state(room, "m.room.power_levels", {**POWER, "users": {ann.id: 50}}) == first
    users = (await world.content(room, "m.room.power_levels"))["users"]
    assert users[ann.id] == 50
    assert {level for user, level in users.items() if user == world.bot.me} == own
    await world.bot.set_state(room, "m.room.name", {"name": "still mine"})


@pytest.mark.parametrize("version", ["11", "12"])
async def test_in_a_room_of_somebody_else_the_power_levels_are_set_as_they_are_given(
    world: World, version: str
) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    hers = await ann.create_room("Hers", invite=[world.bot.me], version=version, powers={world.bot.me: 70})
    await world.bot.join(hers)
    levels = await world.content(hers, "m.room.power_levels")
    events = {**levels["events"], "m.room.power_levels": 70}
    await ann.set_state(hers, "m.room.power_levels", {**levels, "events": events})
    wished = {**levels, "events": events, "users": {**levels["users"], bob.id: 50}}
    await world.bot.set_state(hers, "m.room.power_levels", wished)
    assert (await world.content(hers, "m.room.power_levels"))["users"] == wished["users"]


async def test_the_creator_of_a_version_12_room_cannot_be_named_nor_removed(world: World) -> None:
    world.use_version("12")
    ann = await world.person("Ann")
    room = await world.room_with(ann, power={**POWER, "users": {ann.id: 100}})
    levels = await world.content(room, "m.room.power_levels")
    with pytest.raises(Permanent) as refused:
        await ann.set_state(room, "m.room.power_levels", {**levels, "users": {ann.id: 100, world.bot.me: 0}})
    assert refused.value.status in (400, 403)
    for act in (ann.kick, ann.ban):
        with pytest.raises(Permanent, match="M_FORBIDDEN"):
            await act(room, world.bot.me)


async def test_state_that_bears_a_persons_name_is_theirs_alone(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    room = await world.room_with(ann, bob)
    await ann.set_state(room, CALL, {"memberships": []}, ann.id)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await ann.set_state(room, CALL, {"memberships": []}, bob.id)


async def test_nobody_gives_away_more_power_than_they_have(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    power = {**POWER, "users": {ann.id: 50}}
    room = await world.room_with(ann, bob, power=power)
    levels = await world.content(room, "m.room.power_levels")
    for users in ({ann.id: 60}, {bob.id: 51}):
        with pytest.raises(Permanent, match="M_FORBIDDEN"):
            await ann.set_state(room, "m.room.power_levels", {**levels, "users": {**levels["users"], **users}})
    await ann.set_state(room, "m.room.power_levels", {**levels, "users": {**levels["users"], bob.id: 50}})


# --------------------------------------------------------------------------------------------- entering


async def test_joining_takes_an_invite_and_may_be_repeated(world: World) -> None:
    ann = await world.person("Ann")
    hers = await ann.create_room("Hers")
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await world.bot.join(hers)
    await ann.invite(hers, world.bot.me)
    await world.bot.join(hers)
    await world.bot.join(hers)
    assert await world.membership(hers, world.bot.me) == "join"


async def test_anybody_joins_a_public_room(world: World) -> None:
    ann = await world.person("Ann")
    hers = await ann.create_room("Hers")
    await ann.set_state(hers, "m.room.join_rules", {"join_rule": "public"})
    await world.bot.join(hers)


async def test_members_of_the_desk_enter_a_restricted_room_and_nobody_else(world: World) -> None:
    ann, bob, eve = await world.person("Ann"), await world.person("Bob"), await world.person("Eve")
    desk = await world.room_with(ann, bob)
    room = await world.room(state=(restricted_to(desk),))
    await ann.join(room)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await eve.join(room)
    await bob.leave(desk)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await bob.join(room)


async def test_who_was_removed_comes_back_only_as_a_member_of_the_desk(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    desk = await world.room_with(ann)
    room = await world.room_with(ann, bob, state=(restricted_to(desk),))
    for person in (ann, bob):
        await world.bot.remove(room, person.id, "it is over")
    await ann.join(room)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await bob.join(room)


async def test_a_restricted_room_can_be_closed_by_its_rule(world: World) -> None:
    ann = await world.person("Ann")
    desk = await world.room_with(ann)
    room = await world.room(state=(restricted_to(desk),))
    await world.bot.set_state(room, "m.room.join_rules", {"join_rule": "invite"})
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await ann.join(room)


# ---------------------------------------------------------------------------------------------- leaving


async def test_leaving_forgets_and_may_be_repeated(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    for _ in range(2):
        await world.bot.leave(room, "it is over")
    with pytest.raises(Permanent):
        await world.bot.state(room)
    with pytest.raises(Permanent):
        await world.bot.set_state(room, MARKER, {})


async def test_a_room_that_never_was_is_left_in_peace(world: World) -> None:
    await world.bot.leave(RoomId("!nowhere:localhost"))


async def test_an_invite_is_declined_by_leaving(world: World) -> None:
    ann = await world.person("Ann")
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    await world.bot.leave(hers, "no")
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await world.bot.join(hers)


async def test_a_room_that_the_bot_was_removed_from_can_be_left(world: World) -> None:
    ann = await world.person("Ann")
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    await world.bot.join(hers)
    await ann.kick(hers, world.bot.me)
    await world.bot.leave(hers)

"""The bot's account does at a real homeserver what the ports promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from bot.clock import SystemClock
from bot.errors import Permanent, RateLimited
from bot.matrix.client import NioHomeserver
from bot.matrix.events import SyncBatch
from bot.matrix.ids import RoomId, UserId
from bot.matrix.logins import login_password, whoami
from bot.matrix.ports import Blueprint, InitialState, Urgency
from bot.matrix.sync import follow
from bot.testing.pytest_plugin import People
from bot.testing.raw import RawUser
from bot.testing.synapse import Homeserver

MARKER = "org.example.marker"
POWER = {"users": {}, "users_default": 0, "events_default": 0, "state_default": 50, "invite": 50, "kick": 50}
PLAN = Blueprint("Room 1", "What we talk about", POWER, (InitialState(MARKER, {"n": 1}),))
_numbers = count(1)


def new_key() -> str:
    return f"room:!main:{next(_numbers)}/a b"


@pytest_asyncio.fixture
async def account(homeserver: Homeserver, people: People) -> AsyncIterator[NioHomeserver]:
    login = await homeserver.account(people.localpart("bot"), "secret", "Breakout rooms")
    async with NioHomeserver.connect(
        homeserver.url, login.user_id, login.device_id, login.access_token, SystemClock()
    ) as made:
        yield made


def member(user: RawUser) -> UserId:
    return UserId(user.user_id)


async def state_of(account: NioHomeserver, room: RoomId, type_: str, key: str = "") -> dict[str, Any]:
    for event in await account.state(room):
        if (event["type"], event["state_key"]) == (type_, key):
            return dict(event["content"])
    return {}


async def test_a_login_tells_whose_it_is(homeserver: Homeserver, people: People) -> None:
    name = people.localpart("Rita")
    user = await homeserver.register(name, "secret")
    assert user
    me = homeserver.user_id(name)
    device, token = await login_password(homeserver.url, me, "secret", "the bot")
    assert await whoami(homeserver.url, token) == (me, device)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await login_password(homeserver.url, me, "wrong", "the bot")
    with pytest.raises(Permanent, match="M_UNKNOWN_TOKEN"):
        await whoami(homeserver.url, "nonsense")


async def test_creating_again_with_the_same_key_is_the_same_room(account: NioHomeserver) -> None:
    key = new_key()
    first, second = await asyncio.gather(account.create(PLAN, key), account.create(PLAN, key))
    assert first == second == await account.create(PLAN, key)
    assert first != await account.create(PLAN, new_key())


async def test_a_new_room_is_as_its_blueprint_says(account: NioHomeserver, people: People) -> None:
    ann = await people("Ann")
    room = await account.create(replace(PLAN, invite=(member(ann),)), new_key())
    create = await state_of(account, room, "m.room.create")
    assert create["room_version"] == "12"
    power = await state_of(account, room, "m.room.power_levels")
    assert account.me not in power["users"]
    assert power["invite"] == 50
    assert await state_of(account, room, "m.room.topic") | {"m.topic": None} == {"topic": PLAN.topic, "m.topic": None}
    assert await state_of(account, room, MARKER) == {"n": 1}
    assert (await ann.invited("Room 1")).room == room


async def test_in_a_room_before_version_12_the_creator_has_level_100(account: NioHomeserver) -> None:
    account._version = "11"
    room = await account.create(PLAN, new_key())
    assert (await state_of(account, room, "m.room.create"))["room_version"] == "11"
    assert (await state_of(account, room, "m.room.power_levels"))["users"] == {account.me: 100}


async def test_without_put_a_room_is_made_by_post(account: NioHomeserver) -> None:
    account._repeatable_creation = False
    assert (await account.create(PLAN, new_key())).startswith("!")


async def test_inviting_again_and_inviting_a_member_are_fine(account: NioHomeserver, people: People) -> None:
    ann = await people("Ann")
    room = await account.create(PLAN, new_key())
    await account.invite(room, member(ann), "Breakout room 1")
    await account.invite(room, member(ann), "Breakout room 1")
    assert (await ann.invited("Room 1")).reason == "Breakout room 1"
    await ann.join(room)
    await account.invite(room, member(ann), "Breakout room 1")
    assert await ann.members(room) == {ann.user_id, account.me}


async def test_removing_who_is_gone_or_never_was_there_is_fine(account: NioHomeserver, people: People) -> None:
    ann, bob = await people("Ann"), await people("Bob")
    room = await account.create(replace(PLAN, invite=(member(ann),)), new_key())
    await account.remove(room, member(bob), "it is over")
    await ann.join(room)
    await account.remove(room, member(ann), "it is over")
    await account.remove(room, member(ann), "it is over")
    found = await state_of(account, room, "m.room.member", ann.user_id)
    assert (found["membership"], found["reason"]) == ("leave", "it is over")


async def test_an_invite_can_be_withdrawn(account: NioHomeserver, people: People) -> None:
    ann = await people("Ann")
    room = await account.create(replace(PLAN, invite=(member(ann),)), new_key())
    await account.remove(room, member(ann), "")
    assert (await state_of(account, room, "m.room.member", ann.user_id))["membership"] == "leave"


async def test_bans_and_their_end_may_be_repeated(account: NioHomeserver, people: People) -> None:
    ann = await people("Ann")
    room = await account.create(PLAN, new_key())
    for _ in range(2):
        await account.ban(room, member(ann), "not here")
    with pytest.raises(Permanent):
        await account.invite(room, member(ann), "")
    await account.remove(room, member(ann), "")
    for _ in range(2):
        await account.unban(room, member(ann))
    await account.invite(room, member(ann), "")


async def test_what_the_bot_may_not_do_is_permanent(account: NioHomeserver, people: People) -> None:
    ann, bob = await people("Ann"), await people("Bob")
    room = RoomId(await ann.create_room("Hers", invite=[account.me, bob]))
    await bob.join(room)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await account.remove(room, member(bob), "")
    await account.join(room)
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await account.remove(room, member(bob), "")
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await account.set_state(room, "m.room.name", {"name": "mine"})


async def test_sending_and_redacting_again_with_the_same_key_happen_once(
    account: NioHomeserver, people: People
) -> None:
    ann = await people("Ann")
    room = await account.create(replace(PLAN, invite=(member(ann),)), new_key())
    await ann.join(room)
    content = {"msgtype": "m.text", "body": "Welcome"}
    first = await account.send(room, "m.room.message", content, "hello/1 ?", urgency=Urgency.ANSWER)
    assert await account.send(room, "m.room.message", content, "hello/1 ?") == first
    assert await account.send(room, "m.room.message", content, "hello/2") != first
    assert (await account.event(room, first))["content"] == content
    for _ in range(2):
        await account.redact(room, first, "redact/1")
    said = [event["type"] for event in await ann.messages(room, 3)]
    assert sorted(said) == ["m.room.message", "m.room.message", "m.room.redaction"]
    assert (await account.event(room, first))["content"] == {}


async def test_a_welcome_from_before_the_join_can_be_read_after_it(account: NioHomeserver, people: People) -> None:
    ann = await people("Ann")
    visible = InitialState("m.room.history_visibility", {"history_visibility": "invited"})
    room = await account.create(replace(PLAN, state=(visible,)), new_key())
    earlier = await account.send(room, "m.room.message", {"msgtype": "m.text", "body": "Earlier"}, new_key())
    await account.invite(room, member(ann), "")
    welcome = await account.send(room, "m.room.message", {"msgtype": "m.text", "body": "Welcome"}, new_key())
    await ann.join(room)
    read = {event["event_id"] for event in await ann.messages(room)}
    assert welcome in read
    assert earlier not in read


async def test_the_same_state_again_is_no_event(account: NioHomeserver) -> None:
    room = await account.create(PLAN, new_key())
    first = await account.set_state(room, MARKER, {"n": 2}, "a/b")
    assert await account.set_state(room, MARKER, {"n": 2}, "a/b") == first
    assert await state_of(account, room, MARKER, "a/b") == {"n": 2}


async def test_members_of_another_room_may_join_a_restricted_one(account: NioHomeserver, people: People) -> None:
    ann, eve = await people("Ann"), await people("Eve")
    main = RoomId(await ann.create_room("Main", invite=[account.me]))
    await account.join(main, via=["localhost"])
    rule = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": main}]}
    room = await account.create(replace(PLAN, state=(InitialState("m.room.join_rules", rule),)), new_key())
    await ann.join(room, via=["localhost"])
    assert await ann.members(room) == {ann.user_id, account.me}
    with pytest.raises(Exception, match="M_FORBIDDEN"):
        await eve.join(room)


async def test_leaving_forgets_and_leaving_again_is_fine(account: NioHomeserver, people: People) -> None:
    ann = await people("Ann")
    room = RoomId(await ann.create_room("Hers", invite=[account.me]))
    await account.join(room)
    await account.leave(room, "it is over")
    await account.leave(room)
    assert account.me not in await ann.members(room)
    with pytest.raises(Permanent):
        await account.state(room)


async def test_an_invite_is_declined_by_leaving(account: NioHomeserver, people: People) -> None:
    ann = await people("Ann")
    room = RoomId(await ann.create_room("Hers", invite=[account.me]))
    await account.leave(room, "no")
    assert account.me in await ann.members(room, "leave")
    await account.leave(RoomId("!nowhere:localhost"))


async def test_account_data_is_kept(account: NioHomeserver) -> None:
    assert await account.account_data(MARKER) is None
    await account.set_account_data(MARKER, {"a": 1})
    assert await account.account_data(MARKER) == {"a": 1}


async def test_the_first_sync_has_the_state_and_later_ones_the_news(account: NioHomeserver, people: People) -> None:
    ann = await people("Ann")
    room = await account.create(replace(PLAN, invite=(member(ann),)), new_key())
    await ann.join(room)
    other = RoomId(await ann.create_room("Hers", invite=[account.me]))
    first = await account.sync(None, 0)
    types = {event["type"] for event in (*first.joined[room].state, *first.joined[room].timeline)}
    assert {"m.room.create", "m.room.power_levels", MARKER} <= types
    assert len(first.joined[room].timeline) == 1
    assert [e["content"]["membership"] for e in first.invited[other] if e.get("state_key") == account.me] == ["invite"]
    assert first.server_time is not None

    said = await ann.say(room, "Hello")
    await account.leave(other)
    later = await account.sync(first.token, 10)
    assert [event["event_id"] for event in later.joined[room].timeline] == [said]
    assert later.joined[room].gap is None


async def test_a_room_that_is_new_says_limited_and_comes_with_its_creation(account: NioHomeserver) -> None:
    """Which is how `bot.matrix.sync` knows that there is nothing to read back."""
    since = (await account.sync(None, 0)).token
    room = await account.create(PLAN, new_key())
    delta = (await account.sync(since, 10)).joined[room]
    assert delta.gap is not None
    assert "m.room.create" in {event["type"] for event in (*delta.state, *delta.timeline)}


async def test_what_a_long_absence_left_out_is_read_back(account: NioHomeserver, people: People) -> None:
    ann = await people("Ann")
    room = await account.create(replace(PLAN, invite=(member(ann),)), new_key())
    await ann.join(room)
    since = (await account.sync(None, 0)).token
    said = [await ann.say(room, f"{number}") for number in range(130)]
    taken: list[SyncBatch] = []
    there = asyncio.Event()

    async def accept(batch: SyncBatch, *, first: bool) -> None:
        taken.append(batch)
        there.set()

    following = asyncio.create_task(follow(account, since, accept, SystemClock()))
    await asyncio.wait_for(there.wait(), 20)
    following.cancel()
    assert [event["event_id"] for event in taken[0].joined[room].timeline] == said


async def test_a_stock_server_teaches_its_limit(stock_homeserver: Homeserver, people: People) -> None:
    login = await stock_homeserver.account(people.localpart("slow"), "secret", "Slow")
    async with NioHomeserver.connect(
        stock_homeserver.url, login.user_id, login.device_id, login.access_token, SystemClock()
    ) as account:
        room = await account.create(PLAN, new_key())
        assert account.pace().per_second is None

        async def chatter() -> None:
            for number in range(20):
                await account.send(room, "m.room.message", {"msgtype": "m.text", "body": "x"}, f"{number}")

        with pytest.raises(RateLimited) as refused:
            await chatter()
        assert refused.value.retry_after
        assert account.pace().per_second == 0.2

"""What the bot hears: everything, once, in order, and told in its own words."""

from __future__ import annotations

import asyncio

import pytest

from bot.clock import SystemClock
from bot.matrix.events import (
    Departed,
    Invited,
    Message,
    RawEvent,
    Reaction,
    Redaction,
    StateChange,
    SyncBatch,
)
from bot.matrix.ids import RoomId
from bot.matrix.sync import follow
from bot.matrix.translate import accepted_for_us, state_rows
from tests.contract.worlds import MARKER, Person, World, new_key

CHANGES = 40


async def test_the_first_sync_has_the_present_state_and_at_most_one_event_a_room(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    for number in range(3):
        await ann.say(room, f"{number}")
    batch = await world.bot.sync(None, 0)
    assert len(batch.joined[room].timeline) <= 1
    rows = {(row.type, row.state_key): row.content for row in state_rows(batch)}
    assert rows["m.room.member", ann.id]["membership"] == "join"
    assert rows[MARKER, ""] == {"n": 1}
    assert {("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.name", "")} <= rows.keys()
    assert batch.server_time is not None


async def test_later_ones_have_the_news_in_order_and_each_once(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    await world.catch_up()
    said = [await ann.say(room, f"{number}") for number in range(3)]
    await ann.leave(room)
    events = await world.heard(room)
    assert [event["event_id"] for event in events[:3]] == said
    assert events[3]["content"]["membership"] == "leave"
    assert (await world.bot.sync(world.since, 0)).joined == {}


async def test_the_same_token_again_brings_the_same_news(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    await world.catch_up()
    said = await ann.say(room, "hello")
    for _ in range(2):
        batch = await world.bot.sync(world.since, 0)
        assert [event["event_id"] for event in batch.joined[room].timeline] == [said]


async def test_who_waits_for_news_wakes_with_them(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    await world.catch_up()
    waiting = asyncio.create_task(world.bot.sync(world.since, 20))
    await asyncio.sleep(0)
    said = await ann.say(room, "hello")
    batch = await asyncio.wait_for(waiting, 10)
    assert [event["event_id"] for event in batch.joined[room].timeline] == [said]


async def test_a_room_that_is_entered_comes_with_its_state_and_the_own_join(world: World) -> None:
    ann = await world.person("Ann")
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    await world.catch_up()
    await world.bot.join(hers)
    batch = await world.bot.sync(world.since, 10)
    rows = {(row.type, row.state_key): row.content for row in state_rows(batch)}
    assert rows["m.room.name", ""] == {"name": "Hers"}
    assert rows["m.room.member", world.bot.me]["membership"] == "join"
    assert rows["m.room.member", ann.id]["membership"] == "join"


async def test_an_invite_that_was_accepted_before_it_was_heard_of_says_by_whom_all_the_same(world: World) -> None:
    """As with Synapse's `auto_accept_invites`, or where the bot was away."""
    ann = await world.person("Ann")
    await world.catch_up()
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    await world.bot.join(hers)
    batch = await world.bot.sync(world.since, 10)
    invited = accepted_for_us(hers, batch, world.bot.me)
    assert invited is not None
    assert (invited.room, invited.inviter) == (hers, ann.id)


async def test_an_invite_says_by_whom(world: World) -> None:
    ann = await world.person("Ann")
    await world.catch_up()
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    items = await world.items(lambda item: isinstance(item, Invited))
    assert [(item.room, item.inviter) for item in items if isinstance(item, Invited)] == [(hers, ann.id)]


async def test_an_invite_that_waits_since_before_is_in_the_first_sync(world: World) -> None:
    ann = await world.person("Ann")
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    assert list((await world.bot.sync(None, 0)).invited) == [hers]


async def test_an_invite_that_was_declined_is_gone(world: World) -> None:
    ann = await world.person("Ann")
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    await world.catch_up()
    await world.bot.leave(hers)
    assert (await world.bot.sync(world.since, 0)).invited == {}
    assert (await world.bot.sync(None, 0)).invited == {}


@pytest.mark.parametrize("banned", [False, True])
async def test_a_removal_says_by_whom(world: World, *, banned: bool) -> None:
    ann = await world.person("Ann")
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    await world.bot.join(hers)
    await world.catch_up()
    await (ann.ban(hers, world.bot.me) if banned else ann.kick(hers, world.bot.me))
    (gone,) = await world.items(lambda item: isinstance(item, Departed))
    assert isinstance(gone, Departed)
    assert (gone.room, gone.by, gone.banned) == (hers, ann.id, banned)


async def test_what_is_said_in_a_room_after_the_bot_left_is_not_heard(world: World) -> None:
    ann = await world.person("Ann")
    hers = await ann.create_room("Hers", invite=[world.bot.me])
    await world.bot.join(hers)
    await world.bot.leave(hers)
    await world.catch_up()
    await ann.say(hers, "among us")
    batch = await world.bot.sync(world.since, 0)
    assert (batch.joined, batch.left) == ({}, {})


@pytest.mark.parametrize("version", ["11", "12"])
async def test_what_people_do_is_told_in_the_bots_own_words(world: World, version: str) -> None:
    world.use_version(version)
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    board = await world.bot.send(room, "m.room.message", {"msgtype": "m.notice", "body": "1 or 2?"}, new_key())
    await world.catch_up()

    await world.bot.send(room, "m.reaction", reaction(board, "1️⃣"), new_key())
    tap = await ann.react(room, board, "1️⃣")
    (tapped,) = await world.items(lambda item: isinstance(item, Reaction))
    assert isinstance(tapped, Reaction)
    assert (tapped.event_id, tapped.sender, tapped.target, tapped.key) == (tap, ann.id, board, "1⃣")

    await ann.redact(room, tap)
    (taken_back,) = await world.items(lambda item: isinstance(item, Redaction))
    assert isinstance(taken_back, Redaction)
    assert (taken_back.sender, taken_back.target) == (ann.id, tap)

    await world.bot.set_state(room, MARKER, {"n": 2})
    await ann.say(room, "done")
    changed, said = await world.items(lambda item: isinstance(item, Message))
    assert isinstance(changed, StateChange)
    assert (changed.type, changed.content, changed.before) == (MARKER, {"n": 2}, {"n": 1})
    assert isinstance(said, Message)
    assert (said.room, said.sender, said.body) == (room, ann.id, "done")


async def test_a_tap_that_was_taken_back_before_it_was_heard_is_only_its_taking_back(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    board = await world.bot.send(room, "m.room.message", {"msgtype": "m.notice", "body": "1 or 2?"}, new_key())
    await world.catch_up()
    await ann.redact(room, await ann.react(room, board, "✋"))
    await ann.say(room, "done")
    items = await world.items(lambda item: isinstance(item, Message))
    assert [type(item) for item in items] == [Redaction, Message]


async def test_what_a_long_absence_left_out_is_read_back(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    await world.catch_up()
    said = [await ann.say(room, f"{number}") for number in range(110)]
    assert await _followed(world, room) == said


async def _followed(world: World, room: RoomId) -> list[str]:
    taken: list[SyncBatch] = []
    there = asyncio.Event()

    async def accept(batch: SyncBatch, *, first: bool) -> None:
        taken.append(batch)
        there.set()

    following = asyncio.create_task(follow(world.bot, world.since, accept, SystemClock()))
    await asyncio.wait_for(there.wait(), 20)
    following.cancel()
    return [event["event_id"] for event in taken[0].joined[room].timeline]


def reaction(target: str, key: str) -> RawEvent:
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": key}}


async def test_the_state_of_a_room_in_which_people_talk_never_goes_back(world: World) -> None:
    """What is said while the state changes stands on another branch of the room, and Synapse tells that one's state."""
    people = [await world.person(f"Person {number}") for number in range(6)]
    room = await world.room_with(*people)
    await world.catch_up()
    seen: list[int] = []
    done = asyncio.Event()

    async def accept(batch: SyncBatch, *, first: bool) -> None:
        del first
        rows = (row for row in state_rows(batch) if (row.room, row.type) == (room, MARKER))
        seen.extend(row.content["n"] for row in rows)
        if seen[-1:] == [CHANGES]:
            done.set()

    async def talk(person: Person) -> None:
        while not done.is_set():
            await person.say(room, "and")
            await asyncio.sleep(0)

    following = asyncio.create_task(follow(world.bot, world.since, accept, SystemClock()))
    talking = [asyncio.create_task(talk(person)) for person in people]
    for number in range(2, CHANGES + 1):
        await world.bot.set_state(room, MARKER, {"n": number})
    await asyncio.wait_for(done.wait(), 60)
    await asyncio.gather(*talking)
    following.cancel()
    assert seen == sorted(seen)

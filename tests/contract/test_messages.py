"""What is said is said once, and removed by those who may."""

from __future__ import annotations

import pytest

from bot.errors import Permanent
from bot.matrix.ids import EventId
from tests.contract.worlds import MARKER, World, new_key, types

HELLO = {"msgtype": "m.text", "body": "Welcome"}


async def test_sending_again_with_the_same_key_happens_once(world: World) -> None:
    room, key = await world.room(), new_key()
    await world.catch_up()
    first = await world.bot.send(room, "m.room.message", HELLO, key)
    assert await world.bot.send(room, "m.room.message", HELLO, key) == first
    assert await world.bot.send(room, "m.room.message", {**HELLO, "body": "other"}, key) == first
    second = await world.bot.send(room, "m.room.message", HELLO, new_key())
    assert second != first
    assert [event["event_id"] for event in await world.heard(room)] == [first, second]
    assert (await world.bot.event(room, first))["content"] == HELLO


async def test_a_key_counts_for_one_room(world: World) -> None:
    one, other, key = await world.room(), await world.room(), new_key()
    first = await world.bot.send(one, "m.room.message", HELLO, key)
    second = await world.bot.send(other, "m.room.message", HELLO, key)
    assert first != second
    assert (await world.bot.event(other, second))["room_id"] == other


async def test_a_key_counts_for_its_sender(world: World) -> None:
    ann = await world.person("Ann")
    room = await world.room_with(ann)
    await world.catch_up()
    said = [await ann.say(room, "one"), await ann.say(room, "one")]
    assert [event["event_id"] for event in await world.heard(room)] == said


async def test_redacting_removes_the_content_and_happens_once(world: World) -> None:
    room, key = await world.room(), new_key()
    said = await world.bot.send(room, "m.room.message", HELLO, new_key())
    await world.catch_up()
    for _ in range(2):
        await world.bot.redact(room, said, key)
    assert types(await world.heard(room)) == ["m.room.redaction"]
    assert (await world.bot.event(room, said))["content"] == {}


async def test_an_event_that_is_asked_for_reads_as_since_its_last_edit(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    room = await world.room_with(ann, bob)
    said = await ann.say(room, "frist")
    await ann.edit(room, said, "fist")
    await ann.edit(room, said, "first")
    await bob.edit(room, said, "what Ann never said")
    assert (await world.bot.event(room, said))["content"]["body"] == "first"
    await ann.redact(room, said)
    assert (await world.bot.event(room, said))["content"] == {}


async def test_people_remove_their_own_words_and_others_only_with_the_level(world: World) -> None:
    ann, bob = await world.person("Ann"), await world.person("Bob")
    room = await world.room_with(ann, bob)
    said = await ann.say(room, "oops")
    with pytest.raises(Permanent, match="M_FORBIDDEN"):
        await bob.redact(room, said)
    assert (await world.bot.event(room, said))["content"]["body"] == "oops"
    await ann.redact(room, said)
    another = await ann.say(room, "again")
    await world.bot.redact(room, another, new_key())
    assert (await world.bot.event(room, another))["content"] == {}


async def test_an_event_that_is_not_there_cannot_be_read(world: World) -> None:
    room = await world.room()
    with pytest.raises(Permanent) as refused:
        await world.bot.event(room, EventId("$nothing"))
    assert refused.value.status == 404


async def test_account_data_is_kept(world: World) -> None:
    assert await world.bot.account_data(MARKER) is None
    await world.bot.set_account_data(MARKER, {"a": 1})
    await world.bot.set_account_data(MARKER, {"b": 2})
    assert await world.bot.account_data(MARKER) == {"b": 2}

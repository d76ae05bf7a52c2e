"""The clients for tests of encryption do what the tests take for granted, strict ones in particular."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from bot.testing.pytest_plugin import People
from bot.testing.synapse import Homeserver
from tests.e2e.js_clients import JsClient, JsClientFailed, JsClients, js_clients

Come = Callable[..., Awaitable[JsClient]]


@pytest_asyncio.fixture
async def clients() -> AsyncIterator[JsClients]:
    async with js_clients() as clients:
        yield clients


@pytest.fixture
def come(clients: JsClients, homeserver: Homeserver, people: People) -> Come:
    async def come(name: str, *, strict: bool = True, signed: bool = True) -> JsClient:
        account = await homeserver.account(people.localpart(name), "secret", name)
        return await clients.login(name, homeserver.url, account.user_id, "secret", strict=strict, signed=signed)

    return come


async def test_who_has_signed_devices_talks_and_who_has_not_stays_out(come: Come) -> None:
    ann, bob, carl = await come("Ann"), await come("Bob"), await come("Carl", strict=False, signed=False)
    assert (ann.signed, bob.signed, carl.signed) == (True, True, False)
    room = await ann.create_room("Secret garden", bob.user_id, carl.user_id)
    for guest in (bob, carl):
        assert await guest.wait_invite("garden") == room
        await guest.join(room)

    hello = await ann.send(room, "Hello, Bob")
    heard = await bob.wait(room, "Hello", sender=ann.user_id)
    assert (heard.event_id, heard.body, heard.encrypted, heard.failure) == (hello, "Hello, Bob", True, None)
    reply = await bob.send(room, "Good morning", reply_to=hello)
    answer = await ann.wait(room, "morning")
    assert (answer.event_id, answer.encrypted) == (reply, True)
    assert answer.relates_to == {"m.in_reply_to": {"event_id": hello}}
    tap = await bob.react(room, hello, "👍")
    tapped = await ann.wait_event(room, tap)
    assert (tapped.type, tapped.sender) == ("m.reaction", bob.user_id)
    assert tapped.relates_to == {"rel_type": "m.annotation", "event_id": hello, "key": "👍"}

    withheld = "MEGOLM_KEY_WITHHELD_FOR_UNVERIFIED_DEVICE"
    hidden = await carl.wait_event(room, hello, failure=withheld)
    assert (hidden.type, hidden.body, hidden.encrypted) == ("m.room.encrypted", None, True)
    intrusion = await carl.send(room, "It is me, Carl")
    for listener in (ann, bob):
        unheard = await listener.wait_event(room, intrusion, failure="UNSIGNED_SENDER_DEVICE")
        assert unheard.body is None
        unread = [event.event_id for event in await listener.read(room) if event.failure is not None]
        assert unread == [intrusion]

    signed = {user: (await ann.devices_seen(user))[0].signed_by_owner for user in (bob.user_id, carl.user_id)}
    assert signed == {bob.user_id: True, carl.user_id: False}
    assert [(seen.room_id, seen.encrypted, len(seen.members)) for seen in await ann.rooms()] == [(room, True, 3)]


async def test_lenient_clients_edit_delete_and_go(come: Come) -> None:
    ann, bob = await come("Ann", strict=False), await come("Bob", strict=False, signed=False)
    room = await ann.create_room("Open garden", bob.user_id)
    await bob.join(await bob.wait_invite("Open"))
    first = await bob.send(room, "Furst")
    await ann.wait(room, "Furst")
    edit = await bob.edit(room, first, "First")
    corrected = await ann.wait(room, "First")
    assert (corrected.event_id, corrected.encrypted) == (edit, True)
    inside = await ann.send(room, "In a thread", thread=first)
    assert ((await bob.wait_event(room, inside, readable=True)).relates_to or {})["rel_type"] == "m.thread"
    events = {event.event_id: event for event in await ann.read(room)}
    assert (events[first].body, events[first].shown) == ("Furst", "First")
    redaction = await ann.redact(room, inside)
    assert (await ann.wait_event(room, redaction)).type == "m.room.redaction"
    await ann.kick(room, bob.user_id, "Good night")
    await bob.wait_membership(room, "leave")
    assert next(event for event in await ann.read(room) if event.event_id == inside).redacted
    await ann.leave(room)
    assert [seen.membership for seen in await ann.rooms()] == ["leave"]


async def test_a_second_device_is_trusted_once_the_first_has_signed_it(
    come: Come, clients: JsClients, homeserver: Homeserver
) -> None:
    ann, phone = await come("Ann"), await come("Bob")
    laptop = await clients.login("Laptop", homeserver.url, phone.user_id, "secret", strict=True)
    assert not laptop.signed
    room = await ann.create_room("Secret", phone.user_id)
    await phone.join(room)
    await laptop.wait_membership(room, "join")
    early = await ann.send(room, "one")
    assert (await phone.wait_event(room, early, readable=True)).body == "one"
    assert (await laptop.wait_event(room, early)).failure
    await phone.sign_device(laptop.device_id)
    await ann.wait_signed(phone.user_id)
    late = await ann.send(room, "two")
    assert (await laptop.wait_event(room, late, readable=True)).body == "two"


async def test_what_fails_says_why(come: Come) -> None:
    ann = await come("Ann", strict=False)
    with pytest.raises(JsClientFailed, match=r"Ann: send: @ann_.* knows no room !nowhere"):
        await ann.send("!nowhere:localhost", "Hello?")
    room = await ann.create_room("Alone", encrypted=False)
    with pytest.raises(JsClientFailed, match='Ann: wait: waited 50 ms in vain for "Bob"'):
        await ann.wait(room, "Bob", timeout=0.05)
    waiting = asyncio.create_task(ann.wait(room, "Bob"))
    await asyncio.sleep(0)
    await ann.stop()
    with pytest.raises(JsClientFailed, match="stopped while waiting"):
        await waiting
    with pytest.raises(JsClientFailed, match="nobody called"):
        await ann.rooms()


async def test_node_ends_with_its_clients() -> None:
    async with js_clients() as clients:
        os.kill(clients.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(clients.pid, 0)

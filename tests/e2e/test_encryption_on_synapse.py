"""The bot's account reads and writes in encrypted rooms, with the homeserver and with clients that are nio's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.clock import SystemClock
from bot.matrix.client import NioHomeserver
from bot.matrix.crypto.identity import KeyStore
from bot.matrix.events import RawEvent
from bot.matrix.ids import EventId, RoomId, UserId
from bot.matrix.logins import login_password
from bot.matrix.ports import Blueprint, InitialState
from bot.testing.encrypted import EncryptedUser
from bot.testing.pytest_plugin import People
from bot.testing.raw import MatrixError, open_session
from bot.testing.synapse import Account, Homeserver

POWER = {"users": {}, "users_default": 0, "events_default": 0, "state_default": 50, "invite": 50, "kick": 50}


class Bot:
    """The bot's account with what it has heard."""

    def __init__(self, account: NioHomeserver) -> None:
        self.account = account
        self.since: str | None = None
        self.heard: list[tuple[RoomId, RawEvent]] = []

    async def sync(self, timeout_s: float = 0) -> None:
        batch = await self.account.sync(self.since, timeout_s)
        self.since = batch.token
        self.heard += [(room, event) for room, delta in batch.joined.items() for event in delta.timeline]
        self.heard += batch.late

    async def hears(self, room: str, text: str) -> RawEvent:
        async with asyncio.timeout(15):
            while not (found := [e for where, e in self.heard if where == room and e["content"].get("body") == text]):
                await self.sync(1)
        return found[0]


Come = Callable[..., Awaitable[EncryptedUser]]
Place = Callable[[], AbstractAsyncContextManager[Bot]]


@pytest_asyncio.fixture
async def login(homeserver: Homeserver, people: People) -> Account:
    return await homeserver.account(people.localpart("bot"), "secret", "Breakout rooms")


@pytest.fixture
def bot_at(homeserver: Homeserver, login: Account, tmp_path: Path) -> Place:
    @asynccontextmanager
    async def life() -> AsyncIterator[Bot]:
        async with NioHomeserver.connect(
            homeserver.url,
            login.user_id,
            login.device_id,
            login.access_token,
            SystemClock(),
            KeyStore(tmp_path / "keys", "secret"),
        ) as account:
            bot = Bot(account)
            await bot.sync()
            yield bot

    return life


@pytest_asyncio.fixture
async def bot(bot_at: Place) -> AsyncIterator[Bot]:
    async with bot_at() as bot:
        yield bot


@pytest_asyncio.fixture
async def person(homeserver: Homeserver, people: People, tmp_path: Path) -> AsyncIterator[Come]:
    async with open_session() as session, AsyncExitStack() as stack:

        async def come(name: str, device: str = "phone") -> EncryptedUser:
            """A new device of somebody, whose account is made where it is missing."""
            localpart = people.localpart(name)
            with suppress(MatrixError):
                await homeserver.register(localpart, "secret")
            user = homeserver.user_id(localpart)
            login = Account(user, *await login_password(homeserver.url, user, "secret", device))
            made = EncryptedUser(session, homeserver.url, login, tmp_path / f"{name}-{device}", name=name)
            stack.push_async_callback(made.close)
            await made.published()
            return made

        yield come


async def say(bot: Bot, room: str, text: str, key: str = "") -> str:
    content = {"msgtype": "m.text", "body": text, "m.mentions": {}}
    return await bot.account.send(RoomId(room), "m.room.message", content, key or f"say:{text}")


async def together(bot: Bot, *others: EncryptedUser) -> str:
    first, *rest = others
    room = await first.create_room("Secret", invite=[bot.account.me, *rest], encrypted=True)
    await bot.account.join(RoomId(room))
    for other in rest:
        await other.join(room)
    return room


def session_of(bot: Bot, room: str) -> str:
    """The id of the session with which the bot writes in a room."""
    assert bot.account._encryption is not None
    return bot.account._encryption._machine.outbound(RoomId(room), {}).id


async def test_a_room_that_the_bot_encrypts_hears_nothing_in_clear_from_then_on(bot: Bot, person: Come) -> None:
    ann = await person("Ann")
    room = await ann.create_room("Open", powers={bot.account.me: 100}, invite=[bot.account.me])
    await bot.account.join(RoomId(room))
    await say(bot, room, "for everybody")
    await bot.account.set_state(RoomId(room), "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    secret = await say(bot, room, "between us")
    sent = {event["event_id"]: event["type"] for event in await ann.messages(room)}
    assert sent[secret] == "m.room.encrypted"


async def test_a_command_and_its_answer_in_an_encrypted_room(bot: Bot, person: Come) -> None:
    ann = await person("Ann")
    room = await together(bot, ann)
    await ann.say(room, "!breakout setup 2")
    heard = await bot.hears(room, "!breakout setup 2")
    assert heard["type"] == "m.room.message"
    assert heard["sender"] == ann.user_id
    event = await say(bot, room, "planned")
    answer = await ann.message("planned", room)
    assert answer.event_id == event
    assert (await ann.messages(room))[-1]["type"] == "m.room.encrypted"


async def test_a_message_that_was_edited_reads_as_since_then(bot: Bot, person: Come) -> None:
    ann = await person("Ann")
    room = await together(bot, ann)
    said = await ann.say(room, "read page 3")
    await ann.edit(room, said, "read page 4")
    await ann.edit(room, said, "read page 5")
    await ann.say(room, "now")
    await bot.hears(room, "now")
    found = await bot.account.event(RoomId(room), EventId(said))
    assert (found["type"], found["content"]["body"]) == ("m.room.message", "read page 5")
    assert [event["type"] for event in (await ann.messages(room))[-4:]] == ["m.room.encrypted"] * 4


async def test_a_welcome_before_the_join_is_read_after_it(bot: Bot, person: Come) -> None:
    ann, bob = await person("Ann"), await person("Bob")
    history = InitialState("m.room.history_visibility", {"history_visibility": "invited"})
    encrypted = InitialState("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    plan = Blueprint("Red", "", POWER, (history, encrypted), invite=(UserId(ann.user_id), UserId(bob.user_id)))
    room = await bot.account.create(plan, "red")
    await say(bot, room, "Welcome")
    for user in (ann, bob):
        await user.join(room)
        await user.message("Welcome", room)


async def test_who_comes_later_reads_on_and_who_has_gone_does_not(bot: Bot, person: Come) -> None:
    ann, bob = await person("Ann"), await person("Bob")
    room = await together(bot, ann, bob)
    await say(bot, room, "one")
    await bob.message("one", room)
    shared = session_of(bot, room)
    cleo = await person("Cleo")
    await ann.invite(room, cleo)
    await cleo.join(room)
    await bot.sync()
    await say(bot, room, "two")
    await cleo.message("two", room)
    assert session_of(bot, room) == shared
    await ann.kick(room, bob)
    await bot.sync()
    await say(bot, room, "three")
    await ann.message("three", room)
    assert session_of(bot, room) != shared


async def test_who_has_gone_reads_what_was_said_before_also_where_both_come_by_one_answer(
    bot: Bot, person: Come, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await person("Ann"), await person("Bob")
    room = await together(bot, ann, bob)
    await bob.membership(room, bob, "join")
    ask, asleep, awake = bob.call, asyncio.Event(), asyncio.Event()

    async def once_awake(*request: Any, **more: Any) -> Any:
        asleep.set()
        await awake.wait()
        return await ask(*request, **more)

    monkeypatch.setattr(bob, "call", once_awake)
    await say(bot, room, "one")  # answers the question that may be under way
    await asleep.wait()
    await say(bot, room, "two")
    await ann.kick(room, bob)
    awake.set()
    await bob.membership(room, bob, "leave")
    assert "two" in [seen.body for seen in bob.transcript if seen.section == "leave"]
    assert not bob.unreadable()


async def test_a_new_device_reads_on(bot: Bot, person: Come) -> None:
    ann = await person("Ann")
    room = await together(bot, ann)
    await say(bot, room, "one")
    laptop = await person("Ann", "laptop")
    await bot.sync()
    await say(bot, room, "two")
    await laptop.wait_for(lambda seen: seen.body == "two")
    await laptop.say(room, "from the laptop")
    await bot.hears(room, "from the laptop")


async def test_after_a_restart_it_reads_what_was_said_meanwhile(bot_at: Place, person: Come) -> None:
    ann = await person("Ann")
    async with bot_at() as bot:
        room = await together(bot, ann)
        await say(bot, room, "one")
        await ann.say(room, "first")
        await bot.hears(room, "first")
        since = bot.since
    await ann.message("one", room)
    await ann.say(room, "second")
    async with bot_at() as bot:
        bot.since = since
        await bot.hears(room, "second")
        await say(bot, room, "two")
    await ann.message("two", room)
    assert not ann.unreadable(room)


async def test_a_repeated_send_is_one_message(bot: Bot, person: Come) -> None:
    ann = await person("Ann")
    room = await together(bot, ann)
    assert await say(bot, room, "once", "key") == await say(bot, room, "once", "key")

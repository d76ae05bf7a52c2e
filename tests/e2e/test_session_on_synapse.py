"""A session on a real Synapse, with people who know nothing of the bot's code; once more in encrypted rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from bot.app import App, running
from bot.clock import SystemClock
from bot.config import AccessConfig
from bot.credentials import key_store
from bot.loader import load
from bot.matrix.client import NioHomeserver
from bot.store.database import Database
from bot.testing.encrypted import EncryptedUser
from bot.testing.pytest_plugin import People
from bot.testing.raw import open_session
from bot.testing.synapse import Homeserver


@asynccontextmanager
async def bot_on(
    server: Homeserver, name: str, folder: Path, *, allowed_inviters: Sequence[str] = (), **settings: object
) -> AsyncIterator[str]:
    """A bot with an account of its own on `server`; yields its user id."""
    account = await server.account(name, "secret-of-the-bot")
    clock = SystemClock()
    database = await Database.open(folder)
    try:
        async with NioHomeserver.connect(
            server.url, account.user_id, account.device_id, account.access_token, clock, key_store(folder)
        ) as homeserver:
            await homeserver.find_limits()  # as the admin's `login` does
            app = App(
                account=homeserver,
                database=database,
                loaded=load({"breakout": settings}),
                clock=clock,
                access=AccessConfig(allowed_inviters=tuple(allowed_inviters)),
            )
            async with running(app):
                yield account.user_id
    finally:
        await database.close()


async def test_people_are_split_and_brought_back(homeserver: Homeserver, people: People, tmp_path: Path) -> None:
    mia = await people("Mia")
    guests = [await people(name) for name in ("Ann", "Bob", "Cleo", "Dan")]
    bot_name = people.localpart("breakout")
    async with bot_on(homeserver, bot_name, tmp_path, closing_notice=1, long_closing_notice=1) as bot:
        main = await mia.create_room("Class 7b", powers={bot: 100})
        for guest in guests:
            await mia.invite(main, guest.user_id)
            await guest.join(main)
        await mia.invite(main, bot)
        await mia.message("setup 4", main)
        await mia.say(main, "!breakout setup 2")
        await mia.message("2 breakout rooms are planned", main)
        await mia.say(main, "!breakout start 20m")
        rooms = {}
        for guest in guests:
            invite = await guest.invited(" · Class 7b")
            rooms[guest.user_id] = invite.room
            await guest.join(invite.room)
            await guest.message("Welcome to", invite.room)
        assert sorted(map(list(rooms.values()).count, set(rooms.values()))) == [2, 2]
        await mia.message("Breakout rooms are open until", main)
        await mia.say(main, "!breakout broadcast Hello")
        await mia.message("Said in 2 rooms", main)
        for guest in guests:
            await guest.message("Mia: Hello", rooms[guest.user_id])
        await mia.say(main, "!breakout end")
        await mia.message("everybody is back here", main)
        for guest in guests:
            await guest.membership(rooms[guest.user_id], guest.user_id, "leave")
        await mia.say(main, "!breakout delete")
        question = await mia.message("Tap ✅", main)
        await mia.react(main, question.event_id, "✅")
        await mia.message("are being deleted", main)
        for guest in guests:
            assert await guest.joined_rooms() == {main}


@asynccontextmanager
async def with_devices(server: Homeserver, folder: Path, *localparts: str) -> AsyncIterator[list[EncryptedUser]]:
    """New people whose devices can encrypt."""
    async with open_session() as session, AsyncExitStack() as stack:

        async def come(localpart: str) -> EncryptedUser:
            login = await server.account(localpart, "secret", localpart)
            made = EncryptedUser(session, server.url, login, folder / localpart, name=localpart)
            stack.push_async_callback(made.close)
            await made.published()
            return made

        yield [await come(localpart) for localpart in localparts]


async def is_played_encrypted(bot: str, mia: EncryptedUser, *guests: EncryptedUser) -> None:
    """A session from the greeting to the end, of which everybody can read all that is said to them."""
    main = await mia.create_room("Class 7b", invite=guests, encrypted=True, powers={bot: 100})
    for guest in guests:
        await guest.join(main)
    await mia.invite(main, bot)
    await mia.message("setup 4", main)
    await mia.say(main, "!breakout setup 2")
    await mia.message("2 breakout rooms are planned", main)
    await mia.say(main, "!breakout start 20m")
    rooms = {}
    for guest in guests:
        rooms[guest.user_id] = (await guest.invited(" · Class 7b")).room
        await guest.join(rooms[guest.user_id])
        await guest.message("Welcome to", rooms[guest.user_id])
    await mia.say(main, "!breakout broadcast Hello")
    await mia.message("Said in 2 rooms", main)
    for guest in guests:
        await guest.message(f"{mia.name}: Hello", rooms[guest.user_id])
    await guests[0].say(rooms[guests[0].user_id], "!help Where are we?")
    await guests[0].message("moderators are told", rooms[guests[0].user_id])
    await mia.say(main, "!breakout end")
    await mia.message("everybody is back here", main)
    for guest in guests:
        await guest.membership(rooms[guest.user_id], guest, "leave")
    for person in (mia, *guests):
        assert not person.unreadable()


async def test_the_same_in_encrypted_rooms(homeserver: Homeserver, people: People, tmp_path: Path) -> None:
    names = [people.localpart(name) for name in ("Mia", "Ann", "Bob", "Cleo", "Dan")]
    async with (
        with_devices(homeserver, tmp_path, *names) as persons,
        bot_on(
            homeserver, people.localpart("breakout"), tmp_path / "bot", closing_notice=1, long_closing_notice=1
        ) as bot,
    ):
        await is_played_encrypted(bot, *persons)

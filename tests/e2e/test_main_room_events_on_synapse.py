"""On a real Synapse: a bot whose database is gone finds its session again; one whose main room is upgraded follows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.app import App, running
from bot.clock import SystemClock
from bot.credentials import key_store
from bot.loader import load
from bot.matrix.client import NioHomeserver
from bot.store.database import Database
from bot.testing.pytest_plugin import People
from bot.testing.raw import RawUser
from bot.testing.synapse import Account, Homeserver


@asynccontextmanager
async def life(server: Homeserver, account: Account, keys: Path, data: Path) -> AsyncIterator[None]:
    """One life of the bot, on the same device each time."""
    clock = SystemClock()
    database = await Database.open(data)
    try:
        async with NioHomeserver.connect(
            server.url, account.user_id, account.device_id, account.access_token, clock, key_store(keys)
        ) as homeserver:
            app = App(account=homeserver, database=database, loaded=load({"breakout": {}}), clock=clock)
            async with running(app):
                yield
    finally:
        await database.close()


async def started(mia: RawUser, guests: list[RawUser], bot: str) -> tuple[str, dict[str, str]]:
    """A class whose session runs, everybody in; its main room, and each guest's breakout room."""
    main = await mia.create_room("Class 7b", powers={bot: 100}, version="11")
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
        rooms[guest.user_id] = (await guest.invited(" · Class 7b")).room
        await guest.join(rooms[guest.user_id])
        await guest.message("Welcome to", rooms[guest.user_id])
    await mia.message("Breakout rooms are open until", main)
    return main, rooms


async def said(person: RawUser, room: str, part: str) -> int:
    """How often somebody said something, edits left out."""
    texts = [event["content"] for event in await person.messages(room) if event["type"] == "m.room.message"]
    return sum(part in text.get("body", "") for text in texts if "m.new_content" not in text)


async def test_a_bot_without_its_database_finds_its_session_again(
    homeserver: Homeserver, people: People, tmp_path: Path
) -> None:
    mia = await people("Mia")
    guests = [await people(name) for name in ("Ann", "Bob", "Cleo", "Dan")]
    account = await homeserver.account(people.localpart("breakout"), "secret-of-the-bot")
    keys, ann = tmp_path / "keys", guests[0]
    async with life(homeserver, account, keys, tmp_path / "before"):
        main, rooms = await started(mia, guests, account.user_id)
        await mia.say(main, "!breakout broadcast Hello")
        await mia.message("Said in 2 rooms", main)
    before = await guests[0].joined_rooms()
    async with life(homeserver, account, keys, tmp_path / "after"):
        await mia.message("I have lost my notes", main)
        await mia.say(main, "!breakout broadcast Once more")
        for guest in guests:
            await guest.message("Mia: Once more", rooms[guest.user_id])
        assert await guests[0].joined_rooms() == before
        for part in ("Welcome to", "Mia: Hello"):
            assert await said(ann, rooms[ann.user_id], part) == 1
        assert await said(mia, main, "setup 4") == 1
        await mia.say(main, "!breakout delete")
        await mia.message("Tap ✅", main)
        await mia.say(main, "!breakout delete confirm")
        for guest in guests:
            await guest.membership(rooms[guest.user_id], guest.user_id, "leave")
        for guest in guests:
            assert await guest.joined_rooms() == {main}


async def test_the_session_follows_an_upgraded_main_room(
    homeserver: Homeserver, people: People, tmp_path: Path
) -> None:
    mia = await people("Mia")
    guests = [await people(name) for name in ("Ann", "Bob")]
    ann, bob = guests
    account = await homeserver.account(people.localpart("breakout"), "secret-of-the-bot")
    async with life(homeserver, account, tmp_path / "keys", tmp_path / "data"):
        main, rooms = await started(mia, guests, account.user_id)
        new = await mia.upgrade(main, "12")
        await mia.message("Please invite me there", main)
        await mia.invite(new, account.user_id)
        await mia.message("have come along to this room", new)
        await mia.invite(new, ann.user_id)
        await ann.join(new)
        await mia.say(new, "!breakout broadcast Hello")
        for guest in guests:
            await guest.message("Mia: Hello", rooms[guest.user_id])
        await mia.say(new, "!breakout end now")
        await mia.message("everybody is back here", new)
        for guest in guests:
            await guest.membership(rooms[guest.user_id], guest.user_id, "leave")
        assert bob.user_id not in await mia.members(new)
        assert await said(mia, new, "setup 4") == 0

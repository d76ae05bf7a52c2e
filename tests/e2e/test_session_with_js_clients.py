"""A whole session of matrix-js-sdk clients that talk to signed devices only: who should read does, and nobody else.

They exclude devices that their owner has not signed, in sending and in receiving (MSC4153).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from bot.app import App, running
from bot.clock import SystemClock
from bot.credentials import key_store
from bot.loader import load
from bot.matrix.client import NioHomeserver, login_password
from bot.matrix.crypto.cross_signing import new_recovery, set_up
from bot.store.database import Database
from bot.testing.pytest_plugin import People
from bot.testing.synapse import Account, Homeserver
from tests.e2e.js_clients import JsClient, js_clients

SETTINGS = {"closing_notice": 1, "long_closing_notice": 1, "help_cooldown": 0}


class Bot:
    """The bot's account, which may live several times, on several devices."""

    def __init__(self, homeserver: Homeserver, login: Account, folder: Path) -> None:
        self.homeserver, self.login, self.folder = homeserver, login, folder
        self.recovery_key: str | None = None

    async def log_in(self) -> None:
        """As the admin does it: a new device, signed with the identity that the account has."""
        user = self.login.user_id
        self.login = Account(user, *await login_password(self.homeserver.url, user, "secret", "bot"))
        async with self._account() as account:
            signer = await account.signer(key_store(self.folder))
            await set_up(signer, recovery_key=self.recovery_key)
            self.recovery_key = self.recovery_key or await new_recovery(signer)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        """The bot runs."""
        database = await Database.open(self.folder)
        try:
            async with self._account() as account:
                app = App(account=account, database=database, loaded=load({"breakout": SETTINGS}), clock=SystemClock())
                async with running(app):
                    yield
        finally:
            await database.close()

    def _account(self) -> AbstractAsyncContextManager[NioHomeserver]:
        user, device, token = self.login.user_id, self.login.device_id, self.login.access_token
        return NioHomeserver.connect(self.homeserver.url, user, device, token, SystemClock(), key_store(self.folder))


async def unreadable(*clients: JsClient) -> list[str]:
    """What somebody could not read of the rooms that they are in."""
    return [
        f"{client.name} in {room.name}: {event.sender} {event.failure}"
        for client in clients
        for room in await client.rooms()
        if room.membership == "join"
        for event in await client.read(room.room_id)
        if event.failure
    ]


async def test_a_session_of_strict_clients(homeserver: Homeserver, people: People, tmp_path: Path) -> None:
    bot = Bot(homeserver, await homeserver.account(people.localpart("bot"), "secret", "Breakout"), tmp_path / "bot")
    me = bot.login.user_id
    await bot.log_in()
    async with js_clients() as clients:

        async def come(name: str) -> JsClient:
            account = await homeserver.account(people.localpart(name), "secret", name)
            return await clients.login(name, homeserver.url, account.user_id, "secret", strict=True)

        mia, *guests = [await come(name) for name in ("Mia", "Ann", "Bob", "Cleo", "Dan")]
        ann, bob, *_ = guests
        async with bot.life():
            main = await mia.create_room("Class 7b", me, *(guest.user_id for guest in guests))
            await asyncio.gather(*(guest.join(main) for guest in guests))
            await mia.wait(main, "A moderator begins", sender=me)
            await mia.wait_signed(me)
            await mia.send(main, "!breakout setup 2")
            await mia.wait(main, "2 breakout rooms are planned", sender=me)
            await mia.send(main, "!breakout start")
            rooms = {}
            for guest in guests:
                room = rooms[guest.user_id] = await guest.wait_invite("Class 7b")
                await guest.join(room)
                assert (await guest.wait(room, "Welcome to", sender=me)).encrypted

            # help, by a typed command and a reaction
            desk = await mia.wait_invite("Moderators of")
            await mia.join(desk)
            await mia.wait(desk, "This is the desk", sender=me)
            await ann.send(rooms[ann.user_id], "!help we are stuck")
            call = await mia.wait(desk, "we are stuck", sender=me)
            await mia.react(desk, call.event_id, "👀")
            await ann.wait(rooms[ann.user_id], "is coming", sender=me)

            # a new device in the middle
            laptop = await clients.login("Laptop", homeserver.url, ann.user_id, "secret", strict=True)
            await ann.sign_device(laptop.device_id)
            await mia.send(main, "!breakout broadcast One")
            for guest in (*guests, laptop):
                await guest.wait(rooms[guest.user_id], "One", sender=me)

            # somebody is removed, and cannot read on
            await mia.kick(main, bob.user_id)
            await bob.wait_membership(rooms[bob.user_id], "leave")
            await mia.send(main, "!breakout broadcast Two")
            others = [guest for guest in (*guests, laptop) if guest is not bob]
            await asyncio.gather(*(guest.wait(rooms[guest.user_id], "Two", sender=me) for guest in others))
            assert not any(event.body and "Two" in event.body for event in await bob.read(rooms[bob.user_id]))

        # the bot is away, and back with its keys
        await mia.send(main, "!breakout status")
        async with bot.life():
            await mia.wait(main, "Breakout rooms are open", sender=me)

        # it has lost its keys, and is back on a new device of the same identity
        shutil.rmtree(bot.folder / "crypto")
        await bot.log_in()
        await asyncio.gather(*(client.wait_signed(me, bot.login.device_id) for client in (mia, *others)))
        async with bot.life():
            await mia.send(main, "!breakout broadcast Three")
            await asyncio.gather(*(guest.wait(rooms[guest.user_id], "Three", sender=me) for guest in others))
            await mia.send(main, "!breakout end now")
            for guest in guests:
                await guest.wait_membership(rooms[guest.user_id], "leave")
            await mia.wait(main, "everybody is back here", sender=me)
            assert await unreadable(mia, *guests) == []

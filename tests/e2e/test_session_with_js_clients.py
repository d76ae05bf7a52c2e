"""A whole session of matrix-js-sdk clients that talk to signed devices only: who should read does, and nobody else.

They exclude devices that their owner has not signed, in sending and in receiving (MSC4153).
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.clock import SystemClock
from bot.credentials import key_store
from bot.matrix.client import NioHomeserver
from bot.matrix.crypto.cross_signing import new_recovery, set_up
from bot.matrix.logins import login_password
from bot.testing.pytest_plugin import People
from bot.testing.synapse import Homeserver
from plugins.breakout.demo.stage import BotProcess
from tests.e2e.js_clients import JsClient, js_clients

SETTINGS = {"closing_notice": 1, "long_closing_notice": 1, "help_cooldown": 0}


class Bot:
    """The bot as its admin runs it, several times, on several devices."""

    def __init__(self, homeserver: Homeserver, user: str, folder: Path) -> None:
        self.url, self.user, self.data, self.settings = homeserver.url, user, folder / "data", folder / "bot.yaml"
        self.log = folder / "bot.log"
        self.device = ""
        self.recovery_key: str | None = None
        self.data.mkdir(parents=True)
        self.settings.write_text(
            json.dumps(
                {
                    "homeserver": {"url": self.url, "user_id": user},
                    "store": {"path": str(self.data)},
                    "plugins": {"breakout": SETTINGS},
                }
            )
        )

    async def log_in(self) -> None:
        """A new device, signed with the identity that the account has."""
        self.device, token = await login_password(self.url, self.user, "secret", "bot")
        login = {"user_id": self.user, "device_id": self.device, "access_token": token}
        (self.data / "session.json").write_text(json.dumps(login))
        keys = key_store(self.data)
        async with NioHomeserver.connect(self.url, self.user, self.device, token, SystemClock(), keys) as account:
            signer = await account.signer(keys)
            await set_up(signer, recovery_key=self.recovery_key)
            self.recovery_key = self.recovery_key or await new_recovery(signer)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        """The bot runs; it is ready when it answers."""
        process = BotProcess(self.settings, self.log)
        await process.start()
        try:
            yield
        finally:
            await process.stop()


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
    me = (await homeserver.account(people.localpart("bot"), "secret", "Breakout")).user_id
    bot = Bot(homeserver, me, tmp_path)
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
        shutil.rmtree(bot.data / "crypto")
        await bot.log_in()
        await asyncio.gather(*(client.wait_signed(me, bot.device) for client in (mia, *others)))
        async with bot.life():
            await mia.send(main, "!breakout broadcast Three")
            await asyncio.gather(*(guest.wait(rooms[guest.user_id], "Three", sender=me) for guest in others))
            await mia.send(main, "!breakout end now")
            for guest in guests:
                await guest.wait_membership(rooms[guest.user_id], "leave")
            await mia.wait(main, "everybody is back here", sender=me)
            assert await unreadable(mia, *guests) == []

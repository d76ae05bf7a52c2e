"""A whole session on a Synapse of its own, timed: `python -m bench.session --rooms 20 --people 200`."""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from bot.app import App, running
from bot.clock import SystemClock
from bot.loader import load
from bot.matrix.client import NioHomeserver
from bot.store.database import Database
from bot.testing.raw import RawUser, open_session
from bot.testing.synapse import Homeserver

PATIENCE = 600


class Watch:
    """Prints how long each act took."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self, act: str) -> None:
        """The act is over."""
        now = time.perf_counter()
        print(f"{act:32} {now - self._last:7.2f} s", flush=True)
        self._last = now


async def session(rooms: int, people: int, limits: str) -> None:
    """Play it and print the times."""
    async with Homeserver(limits="stock" if limits == "stock" else "off") as server, open_session() as http:
        moderator = await server.participant("mia", "Mia", session=http)
        guests = [await server.participant(f"p{n}", f"Person {n}", session=http) for n in range(people)]
        account = await server.account("breakout", "secret")
        main = await moderator.create_room("Conference", powers={account.user_id: 100})
        await _all(_enter(moderator, guest, main) for guest in guests)
        with tempfile.TemporaryDirectory() as folder:
            await _play(server, account, moderator, guests, main, rooms, Path(folder))
        await asyncio.gather(*(user.close() for user in (moderator, *guests)))


async def _play(
    server: Homeserver,
    account: object,
    moderator: RawUser,
    guests: list[RawUser],
    main: str,
    rooms: int,
    folder: Path,
) -> None:
    clock = SystemClock()
    database = await Database.open(folder)
    user, device, token = (getattr(account, name) for name in ("user_id", "device_id", "access_token"))
    settings = {"max_rooms": 100, "confirm_above": 1000, "closing_notice": 0, "long_closing_notice": 0}
    async with NioHomeserver.connect(server.url, user, device, token, clock) as homeserver:
        app = App(account=homeserver, database=database, loaded=load({"breakout": settings}), clock=clock)
        async with running(app):
            await moderator.invite(main, user)
            await moderator.message("A moderator begins", main, PATIENCE)
            watch = Watch()
            await moderator.say(main, f"!breakout setup {rooms}")
            print((await moderator.message("Next:", main, PATIENCE)).body)
            watch.lap("setup, until the reply")
            await moderator.say(main, "!breakout start")
            await moderator.message("are opening", main, PATIENCE)
            watch.lap("start, until the reply")
            await moderator.say(main, "!breakout")
            await moderator.message("speaks to every room", main, PATIENCE)
            watch.lap("an answer meanwhile")
            invites = await _all(guest.invited("Conference", PATIENCE) for guest in guests)
            watch.lap("… until the last invite")
            await _all(guest.join(invite.room) for guest, invite in zip(guests, invites, strict=True))
            watch.lap("everybody joins")
            await moderator.say(main, "!breakout broadcast Hello everybody")
            await moderator.message("Said in", main, PATIENCE)
            watch.lap("broadcast, until the receipt")
            await moderator.say(main, "!breakout end now")
            await moderator.message("everybody is back here", main, PATIENCE)
            watch.lap("end, until the rooms are locked")
            await _all(
                guest.membership(invite.room, guest.user_id, "leave", PATIENCE)
                for guest, invite in zip(guests, invites, strict=True)
            )
            watch.lap("… until the last is out")
            await moderator.say(main, "!breakout delete")
            await moderator.message("Tap ✅", main, PATIENCE)
            await moderator.say(main, "!breakout delete confirm")
            await moderator.message("are being deleted", main, PATIENCE)
            await _until_alone(homeserver, main)
            watch.lap("delete, until the bot is out")
    await database.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"this process (bot and people): {used.ru_utime + used.ru_stime:.1f} s CPU, {used.ru_maxrss // 1024} MB")


async def _until_alone(homeserver: NioHomeserver, main: str) -> None:
    """Wait until the bot is in the main room alone."""
    while set((await homeserver.sync(None, 0)).joined) != {main}:  # noqa: ASYNC110 - no event tells of leaving
        await asyncio.sleep(0.1)


async def _enter(moderator: RawUser, guest: RawUser, main: str) -> None:
    await moderator.invite(main, guest.user_id)
    await guest.join(main)
    guest.listen()


async def _all(calls: Iterable[object]) -> list:  # type: ignore[type-arg]
    """Eight at a time."""
    gate = asyncio.Semaphore(8)

    async def one(call: object) -> object:
        if asyncio.iscoroutine(call) and call.__qualname__.endswith(("invited", "membership")):
            return await call
        async with gate:
            return await call  # type: ignore[misc]

    return await asyncio.gather(*(one(call) for call in calls))


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--limits", choices=("off", "stock"), default="off")
    chosen = parser.parse_args()
    asyncio.run(session(chosen.rooms, chosen.people, chosen.limits))


if __name__ == "__main__":
    main()

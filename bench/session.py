"""A whole session on a Synapse of its own, timed: `python -m bench.session --rooms 20 --people 200`."""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from bot.app import App, running
from bot.clock import SystemClock
from bot.loader import load
from bot.matrix.client import NioHomeserver
from bot.store.database import Database
from bot.testing.raw import RawUser, open_session
from bot.testing.synapse import Account, Homeserver

PATIENCE = 600

LOCKED = 50
"""The level that it takes to speak in a locked room."""


class Watch:
    """Prints how long each act took."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self, act: str) -> None:
        """The act is over."""
        now = time.perf_counter()
        print(f"{act:32} {now - self._last:7.2f} s", flush=True)
        self._last = now


async def session(rooms: int, people: int, limits: str, timer: int) -> None:
    """Play it and print the times; with a `timer`, in minutes, it ends by itself."""
    async with Homeserver(limits="stock" if limits == "stock" else "off") as server, open_session() as http:
        moderator = await server.participant("mia", "Mia", session=http)
        guests = [await server.participant(f"p{n}", f"Person {n}", session=http) for n in range(people)]
        account = await server.account("breakout", "secret")
        main = await moderator.create_room("Conference", powers={account.user_id: 100})
        await _all(_enter(moderator, guest, main) for guest in guests)
        with tempfile.TemporaryDirectory() as folder:
            seen = Seen(RawUser(http, server.url, account.user_id, account.access_token), main)
            await _play(server, account, moderator, guests, main, rooms, timer, Path(folder), seen)
        await asyncio.gather(*(user.close() for user in (moderator, *guests)))


async def _play(
    server: Homeserver,
    account: Account,
    moderator: RawUser,
    guests: list[RawUser],
    main: str,
    rooms: int,
    timer: int,
    folder: Path,
    seen: Seen,
) -> None:
    clock = SystemClock()
    database = await Database.open(folder)
    user, device, token = account.user_id, account.device_id, account.access_token
    people = len(guests)
    settings = {"max_rooms": 100, "confirm_above": 1000}
    async with NioHomeserver.connect(server.url, user, device, token, clock) as homeserver:
        await homeserver.find_limits()
        app = App(account=homeserver, database=database, loaded=load({"breakout": settings}), clock=clock)
        async with running(app):
            await moderator.invite(main, user)
            await moderator.message("A moderator begins", main, PATIENCE)
            watch = Watch()
            await moderator.say(main, f"!breakout setup {rooms}")
            print((await moderator.message("Next:", main, PATIENCE)).body)
            watch.lap("setup, until the reply")
            await moderator.say(main, "!breakout start")
            print((await moderator.message("are opening", main, PATIENCE)).body)
            watch.lap("start, until the reply")
            await moderator.say(main, "!breakout")
            await moderator.message("speaks to every room", main, PATIENCE)
            watch.lap("an answer meanwhile")
            await _until(lambda: seen.count("invite"), people)
            watch.lap("… until the last invite")
            await _all(
                guest.join(room)
                for room, invited in (await seen.who("invite")).items()
                for guest in guests
                if guest.user_id in invited
            )
            watch.lap("everybody joins")
            if timer:
                await _times_out(moderator, main, timer, seen)
            else:
                await moderator.say(main, "!breakout broadcast Hello everybody")
                await moderator.message("Said in", main, PATIENCE)
                watch.lap("broadcast, until the receipt")
                await moderator.say(main, "!breakout end now")
                print((await moderator.message("are closing now", main, PATIENCE)).body)
            await moderator.message("everybody is back here", main, PATIENCE)
            watch.lap("end, until the rooms are locked")
            await _until(lambda: seen.count("join"), 0)
            watch.lap("… until the last is out")
            await moderator.say(main, "!breakout delete")
            await moderator.message("Tap ✅", main, PATIENCE)
            await moderator.say(main, "!breakout delete confirm")
            await moderator.message("are being deleted", main, PATIENCE)
            await _until(seen.rooms, 0)
            watch.lap("delete, until the bot is out")
    await database.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"this process (bot and people): {used.ru_utime + used.ru_stime:.1f} s CPU, {used.ru_maxrss // 1024} MB")


async def _times_out(moderator: RawUser, main: str, minutes: int, seen: Seen) -> None:
    """Let a timer end the rooms, and print when the last of them was warned, told and locked."""
    await moderator.say(main, f"!breakout timer {minutes}m")
    await moderator.message("The rooms close at", main, PATIENCE)
    ends = time.time() + minutes * 60
    await moderator.message("everybody is back here", main, minutes * 60 + PATIENCE)
    for what, moments in (await seen.moments()).items():
        first, last = min(moments) - ends, max(moments) - ends
        print(f"{what:32} {len(moments)} rooms, from {first:+.1f} s to {last:+.1f} s of the end", flush=True)


class Seen:
    """The breakout rooms as the homeserver has them, asked with the bot's own account.

    People do not sync while this runs: a Synapse that tells 200 clients of 200 joins does little else.
    """

    def __init__(self, bot: RawUser, main: str) -> None:
        self._bot, self._main = bot, main

    async def who(self, membership: str) -> dict[str, set[str]]:
        """Who is invited to, or in, each breakout room; the bot left out."""
        rooms = await self._bot.joined_rooms() - {self._main}
        names = {room: (await self._bot.state_of(room, "m.room.name") or {}).get("name", "") for room in rooms}
        return {
            room: await self._bot.members(room, membership) - {self._bot.user_id}
            for room, name in names.items()
            if name.startswith("Room ")
        }

    async def moments(self) -> dict[str, list[float]]:
        """When each breakout room was warned, told that it closes, and locked, in seconds since 1970."""
        found: dict[str, list[float]] = {"warned a minute before": [], "told that it closes": [], "locked": []}
        for room in await self.who("join"):
            for event in await self._bot.messages(room):
                at, content = event["origin_server_ts"] / 1000, event["content"]
                body = content.get("body", "") if event["sender"] == self._bot.user_id else ""
                if body.startswith("1 minute left"):
                    found["warned a minute before"].append(at)
                elif body.startswith("This room closes in"):
                    found["told that it closes"].append(at)
                elif event["type"] == "m.room.power_levels" and content.get("events_default") == LOCKED:
                    found["locked"].append(at)
        return {what: moments for what, moments in found.items() if moments}

    async def count(self, membership: str) -> int:
        """How many people that are."""
        return sum(len(users) for users in (await self.who(membership)).values())

    async def rooms(self) -> int:
        """How many rooms the bot is in, the main room left out."""
        return len(await self._bot.joined_rooms() - {self._main})


async def _until(count: Callable[[], Awaitable[int]], wanted: int) -> None:
    """Ask again and again; the homeserver tells nobody outside."""
    while await count() != wanted:  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.2)


async def _enter(moderator: RawUser, guest: RawUser, main: str) -> None:
    await moderator.invite(main, guest.user_id)
    await guest.join(main)


async def _all(calls: Iterable[Awaitable[object]]) -> None:
    """Eight at a time."""
    gate = asyncio.Semaphore(8)

    async def one(call: Awaitable[object]) -> None:
        async with gate:
            await call

    await asyncio.gather(*(one(call) for call in calls))


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--limits", choices=("off", "stock"), default="off")
    parser.add_argument("--timer", type=int, default=0, help="minutes after which the rooms close by themselves")
    chosen = parser.parse_args()
    asyncio.run(session(chosen.rooms, chosen.people, chosen.limits, chosen.timer))


if __name__ == "__main__":
    main()

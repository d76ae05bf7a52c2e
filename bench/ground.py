"""The ground on which bots are measured: a Synapse of its own, people, and main rooms with a bot in each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

import aiohttp

from bench import postgres
from bench.watch import Kind, Watch
from bot.testing.raw import MatrixError, RawUser, open_session
from bot.testing.synapse import Account, Homeserver, Limits

T = TypeVar("T")

AT_ONCE = 8
"""Requests of people in flight."""

WATCHES_EVERY = 0.25
"""Seconds between two looks of the watch, which would else cost the server as much as those who are measured."""

PASSWORD = "secret"  # noqa: S105 - of accounts that live for a minute on this machine

PATIENCE = 900.0
"""Seconds that anything may take before the measurement is given up."""


class Size(NamedTuple):
    """So many breakout rooms for so many people."""

    rooms: int
    people: int

    def __str__(self) -> str:
        return f"{self.rooms}×{self.people}"


@dataclass(frozen=True)
class Hall:
    """A main room with its moderator, its people and one bot, watched with the bot's own account."""

    size: Size
    main: str
    moderator: RawUser
    people: Sequence[RawUser]
    bot: RawUser
    watch: Watch

    async def say(self, text: str) -> None:
        """The moderator types into the main room."""
        await self.moderator.say(self.main, text)

    async def join_where_invited(self) -> None:
        """Everybody accepts the invite that they hold; who is in already stays."""
        seats = self.watch.seats()
        await all_of(_join(user, seats[user.user_id]) for user in self.people if user.user_id in seats)


@dataclass(frozen=True)
class Ground:
    """The server and a folder for the programs that are measured. `http` is the people's connection."""

    server: Homeserver
    http: aiohttp.ClientSession
    folder: Path
    stack: AsyncExitStack
    accounts: dict[str, Account] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self.server.pid is not None
        return self.server.pid

    async def account(self, name: str) -> Account:
        """An account with a password, `PASSWORD`, and a device of its own; the same one for the same name."""
        if name not in self.accounts:
            self.accounts[name] = await self.server.account(name, PASSWORD, name.capitalize())
        return self.accounts[name]

    async def crowd(self, people: int, prefix: str = "p") -> list[RawUser]:
        """So many participants with a display name; those who exist are taken over."""
        names = [f"{prefix}{number}" for number in range(people)]
        return await all_of(self.server.participant(name, f"Person {name}", session=self.http) for name in names)

    async def hall(
        self, rooms: int, people: Sequence[RawUser], bot: str | RawUser, *, name: str = "Conference"
    ) -> Hall:
        """A main room with everybody in it and the bot invited last; the caller lets the bot in.

        Several halls of one bot share its account, given as the `bot` of the first one, so that it is watched once.
        """
        moderator = await self.server.participant("mia", "Mia", session=self.http)
        account = bot if isinstance(bot, RawUser) else await self._watched(bot)
        main = await moderator.create_room(name, powers={account.user_id: 100}, preset="public_chat")
        await all_of(person.join(main) for person in people)
        watch = Watch(account, main, name)
        await moderator.invite(main, account)
        return Hall(Size(rooms, len(people)), main, moderator, people, account, watch)

    async def _watched(self, bot: str) -> RawUser:
        account = await self.server.participant(bot[1:].partition(":")[0], session=self.http)
        account.listen(WATCHES_EVERY)
        self.stack.push_async_callback(account.close)
        return account


@asynccontextmanager
async def ground(limits: Limits = "off", *, on_postgres: bool = False) -> AsyncIterator[Ground]:
    """A fresh server in a temporary folder, with SQLite or with a PostgreSQL of its own; all ends with the block."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        settings = {"database": stack.enter_context(postgres.database(folder / "postgres"))} if on_postgres else None
        server = Homeserver(limits=limits, folder=folder / "homeserver", settings=settings)
        await stack.enter_async_context(server)
        http = await stack.enter_async_context(open_session())
        yield Ground(server, http, folder, stack)


async def all_of(acts: Iterable[Awaitable[T]], at_once: int = AT_ONCE) -> list[T]:
    """The results in order; so many acts at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(act: Awaitable[T]) -> T:
        async with gate:
            return await act

    return await asyncio.gather(*(one(act) for act in acts))


@asynccontextmanager
async def accepting(hall: Hall) -> AsyncIterator[None]:
    """While the block runs, everybody accepts each new invite to a breakout room as soon as it is there."""
    people = {user.user_id: user for user in hall.people}
    gate = asyncio.Semaphore(AT_ONCE)

    async def accept(user: RawUser, room: str) -> None:
        async with gate:
            await _join(user, room)

    async def look() -> None:
        position = hall.watch.mark()
        async with asyncio.TaskGroup() as joins:
            while True:
                invites, position = hall.watch.invites(position)
                for room, user in invites:
                    if user in people:
                        joins.create_task(accept(people[user], room))
                with suppress(TimeoutError):
                    await hall.bot.wait_for(lambda _: True, 1.0, after=hall.bot.heard)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def greeted(hall: Hall) -> None:
    """Wait until the bot has come and has said so."""
    await hall.watch.until({Kind.REPLY: 1}, 0, PATIENCE)


async def _join(user: RawUser, room: str) -> None:
    with suppress(MatrixError):  # withdrawn meanwhile
        await user.join(room)


def now() -> float:
    """The present moment, on the clock by which homeservers on this machine date events."""
    return time.time()

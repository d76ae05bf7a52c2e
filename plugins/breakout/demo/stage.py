"""Puts up what the demo needs: a homeserver, the people's accounts, and the bot as a process that can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import NoReturn

import aiohttp

from bot.testing.encrypted import EncryptedUser
from bot.testing.raw import RawUser, open_session
from bot.testing.synapse import Account, Homeserver
from plugins.breakout.demo.reader import Reader

MODERATORS = ("Mia", "Noah")
EARLY = ("Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ines", "Jon", "Kim")
LATE = "Lea"
PARTICIPANTS = (*EARLY, LATE)
BOT = "Breakout"

WARNING = 20
"""Seconds; the product drops warnings within 15 s of the closing notice."""

CLOSING_NOTICE = 3
"""Seconds."""

SETTINGS: dict[str, object] = {
    "warnings": [WARNING],
    "closing_notice": CLOSING_NOTICE,
    "long_closing_notice": CLOSING_NOTICE,
    "board_interval": 1,
    "help_cooldown": 1,
}

STOP_SECONDS = 10.0
"""How long the bot may take to stop before it is killed."""

# Whatever the shell of the user says about another bot does not hold for this one.
_FOREIGN = "BREAKOUT_BOT_"


class BotEnded(Exception):
    """The bot's process ended although nobody ended it."""

    def __init__(self, code: int) -> None:
        super().__init__(f"The bot ended by itself with exit code {code}.")
        self.code = code


class BotProcess:
    """The bot as its admin runs it: `python -m bot run`, with a log file and a handle of its own."""

    program: Sequence[str] = ("-m", "bot")
    """What Python is to run."""
    environment: Mapping[str, str] = MappingProxyType({})
    """What the process finds in its environment besides ours."""

    def __init__(self, config: Path, log: Path) -> None:
        self.kills = 0
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._config = config
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process as the system knows it; None before its start."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process; it is ready when it answers, and not before."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        command = (sys.executable, *self.program, "run", "--config", str(self._config))
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=log, stderr=log, env={**kept, **self.environment}
            )
        self._watch = asyncio.create_task(self._until_it_ends(self._process))

    async def kill_and_restart(self) -> None:
        """End it as a power cut would (`kill -9`), and start it again."""
        await self._end(signal.SIGKILL)
        self.kills += 1
        await self.start()

    async def stop(self) -> None:
        """End it as an admin does, by force where it does not listen."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._end(signal.SIGTERM)
        except TimeoutError:
            await self._end(signal.SIGKILL)

    async def ended_by_itself(self) -> NoReturn:
        """Wait for what should not happen: `BotEnded` when the process ends and nobody ended it."""
        raise BotEnded(await asyncio.shield(self._ended))

    def last_words(self, lines: int = 25) -> str:
        """The end of its log."""
        if not self._log.exists():
            return ""
        with self._log.open(encoding="utf-8", errors="replace") as log:
            return "".join(deque(log, lines))

    async def _end(self, how: signal.Signals) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(how)
            await self._process.wait()

    async def _until_it_ends(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if not self._ended.done():
            self._ended.set_result(code)


@dataclass(frozen=True)
class Stage:
    """All that the play needs; names are display names."""

    homeserver: Homeserver
    bot: BotProcess
    bot_id: str
    people: Mapping[str, RawUser]
    passwords: Mapping[str, str]
    reader: Reader
    encrypted: bool
    """Whether the main room is, and with it all the others."""
    moved: bool
    """Whether people are taken into their rooms without a tap."""

    @property
    def names(self) -> Mapping[str, str]:
        """Who is behind a user id."""
        return {self.bot_id: BOT, **{user.user_id: name for name, user in self.people.items()}}


@asynccontextmanager
async def stage(
    *,
    encrypted: bool = False,
    moved: bool = False,
    names: Sequence[str] = (*MODERATORS, *PARTICIPANTS),
    front: Callable[[str], AbstractAsyncContextManager[str]] = nullcontext,
    process: Callable[[Path, Path], BotProcess] = BotProcess,
) -> AsyncIterator[Stage]:
    """A homeserver in a temporary folder, everybody registered, the bot started; all of it ends with the block.

    `front` puts something before the homeserver and tells the address at which the bot finds it then; `process`
    makes what runs the bot, of its configuration and its log.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="breakout-demo-", ignore_cleanup_errors=True)))
        homeserver = await stack.enter_async_context(Homeserver(folder=folder / "homeserver"))
        session = await stack.enter_async_context(open_session())
        people: dict[str, RawUser] = {}
        passwords: dict[str, str] = {}
        for name in names:
            password = passwords[name] = secrets.token_hex(3)
            account = await homeserver.account(name.lower(), password, name)
            people[name] = (
                await _encrypting(session, homeserver.url, account, folder / name, name)
                if encrypted
                else RawUser(session, homeserver.url, account.user_id, account.access_token, name=name)
            )
            stack.push_async_callback(people[name].close)
        admin = await homeserver.register("admin", secrets.token_hex(16), admin=True)
        reader = Reader(session, homeserver.url, admin, people.values())

        password = secrets.token_hex(16)
        bot_id = (await homeserver.account("breakout", password, BOT)).user_id
        config = folder / "bot.yaml"
        url = await stack.enter_async_context(front(homeserver.url))
        members = {"members": "force_join"} if moved else {}
        config.write_text(json.dumps(_config(url, bot_id, password, folder / "data", SETTINGS | members), indent=1))
        if moved:
            await homeserver.make_admin(bot_id)
        bot = process(config, folder / "bot.log")
        await bot.start()
        stack.push_async_callback(bot.stop)
        yield Stage(homeserver, bot, bot_id, people, passwords, reader, encrypted, moved)


async def _encrypting(
    session: aiohttp.ClientSession, url: str, account: Account, folder: Path, name: str
) -> EncryptedUser:
    user = EncryptedUser(session, url, account, folder, name=name)
    await user.published()
    return user


def _config(url: str, bot: str, password: str, data: Path, settings: Mapping[str, object]) -> dict[str, object]:
    """The bot's settings; JSON is YAML."""
    return {
        "homeserver": {"url": url, "user_id": bot, "password": password},
        "store": {"path": str(data)},
        "plugins": {"breakout": settings},
    }

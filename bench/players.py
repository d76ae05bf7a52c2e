"""Those who are measured, each a process of its own: our bot as its admin runs it, and the peer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ground import PASSWORD, Ground, Hall
from plugins.breakout.demo.stage import BotProcess

SETTINGS: Mapping[str, Any] = {"max_rooms": 100, "confirm_above": 100_000}
"""What benchmarks set: sizes beyond the usual, and no question before a start. All else is as delivered."""

PREFIX = "!breakout "
"""How a command to our bot begins."""

LOG = "bench.log"
"""What a program writes, in its data folder."""


class PeerProcess(BotProcess):
    """`bench.peer` as a process."""

    program: Sequence[str] = ("-m", "bench.peer")


@dataclass(frozen=True)
class Player:
    """A bot that obeys what a moderator types."""

    name: str
    user_id: str
    prefix: str
    process: BotProcess

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process.pid is not None
        return self.process.pid

    async def told(self, hall: Hall, command: str) -> None:
        """The moderator types a command."""
        await hall.say(f"{self.prefix}{command}")


@asynccontextmanager
async def our_bot(
    ground: Ground,
    *,
    url: str | None = None,
    name: str = "breakout",
    process: type[BotProcess] = BotProcess,
    settings: Mapping[str, Any] = SETTINGS,
    level: str = "WARNING",
) -> AsyncIterator[Player]:
    """`python -m bot run`, at `url` where something stands before the server; its data folder outlives it."""
    account = await ground.account(name)
    login = {"url": url or ground.server.url, "user_id": account.user_id, "password": PASSWORD}
    folder = ground.folder / name
    config: dict[str, Any] = {
        "homeserver": login,
        "store": {"path": str(folder)},
        "logs": {"level": level},
        "plugins": {"breakout": {**settings}},
    }
    async with _running(process, config, folder) as running:
        yield Player("ours", account.user_id, PREFIX, running)


@asynccontextmanager
async def the_peer(ground: Ground, *, url: str | None = None, name: str = "peer") -> AsyncIterator[Player]:
    """The afternoon's bot."""
    account = await ground.account(name)
    config = {
        "url": url or ground.server.url,
        "user_id": account.user_id,
        "device_id": account.device_id,
        "access_token": account.access_token,
    }
    async with _running(PeerProcess, config, ground.folder / name) as running:
        yield Player("peer", account.user_id, "!peer ", running)


@asynccontextmanager
async def _running(process: type[BotProcess], config: Mapping[str, Any], folder: Path) -> AsyncIterator[BotProcess]:
    bot = process(_configured(config, folder), folder / LOG)
    await bot.start()
    try:
        yield bot
    finally:
        await bot.stop()


def _configured(config: Mapping[str, Any], folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "bench.json"  # JSON is YAML
    file.write_text(json.dumps(config))
    return file

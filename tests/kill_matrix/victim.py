"""The bot's process as something that is killed at any moment and comes back each time."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from plugins.breakout.demo.stage import BotProcess
from tests.kill_matrix.mortal import COMMITS_FILE, DEATHS_FILE, ORDERS, ORDERS_FILE, notes


@dataclass
class Down:
    """A time without the bot, in seconds since 1970; `until` is when it followed the homeserver again."""

    since: float
    until: float = float("inf")


class Victim(BotProcess):
    """Whoever kills it, and be it itself, it starts again; ending in any other way is its own fault."""

    program = ("-m", "tests.kill_matrix.mortal")

    def __init__(self, config: Path, log: Path) -> None:
        super().__init__(config, log)
        self.downs: list[Down] = []
        self.up = asyncio.Event()
        self._folder = config.parent / "orders"
        self._folder.mkdir()
        for name in (COMMITS_FILE, DEATHS_FILE):
            (self._folder / name).touch()
        self.order([])
        self.environment = {ORDERS: str(self._folder)}

    def order(self, commits: Iterable[tuple[str, str, int, str]]) -> None:
        """At which commits it is to die from now on; see `Commits`."""
        new = self._folder / "new"
        new.write_text(json.dumps(list(commits)), "utf-8")
        new.replace(self._folder / ORDERS_FILE)

    def commits(self) -> list[str]:
        """The kinds of all commits so far."""
        return [kind for (kind,) in notes(self._folder / COMMITS_FILE)]

    def deaths(self) -> list[str]:
        """The names of the orders that it obeyed."""
        return [name for (name,) in notes(self._folder / DEATHS_FILE)]

    async def kill(self) -> None:
        """Kill it now; returns when it is dead."""
        self.up.clear()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    def is_back(self) -> None:
        """It follows the homeserver."""
        if self._process is None or self._process.returncode is not None:
            return
        if self.downs and self.downs[-1].until == float("inf"):
            self.downs[-1].until = time.time()
        self.up.set()

    async def _until_it_ends(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if code != -signal.SIGKILL:
            if not self._ended.done():
                self._ended.set_result(code)
            return
        self.up.clear()
        self.downs.append(Down(time.time()))
        self.kills += 1
        await self.start()

"""Tells systemd that the bot runs, what it is about, and that it has not come to a standstill."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import structlog

log = structlog.get_logger(__name__)

USUAL_PAUSE = 10.0
"""Seconds between two words where no watchdog listens."""


class Supervisor:
    """Whoever started the bot and wants to hear of it (sd_notify(3)); where nobody does, nothing is said."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        is_meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._patience = int(environment.get("WATCHDOG_USEC") or 0) / 1_000_000 if is_meant else 0.0
        self._up = False

    def is_at(self, status: str) -> None:
        """Say what the bot is about, in one line."""
        self._tell(f"STATUS={status}")

    def is_up(self, status: str) -> None:
        """Say that the start succeeded."""
        self._up = True
        self._tell(f"READY=1\nSTATUS={status}")

    def is_stopping(self) -> None:
        """Say that the bot ends because it was told to."""
        self._tell("STOPPING=1\nSTATUS=Stopping")

    @asynccontextmanager
    async def watching(
        self, status: Callable[[], str], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> AsyncIterator[None]:
        """Show meanwhile that work goes on, twice in each span after which silence is taken for a standstill.

        A start that is under way asks for more time, since the homeserver may come up after us; once the bot is up,
        `status` is what it is about. `sleep` takes seconds, of no clock that somebody may set.
        """
        showing = asyncio.create_task(self._show(status, sleep))
        try:
            yield
        finally:
            showing.cancel()

    async def _show(self, status: Callable[[], str], sleep: Callable[[float], Awaitable[None]]) -> None:
        pause, told = self._patience / 2 or USUAL_PAUSE, ""
        while self._address:
            if self._patience:
                self._tell("WATCHDOG=1")
            if not self._up:
                self._tell(f"EXTEND_TIMEOUT_USEC={3 * pause * 1_000_000:.0f}")
            elif (now := status()) != told:
                told = now
                self.is_at(now)
            await sleep(pause)

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.setblocking(False)  # noqa: FBT003 - the library's own form
                line.connect(name)
                line.sendall(text.encode())
        except OSError as error:
            log.warning("systemd does not hear the bot", why=str(error))

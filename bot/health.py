"""Whether the bot is alive and ready, and which part is not; served beside the metrics on one small HTTP server."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiohttp import web

from bot.clock import Clock
from bot.errors import ConfigError
from bot.metrics import TEXT_FORMAT, Metrics

LONGEST_SILENCE = timedelta(minutes=2)
"""Without a batch for longer than this the bot does not hear: each /sync is answered within half a minute."""

FINE = "ok"


@dataclass(slots=True)
class Health:
    """What is known of each part; those who find it out write it here."""

    clock: Clock
    logged_in: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first batch is taken in, and never taken back."""
    synced_at: datetime | None = None
    store: str = ""
    """Why the store cannot be written, for as long as it is so."""
    unsigned: str = ""
    """Why other people's apps do not know the bot's device as its own; a warning, since much works without."""

    def parts(self) -> Mapping[str, str]:
        """Each part without which nothing works: `ok`, or why it is not."""
        return {
            "login": FINE if self.logged_in else "not logged in yet",
            "sync": self._sync(),
            "store": f"the store cannot be written: {self.store}" if self.store else FINE,
        }

    def _sync(self) -> str:
        if self.synced_at is None:
            return "the first sync is not through yet"
        silence = self.clock.now() - self.synced_at
        return FINE if silence <= LONGEST_SILENCE else f"no sync for {silence.total_seconds():.0f} s"

    def faults(self) -> tuple[str, ...]:
        """Why the bot is not ready; empty where it is."""
        return tuple(why for why in self.parts().values() if why != FINE)

    def status(self) -> str:
        """The same in one line."""
        faults = self.faults()
        return f"Not ready: {'; '.join(faults)}" if faults else "Ready"


async def watch_loop(
    note: Callable[[float], None],
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Note each second by how many seconds the event loop was late, until cancelled."""
    while True:
        due = now() + 1
        await sleep(1)
        note(max(0.0, now() - due))


def answers(health: Health, metrics: Metrics) -> web.Application:
    """What is served: `/health/live`, `/health/ready`, `/metrics`."""

    async def live(_request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def ready(_request: web.Request) -> web.Response:
        is_ready = not health.faults()
        warnings = {"identity": health.unsigned} if health.unsigned else {}
        answer = {"ready": is_ready, "parts": health.parts(), "warnings": warnings}
        return web.json_response(answer, status=200 if is_ready else 503)

    async def numbers(_request: web.Request) -> web.Response:
        return web.Response(body=await metrics.page(), headers={"Content-Type": TEXT_FORMAT})

    app = web.Application()
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/metrics", numbers)
    return app


@asynccontextmanager
async def serving(listen: tuple[str, int] | None, app: web.Application) -> AsyncIterator[int | None]:
    """Serve at this address and port, and yield the port; nothing for None. `ConfigError` where it cannot be had."""
    if listen is None:
        yield None
        return
    host, port = listen
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, reuse_address=True).start()
        except OSError as error:
            raise ConfigError(_not_had(host, port, error)) from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _not_had(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"metrics.listen: port {port} at {host} is in use by another program. Set another port, or null."
    # asyncio puts the address into the text of a bind that fails, once more
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return f"metrics.listen: the bot cannot listen at {host}:{port} ({why}). Set an address of this machine, or null."

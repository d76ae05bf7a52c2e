"""Runs the bot as a process: settings, login, store, signals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from bot.app import App
from bot.clock import Clock, SystemClock
from bot.config import Config, read_config
from bot.credentials import credentials, key_store
from bot.errors import BotError, LoginLost, MatrixError, Temporary
from bot.loader import load
from bot.logs import set_up_logs
from bot.matrix.client import NioHomeserver
from bot.matrix.crypto.cross_signing import set_up
from bot.matrix.crypto.identity import KeyStore
from bot.store.database import Database

log = structlog.get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
"""Between two tries to have the device signed."""


async def run(path: Path | None) -> None:
    """Run until SIGINT or SIGTERM; `BotError` says in one sentence why it cannot run."""
    config = read_config(path)
    set_up_logs(config.logs.level, config.logs.format)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    database = await Database.open(config.store.path)
    try:
        await _serve(config, database, stop)
    finally:
        await database.close()


async def _serve(config: Config, database: Database, stop: asyncio.Event) -> None:
    loaded = load(config.plugins)
    login = await credentials(config.homeserver, config.store.path)
    clock = SystemClock()
    url = str(config.homeserver.url).rstrip("/")
    keys = key_store(config.store.path)
    async with NioHomeserver.connect(url, login.user_id, login.device_id, login.access_token, clock, keys) as account:
        app = App(
            account=account,
            database=database,
            loaded=loaded,
            clock=clock,
            access=config.access,
            prefix=config.commands.prefix,
        )
        try:
            await _until_stopped(app, stop, _get_to_know(account, keys, config, clock))
        except* LoginLost as lost:
            raise LoginLost(
                "The homeserver no longer accepts the bot's login. Log it in again: put its password into the "
                "settings, delete session.json in the data folder, and start it."
            ) from lost


async def _get_to_know(account: NioHomeserver, keys: KeyStore, config: Config, clock: Clock) -> None:
    """What may take its time beside the work: the homeserver's limits, and the identity there."""
    try:
        await account.recall_limits()
    except MatrixError as error:
        log.warning("the limits of the homeserver are not known yet", why=str(error))
    await _have_identity(account, keys, config, clock)


async def _have_identity(account: NioHomeserver, keys: KeyStore, config: Config, clock: Clock) -> None:
    """Have other people's clients know this device; what an admin must do for it is logged, and holds up nothing."""
    password = config.homeserver.password.get_secret_value() if config.homeserver.password else None
    pause = FIRST_PAUSE
    while True:
        try:
            await set_up(await account.signer(keys), password=password)
        except Temporary as error:
            log.warning("the device could not be signed yet", why=str(error))
            await clock.sleep_until(clock.now() + pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        except BotError as error:
            log.error("other people's apps do not know this device as the bot's own", why=str(error))  # noqa: TRY400
            return
        else:
            return


async def _until_stopped(app: App, stop: asyncio.Event, beside: Coroutine[Any, Any, None]) -> None:
    serving = asyncio.create_task(app.run())
    stopping = asyncio.create_task(stop.wait())
    others = [asyncio.create_task(_say_ready(app)), asyncio.create_task(beside)]
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, *others):
        task.cancel()
    if serving.done():
        await serving
    serving.cancel()
    await asyncio.wait({serving})
    log.info("stopped")


async def _say_ready(app: App) -> None:
    await app.ready.wait()
    log.info("ready")

"""Runs the bot as a process: settings, login, store, signals."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog

from bot.app import App
from bot.check import log_faults
from bot.clock import Clock, SystemClock
from bot.config import Config, read_config
from bot.credentials import Credentials, credentials, key_store, service_of
from bot.errors import BotError, LoginLost, MatrixError, Temporary
from bot.explained import in_words
from bot.health import Health, answers, serving, watch_loop
from bot.loader import load, owners
from bot.logs import log_what_nobody_awaited, set_up_logs
from bot.matrix.client import NioHomeserver
from bot.matrix.crypto.cross_signing import set_up
from bot.matrix.crypto.identity import KeyStore
from bot.metrics import Metrics
from bot.store.database import Database
from bot.store.migrate import refuse_newer
from bot.systemd import Supervisor

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
"""Between two tries to log in, or to have the device signed."""


async def run(path: Path | None) -> None:
    """Run until SIGINT or SIGTERM; `BotError` says in one sentence why it cannot run."""
    config = read_config(path)
    set_up_logs(config.logs.level, config.logs.format)
    stop = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(log_what_nobody_awaited)
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    metrics, health, supervisor = Metrics(), Health(SystemClock()), Supervisor()
    watching = asyncio.create_task(watch_loop(metrics.loop_lag.observe))
    try:
        async with (
            supervisor.watching(health.status),
            serving(config.metrics.address, answers(health, metrics)),
        ):
            database = await Database.open(config.store.path)
            try:
                await _serve(config, database, metrics, health, stop, supervisor)
            finally:
                await database.close()
    except BotError:
        raise
    except Exception:
        log.critical("ended by an error that nobody foresaw", exc_info=True)
        raise SystemExit(1) from None
    finally:
        watching.cancel()


async def _serve(
    config: Config, database: Database, metrics: Metrics, health: Health, stop: asyncio.Event, supervisor: Supervisor
) -> None:
    loaded = load(config.plugins)
    refuse_newer(database.file, owners(loaded))
    clock = health.clock
    supervisor.is_at(f"Waiting for {config.homeserver.url}")
    login = await _unless_stopped(logged_in(config, clock), stop)
    if login is None:
        return
    supervisor.is_at(f"Logged in as {login.user_id}, reading what was said")
    health.logged_in = True
    url = str(config.homeserver.url).rstrip("/")
    keys = key_store(config.store.path)
    where = (url, login.user_id, login.device_id, login.access_token)
    async with NioHomeserver.connect(*where, clock, keys, metrics) as account:
        account.requests.service = service_of(config.homeserver, login)
        app = App(
            account=account,
            database=database,
            loaded=loaded,
            clock=clock,
            access=config.access,
            prefix=config.commands.prefix,
            metrics=metrics,
            health=health,
        )
        try:
            await _until_stopped(app, stop, supervisor, get_to_know(account, keys, config, health, app.ready))
        except* LoginLost as lost:
            raise LoginLost(
                "The homeserver has signed the bot out: put its password into the settings, run `breakout-bot login`, "
                "and start it again."
            ) from lost


async def logged_in(config: Config, clock: Clock) -> Credentials:
    """The login, asked for until the homeserver answers: it may start after us; `ConfigError` where it refuses."""
    return await _until_answered(
        lambda: credentials(config.homeserver, config.store.path), "the bot could not log in yet", config, clock
    )


async def get_to_know(
    account: NioHomeserver, keys: KeyStore, config: Config, health: Health, ready: asyncio.Event
) -> None:
    """What may take its time beside the work: the homeserver's limits, the identity there, what `check` finds."""
    try:
        await account.recall_limits()
    except MatrixError as error:
        log.warning("the limits of the homeserver are not known yet", why=str(error))
    await _have_identity(account, keys, config, health)
    await ready.wait()  # it reads all rooms, as our first sync does: Synapse would do both at half the speed
    await log_faults(config, health.clock)


async def _have_identity(account: NioHomeserver, keys: KeyStore, config: Config, health: Health) -> None:
    """Have other people's clients know this device; what an admin must do for it is logged, and holds up nothing."""
    password = config.homeserver.password.get_secret_value() if config.homeserver.password else None

    async def sign() -> None:
        await set_up(await account.signer(keys), password=password)

    health.unsigned = "the bot's device is not signed by its account's identity yet"
    try:
        await _until_answered(sign, "the device could not be signed yet", config, health.clock)
        health.unsigned = ""
    except BotError as error:
        health.unsigned = "other people's apps do not know this device as the bot's own; the log says what to do"
        log.error("other people's apps do not know this device as the bot's own", why=str(error))  # noqa: TRY400


async def _until_answered(call: Callable[[], Awaitable[T]], otherwise: str, config: Config, clock: Clock) -> T:
    """What `call` returns, tried again after a growing pause as long as the homeserver fails for now."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await call()
        except Temporary as error:
            log.warning(otherwise, why=in_words(str(config.homeserver.url).rstrip("/"), error))
            await clock.sleep_until(clock.now() + max(pause, error.retry_after or timedelta()))
            pause = min(2 * pause, LONGEST_PAUSE)


async def _unless_stopped(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """What `work` returns; None where the program is to end before."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        return await working
    working.cancel()
    await asyncio.wait({working})
    return None


async def _until_stopped(
    app: App, stop: asyncio.Event, supervisor: Supervisor, beside: Coroutine[Any, Any, None]
) -> None:
    serving = asyncio.create_task(app.run())
    stopping = asyncio.create_task(stop.wait())
    others = [asyncio.create_task(_say_ready(app, supervisor)), asyncio.create_task(beside)]
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, *others):
        task.cancel()
    if serving.done():
        await serving
    supervisor.is_stopping()
    serving.cancel()
    await asyncio.wait({serving})
    log.info("stopped")


async def _say_ready(app: App, supervisor: Supervisor) -> None:
    await app.ready.wait()
    supervisor.is_up("Ready")
    log.info("ready")

"""Logs the bot in and has other people's clients know its device; run once, and again whenever that is broken."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bot.clock import SystemClock
from bot.config import read_config
from bot.credentials import credentials, key_store
from bot.errors import BotError, ConfigError, MatrixError
from bot.matrix.client import NioHomeserver
from bot.matrix.crypto.cross_signing import new_recovery, note_recovery, set_up
from bot.store.database import Database


async def login(
    path: Path | None,
    *,
    recovery_key_file: Path | None = None,
    new_identity: bool = False,
    new_recovery_key: bool = False,
) -> None:
    """Log in, sign the device, and print the recovery key where a new one was made: it is shown this once.

    Raises `BotError` with one sentence that says what to do.
    """
    config, console = read_config(path), Console(highlight=False, soft_wrap=True)
    recovery_key = _read(recovery_key_file) if recovery_key_file else None
    database = await Database.open(config.store.path)  # a second process must not use the device's keys
    try:
        url = str(config.homeserver.url).rstrip("/")
        password = config.homeserver.password.get_secret_value() if config.homeserver.password else None
        made = await credentials(config.homeserver, config.store.path)
        keys = key_store(config.store.path)
        async with NioHomeserver.connect(
            url, made.user_id, made.device_id, made.access_token, SystemClock(), keys
        ) as account:
            signer = await account.signer(keys)
            console.print(f"Logged in at {url} as {made.user_id}, device {made.device_id}.")
            await set_up(signer, password=password, recovery_key=recovery_key, anew=new_identity)
            console.print("Other people's apps see that this device is the bot's own.")
            console.print(_said(await account.find_limits()))
            if new_recovery_key or not await account.has_recovery(keys):
                _show(console, await new_recovery(signer))
                note_recovery(signer)
            else:
                console.print("Its recovery key was shown before; --new-recovery-key makes another one.")
    except MatrixError as error:
        raise BotError(f"The homeserver does not let us do that: {error}.") from error
    finally:
        await database.close()


def _said(per_second: float | None) -> str:
    if per_second is None:
        return "The homeserver sets the bot no limits that large sessions would feel."
    return (
        f"The homeserver lets the bot make {per_second * 60:.0f} requests a minute: large sessions take minutes to "
        "start. An admin of the homeserver can lift that with one call, see docs/install.md."
    )


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from error


def _show(console: Console, recovery_key: str) -> None:
    console.print("\nThe recovery key, shown this once:\n")
    console.print(f"    {recovery_key}\n", style="bold")
    console.print("Keep it where you keep passwords. With it the bot keeps its identity when its data folder is lost:")
    console.print("    breakout-bot login --recovery-key-file FILE")

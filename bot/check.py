"""Tells what is missing before the first session, and how to mend it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bot.clock import SystemClock
from bot.config import Config, read_config
from bot.credentials import credentials, key_store
from bot.errors import BotError, MatrixError
from bot.loader import load
from bot.matrix.client import NioHomeserver
from bot.matrix.crypto.cross_signing import Chain
from bot.store.database import Database


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `remedy` says what to do where it is not `fine`."""

    what: str
    fine: bool
    remedy: str = ""


async def check(path: Path | None) -> bool:
    """Print a line a finding; True where everything is fine."""
    console = Console()
    everything = True
    async for finding in findings(path):
        everything &= finding.fine
        mark = Text("✓ ", "green") if finding.fine else Text("✗ ", "bold red")
        console.print(mark + Text(finding.what + (f" — {finding.remedy}" if finding.remedy else ""), ""))
    return everything


async def findings(path: Path | None) -> AsyncIterator[Finding]:
    """What was found, one after another; what builds on something that is missing is left out."""
    try:
        config = read_config(path)
    except BotError as error:
        for line in str(error).splitlines():
            yield Finding("settings", fine=False, remedy=line)
        return
    yield Finding("settings are complete", fine=True)
    yield _plugins(config)
    store = await _store(config)
    yield store
    if not store.fine:
        return
    async for finding in _account(config):
        yield finding


def _plugins(config: Config) -> Finding:
    try:
        names = [loaded.name for loaded in load(config.plugins)]
    except BotError as error:
        return Finding("plugins", fine=False, remedy=str(error))
    return Finding(f"plugins: {', '.join(names) or 'none'}", fine=True)


async def _store(config: Config) -> Finding:
    try:
        database = await Database.open(config.store.path)
    except BotError as error:
        return Finding("the data folder", fine=False, remedy=str(error))
    await database.close()
    return Finding(f"the data folder {config.store.path} can be used", fine=True)


def _identity(chain: Chain) -> Finding:
    """What other people's apps find; strict ones have nothing to do with a device that its owner did not sign."""
    what = "encrypted rooms: other people's apps know this device as the bot's own"
    if chain.holds:
        return Finding(what, fine=True)
    missing = {
        "the homeserver has no keys of the device": chain.device,
        "the account has no identity": chain.master,
        "its self-signing key is not signed": chain.self_signing,
        "the device is not signed": chain.signed,
    }
    first = next(text for text, there in missing.items() if not there)
    return Finding(what, fine=False, remedy=f"{first}: run `breakout-bot login`")


async def _account(config: Config) -> AsyncIterator[Finding]:
    url = str(config.homeserver.url).rstrip("/")
    try:
        login = await credentials(config.homeserver, config.store.path)
        async with NioHomeserver.connect(
            url, login.user_id, login.device_id, login.access_token, SystemClock()
        ) as account:
            batch = await asyncio.wait_for(account.sync(None, 0), 60)
            chain = await account.as_others_see_it(login.device_id)
            is_safe = not chain.holds or await account.has_recovery(key_store(config.store.path))
    except (MatrixError, TimeoutError) as error:
        yield Finding(
            "login",
            fine=False,
            remedy=f"{url} does not let us in: {error}. Look at the address and the login",
        )
        return
    except BotError as error:
        yield Finding("login", fine=False, remedy=str(error))
        return
    yield Finding(f"logged in at {url} as {login.user_id}, device {login.device_id}", fine=True)
    yield _identity(chain)
    if not is_safe:
        remedy = "nobody was shown the recovery key, without which a lost data folder costs the identity: run `{}`"
        yield Finding("encrypted rooms: recovery", fine=False, remedy=remedy.format("breakout-bot login"))
    rooms, invites = len(batch.joined), len(batch.invited)
    yield Finding(f"in {rooms} rooms, {invites} invites open", fine=True)
    if not rooms:
        yield Finding(f"next: invite {login.user_id} to a room and type !breakout there", fine=True)

"""The plugin's declaration, to which commands and events add themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from bot.message.doc import Doc
from bot.plugin import Host, Plugin, Standing, Unit
from plugins.breakout import subject
from plugins.breakout.config import BreakoutConfig
from plugins.breakout.controller import Controller
from plugins.breakout.domain.desired import MARKER
from plugins.breakout.metrics import Metrics
from plugins.breakout.store import Sessions
from plugins.breakout.subject import Plug

NAME = "breakout"


@asynccontextmanager
async def lifespan(host: Host) -> AsyncIterator[Plug]:
    """The plugin while it runs: nothing to open, nothing to close."""
    metrics = Metrics(host.metrics)
    controller = Controller(host, host.config, metrics)
    yield Plug(host, host.config, host.config.settings(), controller.converge, metrics)


def names(config: BreakoutConfig) -> Mapping[str, str]:
    """The first words by which commands are typed besides the declared one."""
    return {name: NAME for name in config.names if name != NAME}


def needs_admin(config: BreakoutConfig) -> str:
    """Only an admin may have other people join."""
    return "members: force_join" if config.members == "force_join" else ""


async def refusal(error: Exception, state: Plug, unit: Unit, standing: Standing) -> Doc | None:
    """The sentence of a refusal of the rules."""
    return await subject.explained(state, unit, standing, error)


async def start_keys(state: Plug, unit: Unit) -> Sequence[str]:
    """The main rooms for which something may be left to do."""
    marked = await unit.rooms.rooms_with(MARKER)
    of_rooms = {marker["main"] for marker in marked.values() if isinstance(marker.get("main"), str)}
    del state
    return sorted({*await Sessions(unit.connection).mains(), *of_rooms})


async def at_scrape(state: Plug) -> None:
    """Read the metrics that only the store knows."""
    await state.metrics.read(state.host.database, state.host.clock)


async def put_back(state: Plug, unit: Unit) -> None:
    """Each session is found again by its rooms, as where the store is lost; the backup's knows a little besides."""
    del state
    await Sessions(unit.connection).put_aside()


plugin: Plugin[Plug] = Plugin(
    NAME,
    "Splits a room into breakout rooms and brings everybody back.",
    BreakoutConfig,
    lifespan,
    names=names,
    standing=subject.standing,
    subject=subject.subject,
    describe=subject.described,
    explain=refusal,
    migrations="plugins.breakout.migrations",
    start_keys=start_keys,
    at_scrape=at_scrape,
    needs_admin=needs_admin,
    put_back=put_back,
)


@plugin.reconciler
async def converge(state: Plug, key: str) -> datetime | None:
    """Make the rooms of the main room `key` what they should be."""
    return await state.converge(key)

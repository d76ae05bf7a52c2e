"""Tells what is missing before the first session, and how to mend it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import structlog
from rich.console import Console
from rich.text import Text

from bot.checks import machine
from bot.checks.account import account
from bot.checks.finding import Finding
from bot.checks.homeserver import homeserver
from bot.clock import Clock, SystemClock
from bot.config import Config, read_config
from bot.errors import BotError
from bot.explained import with_config

log = structlog.get_logger(__name__)


async def check(path: Path | None, *, as_json: bool = False, admin_token: str | None = None) -> bool:
    """Print a line a finding; True where everything is fine."""
    console = Console(soft_wrap=True, highlight=False)
    found: list[Finding] = []
    async for finding in findings(path, SystemClock(), admin_token):
        found.append(finding)
        if not as_json:
            with suppress(SystemExit):  # by rich, where whoever reads has gone, as in `check | head`
                console.print(_line(finding))
    if as_json:
        console.print(json.dumps([asdict(finding) for finding in found], ensure_ascii=False, indent=1), markup=False)
    return all(finding.ok for finding in found)


async def findings(path: Path | None, clock: Clock, admin_token: str | None = None) -> AsyncIterator[Finding]:
    """What was found, one after another; what builds on something that is missing is left out."""
    try:
        config = read_config(path)
    except BotError as error:
        for line in str(error).splitlines():
            yield Finding("settings", ok=False, message=line)
        return
    yield Finding("settings", ok=True, message="the settings are complete")
    async for finding in _after_the_settings(config, clock, admin_token):
        yield finding


async def log_faults(config: Config, clock: Clock) -> None:
    """Log what is not as it should be; for the start of the bot, which it holds up in nothing."""
    try:
        async for finding in _after_the_settings(config, clock):
            if not finding.ok:
                log.warning("check", found=finding.name, message=finding.message, remedy=finding.remedy)
    except OSError as error:
        log.warning("the check could not be finished", why=error.strerror)


async def _after_the_settings(config: Config, clock: Clock, admin_token: str | None = None) -> AsyncIterator[Finding]:
    async for finding in _looked_at(config, clock, admin_token):
        yield replace(
            finding,
            message=with_config(finding.message, config.file),
            remedy=with_config(finding.remedy, config.file),
        )


async def _looked_at(config: Config, clock: Clock, admin_token: str | None) -> AsyncIterator[Finding]:
    loaded, said = machine.plugins(config.plugins)
    for finding in (*said, *machine.folder(config.store.path, loaded)):
        yield finding
    url = str(config.homeserver.url).rstrip("/")
    answers = False
    async for finding in homeserver(url, clock, config.access, config.homeserver.user_id):
        answers |= finding.name == "homeserver" and finding.ok
        yield finding
    if answers:
        needs_admin = [each.needs_admin for each in loaded if each.needs_admin]
        async for finding in account(config, admin_token, needs_admin):
            yield finding


def _line(finding: Finding) -> Text:
    mark = Text("✓ ", "green") if finding.ok else Text("✗ ", "bold red")
    return mark + Text(finding.message + (f" — {finding.remedy}" if finding.remedy else ""), "")

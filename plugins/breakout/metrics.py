"""What the plugin tells of its sessions in numbers, and what a pass of its reconciler did."""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Iterable
from datetime import datetime

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bot.clock import Clock
from bot.store.database import Database
from plugins.breakout.domain.model import Phase, Presence
from plugins.breakout.domain.notices import HelpClaimed, HelpClosed, Notice
from plugins.breakout.domain.plan import Step
from plugins.breakout.store import Sessions

log = structlog.get_logger(__name__)

_WAITS = (5, 10, 30, 60, 120, 180, 300, 600, 1200, 3600)


class Metrics:
    """The plugin's metrics; labels have few values each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sessions = Gauge("breakout_sessions", "Sessions by phase.", ["phase"], registry=registry)
        self._people = Gauge(
            "breakout_people", "Seats of running sessions by their presence.", ["presence"], registry=registry
        )
        self._steps = Counter(
            "breakout_steps", "Steps on the homeserver, by what came of them.", ["kind", "outcome"], registry=registry
        )
        self._help_open = Gauge(
            "breakout_help_unclaimed", "Help requests to which no moderator is on the way.", registry=registry
        )
        self._help_oldest = Gauge(
            "breakout_help_oldest_seconds", "How long the oldest of these waits; 0 without one.", registry=registry
        )
        self._help_wait = Histogram(
            "breakout_help_wait_seconds",
            "From a request for help to its claim, and to its close.",
            ["until"],
            buckets=_WAITS,
            registry=registry,
        )
        self._done: dict[str, Tally[str]] = {}

    async def read(self, database: Database, clock: Clock) -> None:
        """Take over what only the store knows."""
        async with database.read() as connection:
            sessions = Sessions(connection)
            phases, people = await sessions.count(), await sessions.count_people()
            waiting = await sessions.unclaimed_help()
        for phase in Phase:
            self._sessions.labels(phase).set(phases.get(phase, 0))
        for presence in Presence:
            self._people.labels(presence).set(people.get(presence, 0))
        self._help_open.set(len(waiting))
        now = clock.now()
        self._help_oldest.set((now - min(waiting, default=now)).total_seconds())

    def heard(self, notices: Iterable[Notice], now: datetime) -> None:
        """Take from what is said how long people waited for help."""
        for notice in notices:
            match notice:
                case HelpClaimed():
                    self._help_wait.labels("claimed").observe((notice.at - notice.since).total_seconds())
                case HelpClosed():
                    self._help_wait.labels("closed").observe((now - notice.since).total_seconds())

    def stepped(self, main: str, step: Step, outcome: str) -> None:
        """A step for this main room came to an end: `done`, `again`, `throttled` or `refused`."""
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(step).__name__).lower()
        self._steps.labels(kind, outcome).inc()
        self._done.setdefault(main, Tally())[kind if outcome == "done" else f"{kind} ({outcome})"] += 1

    def pass_over(self, main: str, seconds: float) -> None:
        """A pass over this main room is over: one line of the log, where it did something."""
        if steps := self._done.pop(main, None):
            log.info("pass", main=main, steps=dict(steps), ms=round(seconds * 1000))

"""What failed for now waits a while, longer each time; what else there is to do goes on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from plugins.breakout.domain.plan import Stage

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=1)

STILL_BEING_MADE = timedelta(seconds=10)
"""Synapse makes a room in pieces, of which a sync tells at once: the invites come last, after up to some seconds.

One that we make besides, with a reason, would be a second one.
"""

Place: TypeAlias = tuple[str, int]
"""A session's id (empty for what belongs to none) and the number of a room."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One room's stage does not go on before `until`."""

    until: datetime
    failures: int


class Pauses:
    """The pauses of the rooms of one main room, kept in memory: after a restart everything is tried at once."""

    def __init__(self) -> None:
        self._pauses: dict[tuple[Place, Stage], Pause] = {}

    def failed(self, place: Place, stage: Stage, now: datetime, asked: timedelta | None = None) -> int:
        """A step did not succeed; returns how often in a row. `asked` is the wait that the homeserver asks for."""
        former = self._pauses.get((place, stage))
        failures = former.failures + 1 if former else 1
        pause = asked or min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(failures - 1, 10)))
        self._pauses[place, stage] = Pause(now + pause, failures)
        return failures

    def found(self, place: Place, now: datetime) -> None:
        """A room came to light whose making nobody answered: the homeserver may be at it still, and invite people."""
        former = self._pauses.get((place, Stage.MAKE))
        self._pauses[place, Stage.MAKE] = Pause(now + STILL_BEING_MADE, former.failures if former else 0)

    def succeeded(self, place: Place, stage: Stage) -> None:
        """The room's stage got on."""
        self._pauses.pop((place, stage), None)

    def has_failed(self, place: Place, stage: Stage) -> bool:
        """Whether the room's stage did not succeed when it was tried last."""
        return (place, stage) in self._pauses

    def until(self, place: Place, stage: Stage, now: datetime) -> datetime | None:
        """When the room may go on with this stage; None: now.

        A failing lock keeps everything back, the removals wait for a room to be shut (who is out could walk in again),
        the leaving for the removals; nothing else waits for another stage: somebody is removed though somebody else
        cannot be invited.
        """
        waits = [
            pause.until
            for (other, paused), pause in self._pauses.items()
            if other == place and _keeps_back(paused, stage) and pause.until > now
        ]
        return max(waits, default=None)

    def keep(self, places: Iterable[Place]) -> None:
        """Forget all rooms but these, in which something is still to do."""
        kept = set(places)
        self._pauses = {key: pause for key, pause in self._pauses.items() if key[0] in kept}


def _keeps_back(paused: Stage, stage: Stage) -> bool:
    return paused in (stage, Stage.LOCK) or (paused in (Stage.SHUT, Stage.REMOVE) and stage > paused)

"""Plays one session against the bot as a process, kills and hurts it at the given points, and looks at the outcome."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from plugins.breakout.demo.reader import RoomSeen
from plugins.breakout.demo.stage import BotEnded, BotProcess, stage
from tests.faults.proxy import LIMITS, Boundary, Fault, How, Proxy, Rule, Rules
from tests.kill_matrix.points import Hurt, Kill, Outcome, Point, Seen
from tests.kill_matrix.story import ACTS, NAMES, SHORT, Missing, Record, Story
from tests.kill_matrix.verify import wrong, wrong_for_good
from tests.kill_matrix.victim import Victim

PATIENCE = 60.0
"""Seconds that one step may take where the bot is killed or hurt meanwhile."""

PATIENCE_WITH_FAULTS = 120.0
"""The same where requests fail one after another: the bot's pauses grow."""

PATIENCE_WITH_LIMITS = 300.0
"""The same after a refusal for haste, which the bot takes for a server that grants a request in five seconds."""


@dataclass
class Result:
    """What one session showed. `wrong` holds for all of its points together."""

    outcomes: list[Outcome]
    wrong: list[str]
    seen: Seen
    seconds: float
    log: str = ""


@dataclass
class _Killer:
    """Stands at the proxy; knows the act, and kills where it is told to."""

    kills: Sequence[Kill]
    rules: Rules
    hurts: Sequence[Hurt]
    act: str = "boot"
    victim: Victim | None = None
    at: dict[Point, float] = field(default_factory=dict)
    """When each point was reached."""
    seen: Seen = field(default_factory=Seen)
    _requests: Counter[str] = field(default_factory=Counter)
    _commits: int = 0
    _deaths: int = 0

    def begins(self, act: str) -> None:
        """The story has come to its next act."""
        self._note_commits()
        self.act = act
        self._requests.clear()
        self._order()

    async def decide(self, boundary: Boundary) -> Fault | None:
        """The proxy's `decide`."""
        self._requests[boundary.kind] += 1
        self.seen.requests.setdefault(self.act, Counter())[boundary.kind] += 1
        if await self._killed(boundary, "before"):
            return Fault(How.DROP_BEFORE)
        fault = await self.rules(boundary)
        for hurt in self.hurts:
            if (hurt.kind, hurt.nth) == (boundary.kind, boundary.nth):
                self.at[hurt] = time.time()
        return fault

    async def answered(self, boundary: Boundary) -> None:
        """The proxy's `answered`."""
        if await self._killed(boundary, "after") or self.victim is None:
            return
        if boundary.kind == "sync":
            self.note_deaths()
            self.victim.is_back()
            self._order()

    async def _killed(self, boundary: Boundary, side: str) -> bool:
        if self.victim is None:
            return False
        for kill in self._pending("request"):
            if (kill.kind, kill.side) == (boundary.kind, side) and self._requests[kill.kind] >= kill.nth:
                self.at[kill] = time.time()
                await self.victim.kill()
                return True
        return False

    def _pending(self, what: str) -> list[Kill]:
        return [kill for kill in self.kills if kill.what == what and kill.act == self.act and kill not in self.at]

    def _order(self) -> None:
        if self.victim is not None:
            self.victim.order((kill.kind, kill.side, kill.nth, str(kill)) for kill in self._pending("commit"))

    def note_deaths(self) -> None:
        """Note at which commits the process has killed itself."""
        assert self.victim is not None
        at = self.victim.downs[-1].since if self.victim.downs else time.time()
        for name in self.victim.deaths()[self._deaths :]:
            self._deaths += 1
            self.at.update({kill: at for kill in self.kills if str(kill) == name})

    def _note_commits(self) -> None:
        if self.victim is not None:
            commits = self.victim.commits()
            self.seen.commits.setdefault(self.act, Counter()).update(commits[self._commits :])
            self._commits = len(commits)
            self.note_deaths()


async def session(
    points: Sequence[Point],
    *,
    rules: Rules | None = None,
    encrypted: bool = False,
    acts: Sequence[str] = ACTS,
    patience: float = 1.0,
) -> Result:
    """One session with these points, or with faults by other `rules`; each step may take `patience` times as long."""
    kills = [point for point in points if isinstance(point, Kill)]
    hurts = [point for point in points if isinstance(point, Hurt)]
    by_rule = rules or Rules([Rule(hurt.kind, hurt.fault, hurt.nth) for hurt in hurts])
    killer = _Killer(kills, by_rule, hurts)
    limited = any(hurt.how in LIMITS for hurt in hurts)
    patience *= PATIENCE_WITH_LIMITS if limited else PATIENCE_WITH_FAULTS if hurts or rules else PATIENCE
    acts = SHORT if limited else acts
    since = time.time()
    complaints: list[str] = []

    @asynccontextmanager
    async def front(upstream: str) -> AsyncIterator[str]:
        proxy = Proxy(upstream, killer.decide, killer.answered)
        async with proxy.running():
            yield proxy.url

    def process(config: Path, log: Path) -> BotProcess:
        killer.victim = Victim(config, log)
        killer.begins("boot")
        return killer.victim

    async with stage(encrypted=encrypted, names=NAMES, front=front, process=process) as there:
        victim = killer.victim
        assert victim is not None

        async def settled(when: str, record: Record) -> list[RoomSeen]:
            began = time.time()
            while True:
                rooms = await there.reader.rooms()
                differs = wrong(when, record, there, rooms)
                if not differs or time.time() - began > patience:
                    complaints.extend(differs)
                    record.progress.append((time.time(), began))
                    return rooms
                await asyncio.sleep(0.2)  # nobody is left there to tell

        timed = sum(kill.act in ("time", "end") for kill in kills)
        story = Story(there, killer.begins, settled, patience=patience, kills=timed + (1 if hurts else 0), acts=acts)
        failure = await _played(story, victim, patience)
        act = killer.act
        killer.begins("over")
        if failure is None:
            cost = 10.0 if hurts or rules else 0.0
            complaints += wrong_for_good(story.record, there, victim.downs, cost)
        else:
            complaints.append(f"in {act}: {failure}")
        outcomes = [_outcome(point, killer.at.get(point), complaints, story.record) for point in points]
        log = victim.last_words(400) if complaints else ""
    return Result(outcomes, complaints, killer.seen, time.time() - since, log)


async def _played(story: Story, victim: Victim, patience: float) -> str | None:
    """Why the story broke off; None where it did not."""
    playing = asyncio.create_task(_from_the_start(story, victim, patience))
    watching = asyncio.create_task(victim.ended_by_itself())
    try:
        await asyncio.wait((playing, watching), return_when=asyncio.FIRST_COMPLETED)
        await (playing if playing.done() else watching)
    except (Missing, BotEnded, TimeoutError) as reason:
        return f"{type(reason).__name__}: {reason}"
    finally:
        for task in (playing, watching):
            task.cancel()
        await asyncio.wait((playing, watching))
    return None


async def _from_the_start(story: Story, victim: Victim, patience: float) -> None:
    async with asyncio.timeout(patience):
        await victim.up.wait()
    await story.play()


def _outcome(point: Point, at: float | None, complaints: list[str], record: Record) -> Outcome:
    if at is None:
        return Outcome(str(point), reached=False)
    done = [moment - max(at, due) for moment, due in record.progress if moment > at]
    return Outcome(str(point), reached=True, wrong=tuple(complaints), seconds=round(max(0.0, *done[:1], 0.0), 2))

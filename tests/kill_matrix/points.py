"""Where a session may be killed or hurt, and how it came out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias

from tests.faults.proxy import LIMITS, SYNC_ONLY, Fault, How
from tests.kill_matrix import story

Side: TypeAlias = Literal["before", "after"]
What: TypeAlias = Literal["request", "commit"]
SIDES: tuple[Side, ...] = ("before", "after")

MOST_IN_AN_ACT = 2
"""Kills of one session in one act."""

ACTS = ("boot", *story.ACTS)


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL `side` the homeserver acts on the `nth` request of a kind in an act, or before or after that commit."""

    act: str
    what: What
    kind: str
    side: Side
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.act}: {self.side} {self.what} {self.kind} #{self.nth}"


@dataclass(frozen=True, slots=True)
class Hurt:
    """A fault for the `nth` request of a kind in the whole session."""

    kind: str
    how: How
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.kind}: {self.how}"

    @property
    def fault(self) -> Fault:
        """Short, so that the session is not over before it ends; the conversations have the long ones."""
        return Fault(self.how, 2.0)


Point: TypeAlias = Kill | Hurt


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a point; `reached` is false where the session did not come to it."""

    point: str
    reached: bool
    wrong: tuple[str, ...] = ()
    seconds: float = 0.0
    """From the kill to the next step that was done."""


@dataclass
class Seen:
    """The boundaries of a session that nobody disturbed: how often each kind came in each act."""

    requests: dict[str, Counter[str]] = field(default_factory=dict)
    commits: dict[str, Counter[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: dict[str, dict[str, dict[str, int]]]) -> Self:
        return cls(*({act: Counter(kinds) for act, kinds in plain[name].items()} for name in ("requests", "commits")))

    def plain(self) -> dict[str, dict[str, dict[str, int]]]:
        """As JSON has it."""
        return {
            name: {act: dict(kinds) for act, kinds in found.items()}
            for name, found in (("requests", self.requests), ("commits", self.commits))
        }

    def kills(self) -> list[Kill]:
        """Each distinct boundary once."""
        return [
            Kill(act, what, kind, side)
            for what, found in self._kinds()
            for act in ACTS
            for kind in sorted(found.get(act, ()))
            for side in SIDES
        ]

    def random_kills(self, seed: int, count: int) -> list[Kill]:
        """Any boundary of any act, also the later ones of a kind."""
        chance = random.Random(seed)
        all_ = [
            Kill(act, what, kind, side, nth)
            for what, found in self._kinds()
            for act, kinds in found.items()
            for kind, times in kinds.items()
            for nth in range(2, times + 1)
            for side in SIDES
        ]
        return chance.sample(all_, min(count, len(all_)))

    def _kinds(self) -> Iterator[tuple[What, dict[str, Counter[str]]]]:
        yield "request", self.requests
        yield "commit", self.commits

    def hurts(self) -> list[Hurt]:
        """Each class of fault once for each kind of request."""
        kinds = sorted({kind for found in self.requests.values() for kind in found})
        return [Hurt(kind, how) for kind in kinds for how in How if kind == "sync" or how not in SYNC_ONLY]


def spread(points: Iterable[Kill], at_once: int, seed: int = 0) -> list[list[Kill]]:
    """The points in groups of at most `at_once`, each for one session: no act has more than two of a group."""
    left = list(points)
    random.Random(seed).shuffle(left)
    groups: list[list[Kill]] = []
    while left:
        acts: Counter[str] = Counter()
        group: list[Kill] = []
        for point in left:
            if len(group) < at_once and acts[point.act] < MOST_IN_AN_ACT:
                acts[point.act] += 1
                group.append(point)
        left = [point for point in left if point not in group]
        groups.append(sorted(group, key=lambda point: ACTS.index(point.act)))
    return groups


def in_turn(points: Iterable[Hurt], at_once: int) -> list[list[Hurt]]:
    """The faults in groups, each for one session: a kind meets at most `at_once` of them, one after another.

    Refusals for haste are on their own, since the bot is slow ever after. A sync meets faults from the tenth on, every
    tenth: the first ones have little in them.
    """
    points = list(points)
    limits = [point for point in points if point.how in LIMITS]
    others = [point for point in points if point.how not in LIMITS]
    return _in_turn(others, at_once) + _in_turn(limits, at_once)


def _in_turn(points: Iterable[Hurt], at_once: int) -> list[list[Hurt]]:
    by_kind: dict[str, list[Hurt]] = {}
    for point in points:
        by_kind.setdefault(point.kind, []).append(point)
    groups: list[list[Hurt]] = []
    while any(by_kind.values()):
        group = []
        for kind, hurts in by_kind.items():
            now, by_kind[kind] = hurts[:at_once], hurts[at_once:]
            group += [Hurt(kind, hurt.how, nth * 10 if kind == "sync" else nth) for nth, hurt in enumerate(now, 1)]
        groups.append(group)
    return groups

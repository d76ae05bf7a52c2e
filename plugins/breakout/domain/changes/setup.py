"""What `setup` and the check-in do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.model import Mode, Person, Session, Settings


@dataclass(frozen=True, slots=True)
class SeatLine:
    """One line `Team Alpha: @ann @bob`; `room` as typed."""

    room: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """What `setup` asks for: one of `count`, `names`, `group_size`, or only `lines`, which then name the rooms."""

    count: int | None = None
    names: tuple[str, ...] = ()
    group_size: int | None = None
    mode: Mode | None = None
    here: bool = False
    everyone: bool = False
    capacity: int | None = None
    lines: tuple[SeatLine, ...] = ()


@dataclass(frozen=True, slots=True)
class SetUp:
    """What came of `setup`. `replaced` is the plan that it replaced, where one was only set up."""

    replaced: Session | None
    members: int
    participants: int
    here: int
    seated: int
    unseated: tuple[str, ...]


def set_up(
    session: Session | None,
    layout: Layout,
    *,
    main: str,
    session_id: str,
    by: str,
    people: Sequence[Person],
    settings: Settings,
    rng: Random,
) -> Change[SetUp]:
    """Set up a session. A session that is only set up is replaced under its id; else `session_id` is the new one's."""
    raise NotImplementedError


def check_in(session: Session | None, *, main: str, session_id: str, by: str) -> Change[None]:
    """Begin a check-in. Without a session it makes a bare one: no rooms yet, only the taps, until `setup`."""
    raise NotImplementedError


def tap(session: Session, user: str) -> Change[None]:
    """✋ by `user`."""
    raise NotImplementedError


def untap(session: Session, user: str) -> Change[None]:
    """✋ taken back."""
    raise NotImplementedError

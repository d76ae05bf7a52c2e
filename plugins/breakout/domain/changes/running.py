"""Starting, timing, ending and deleting a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.model import Confirm, Pending, Person, Session, Settings
from plugins.breakout.domain.notices import EndReason, Notice


@dataclass(frozen=True, slots=True)
class Started:
    """What came of `start`."""

    seated: int
    newcomers: tuple[tuple[str, int], ...]
    """Seated just now: they had no seat at `setup`."""
    gone: tuple[str, ...]
    """They left the main room and lost their seats."""
    moved: tuple[tuple[str, int, int], ...]
    """Moved so that sizes differ by at most one (auto): user, former room, new room."""
    unseated: tuple[str, ...]
    rooms_before: int
    """How many rooms there were before groups of N were counted again."""


@dataclass(frozen=True, slots=True)
class ConfirmAsked:
    """The question that waits for a yes, and what saying yes would touch."""

    pending: Pending
    people: int
    rooms: int


@dataclass(frozen=True, slots=True)
class TimerSet:
    """The end as it is now: None without a timer; `limit` where its clock has not begun."""

    ends_at: datetime | None
    limit: timedelta | None
    reopened: bool = False
    """The closing notice is taken back."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What came of `end`: the moment at which the rooms lock, or None: they do now."""

    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionDeleted:
    """The session is gone; `was_running`: it was ended by that."""

    was_running: bool


def start(
    session: Session | None,
    *,
    by: str,
    people: Sequence[Person],
    now: datetime,
    settings: Settings,
    rng: Random,
    key: str,
    limit: timedelta | None = None,
    confirmed: bool = False,
) -> Change[Started | ConfirmAsked]:
    """Start a round. Above `confirm_above` people it asks first; `key` is the outbox key of that question."""
    raise NotImplementedError


def confirm(
    session: Session | None,
    *,
    by: str,
    people: Sequence[Person],
    now: datetime,
    settings: Settings,
    rng: Random,
    what: Confirm | None = None,
    key: str | None = None,
) -> Change[Started | ConfirmAsked | SessionDeleted]:
    """Say yes: typed by any moderator (`what`: `start confirm`, `delete confirm`), or ✅ on the message of `key`.

    Raises `NothingToConfirm`, `NotYoursToConfirm`, and what `start` raises.
    """
    raise NotImplementedError


def begin_clock(session: Session, *, now: datetime, settings: Settings) -> tuple[Session, tuple[Notice, ...]]:
    """The invites are out: the time limit runs from now. `advance` calls it; nobody else needs to."""
    raise NotImplementedError


def set_timer(
    session: Session | None, length: timedelta | None, *, now: datetime, settings: Settings
) -> Change[TimerSet]:
    """`timer 15m` counts from now; None is `timer off`."""
    raise NotImplementedError


def extend(session: Session | None, length: timedelta, *, now: datetime, settings: Settings) -> Change[TimerSet]:
    """`extend 5m` moves the end; while closing it takes the end back."""
    raise NotImplementedError


def end(
    session: Session | None,
    *,
    by: str,
    now: datetime,
    settings: Settings,
    notice: timedelta | None = None,
    at_once: bool = False,
) -> Change[Ending]:
    """`end`, `end 2m` (`notice`), `end now` (`at_once`)."""
    raise NotImplementedError


def cancel_end(session: Session | None, *, now: datetime, settings: Settings) -> Change[TimerSet]:
    """`end cancel`: runs on, with the timer that there was."""
    raise NotImplementedError


def finish(session: Session, *, why: EndReason, now: datetime) -> tuple[Session, tuple[Notice, ...]]:
    """End the round now."""
    raise NotImplementedError


def delete(session: Session | None, *, by: str, now: datetime, settings: Settings, key: str) -> Change[ConfirmAsked]:
    """`delete`: asks first; `key` is the outbox key of the question."""
    raise NotImplementedError

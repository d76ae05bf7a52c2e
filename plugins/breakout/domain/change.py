"""What a decision brings: the new session, what is said once because of it, and what the asker is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from plugins.breakout.domain.model import Pending, Session
from plugins.breakout.domain.notices import Notice

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Change(Generic[T_co]):
    """The outcome of one decision: `session` is saved, and `notices` go to the outbox, in one transaction.

    `retired` is the former session, where a new one took its place: its rooms are closed for good.
    """

    session: Session
    told: T_co
    notices: tuple[Notice, ...] = ()
    retired: Session | None = None


@dataclass(frozen=True, slots=True)
class ConfirmAsked:
    """The question that waits for a yes, and what saying yes would touch; `again`: another one waits no more."""

    pending: Pending
    people: int
    rooms: int
    again: bool = False

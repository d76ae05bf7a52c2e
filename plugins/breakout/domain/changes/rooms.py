"""Naming, finding, adding, removing and changing rooms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.model import Room, Session, Settings


@dataclass(frozen=True, slots=True)
class RemovedRoom:
    """The room that is gone and the people who lost their seat by it."""

    room: Room
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RenamedRoom:
    """The room under its new name."""

    room: Room
    former: str


@dataclass(frozen=True, slots=True)
class TaskChanged:
    """The rooms that have the task now."""

    rooms: tuple[Room, ...]


def check_name(name: str) -> str:
    """The name without outer spaces and with single inner ones; raises `BadRoomName`."""
    raise NotImplementedError


def find_room(session: Session | None, typed: str, command: str = "status") -> Room:
    """The open room that `typed` names: a number, a name, or a unique prefix of a name or of a word in one.

    Raises `NoSession(command)`, `UnknownRoom` or `AmbiguousRoom`.
    """
    raise NotImplementedError


def add_rooms(session: Session | None, names: Sequence[str], *, settings: Settings) -> Change[tuple[Room, ...]]:
    """Add rooms, also while running."""
    raise NotImplementedError


def remove_room(session: Session | None, number: int) -> Change[RemovedRoom]:
    """Remove a room; its people become unassigned and are told."""
    raise NotImplementedError


def rename_room(session: Session | None, number: int, name: str) -> Change[RenamedRoom]:
    """Give a room another name."""
    raise NotImplementedError


def set_task(session: Session | None, number: int | None, text: str, *, now: datetime) -> Change[TaskChanged]:
    """Set the task of one room or (None) of all; an empty text takes it away."""
    raise NotImplementedError

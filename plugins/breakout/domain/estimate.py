"""How long the homeserver will take."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from plugins.breakout.domain.model import Phase, Presence, Session
from plugins.breakout.domain.plan import MOST_AT_CREATION

ROOM_COST = 3.0
"""What making a room takes, in requests of the mean length (85 ms against 28 ms on Synapse with SQLite)."""

BEFORE_START = 5
"""Requests that a plan makes before a start: its answer, a board in the main room and one at the desk, the desk."""


class Pace(Protocol):
    """What is known of the homeserver's limits: None is unlimited as far as seen."""

    @property
    def seconds_per_request(self) -> float: ...
    @property
    def per_second(self) -> float | None: ...
    @property
    def burst_left(self) -> float | None: ...
    @property
    def rooms_per_second(self) -> float | None: ...
    @property
    def rooms_left(self) -> float | None: ...


def requests_to_start(session: Session) -> tuple[int, int]:
    """How many rooms are to be made still, and how many invites go out one by one, in a start.

    Invites within `createRoom` count for the time, not for the limits.
    """
    rooms = [room for room in session.open_rooms if room.room_id is None]
    sizes = Counter(seat.room for seat in session.seats.values() if _waits(session, seat.presence))
    alone = sum(
        max(0, sizes[room.number] - MOST_AT_CREATION) if room.room_id is None else sizes[room.number]
        for room in session.open_rooms
    )
    return len(rooms), alone


def seconds_to_start(session: Session, pace: Pace, *, before: int = 0) -> float:
    """How long it takes until the last invite is out: the server's time for each event, or its slowest limit.

    `before`: requests that will be made before the start.
    """
    rooms, alone = requests_to_start(session)
    invites = sum(_waits(session, seat.presence) for seat in session.seats.values())
    work = pace.seconds_per_request * (rooms * ROOM_COST + invites)
    # Welcomes and the board wait for the invites; the answer to the command goes first.
    return max(
        work,
        _seconds(before + rooms + alone + 1, pace.per_second, pace.burst_left),
        _seconds(rooms, pace.rooms_per_second, pace.rooms_left),
    )


def _seconds(wanted: int, per_second: float | None, left: float | None) -> float:
    return max(0.0, wanted - (left or 0)) / per_second if per_second else 0.0


def _waits(session: Session, presence: Presence) -> bool:
    return session.phase is not Phase.RUNNING or presence is Presence.ASSIGNED


def invites_left(session: Session) -> tuple[int, int]:
    """How many invites are out, and how many there are to be, while a start is under way."""
    if session.phase is not Phase.RUNNING:
        return 0, 0
    waiting = sum(seat.presence is Presence.ASSIGNED for seat in session.seats.values())
    return len(session.seats) - waiting, len(session.seats)

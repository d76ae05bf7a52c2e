"""How long the homeserver will take."""

from __future__ import annotations

from collections import Counter

from plugins.breakout.domain.model import Phase, Presence, Session
from plugins.breakout.domain.plan import MOST_AT_CREATION

ROOM_COST = 3.0
"""What making a room takes, in requests of the mean length (85 ms against 28 ms on Synapse with SQLite)."""


def requests_to_start(session: Session) -> tuple[int, int]:
    """How many rooms are to be made, and how many invites go out one by one, at a start from here.

    Invites within `createRoom` count for the time, not for the limits: the caller adds them.
    """
    rooms = [room for room in session.open_rooms if room.room_id is None]
    sizes = Counter(seat.room for seat in session.seats.values())
    alone = sum(
        max(0, sizes[room.number] - MOST_AT_CREATION) if room.room_id is None else sizes[room.number]
        for room in session.open_rooms
    )
    return len(rooms), alone


def seconds_to_start(
    session: Session, *, seconds_per_request: float, per_second: float | None, burst_left: float | None
) -> float:
    """How long a start takes: the server's time for each event, or its limits where they are slower."""
    rooms, alone = requests_to_start(session)
    invites = len(session.seats)
    work = seconds_per_request * (rooms * ROOM_COST + invites)
    if not per_second:
        return work
    # A room and its welcome, each invite that goes alone, the start in the main room and the board.
    tokens = 2 * rooms + alone + 2
    return max(work, (tokens - (burst_left or 0)) / per_second)


def invites_left(session: Session) -> tuple[int, int]:
    """How many invites are out, and how many there are to be, while a start is under way."""
    if session.phase is not Phase.RUNNING:
        return 0, 0
    waiting = sum(seat.presence is Presence.ASSIGNED for seat in session.seats.values())
    return len(session.seats) - waiting, len(session.seats)

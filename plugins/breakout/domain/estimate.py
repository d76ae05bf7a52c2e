"""How long the homeserver will take."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from plugins.breakout.domain.changes.people import STAYED
from plugins.breakout.domain.model import Door, Presence, Room, Session, Settings
from plugins.breakout.domain.plan import MOST_AT_CREATION

ROOM_COST = 3.0
"""What making a room takes, in requests of the mean length (85 ms against 28 ms on Synapse with SQLite)."""

PLAN_SAYS, START_SAYS = 2, 1
"""Messages of a plan and a start that get in before the first invite, where tokens are left; the others wait."""

BOARDS = 2
"""Messages that change at the same moment as a room's, and get in between."""

MOST_EARLIER = timedelta(minutes=5)
"""How much earlier than the settings say something begins, at most, on a server that throttles."""


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


# --- the start


def requests_to_start(session: Session, own_server: str) -> tuple[int, int]:
    """How many rooms are to be made still, and how many other requests a start needs until its last invite.

    Invites within `createRoom`, of ten people of our own server, count for the time, not for the limits.
    """
    rooms = sum(room.room_id is None for room in session.open_rooms)
    return rooms, sum(_unlocks(session, room) + _alone(session, room, own_server) for room in session.open_rooms)


def seconds_to_start(
    session: Session, pace: Pace, *, own_server: str, answers: int = 0, messages: int = 0, desk_is_made: bool = True
) -> float:
    """How long it takes until the last invite is out: the server's time for each event, or its slowest limit.

    `answers` to commands go before the invites; `messages` do so as long as nobody has to wait, since they are asked
    for a moment earlier.
    """
    rooms, others = requests_to_start(session, own_server)
    invites = sum(len(_waiting(session, room)) for room in session.open_rooms)
    work = pace.seconds_per_request * (rooms * ROOM_COST + _beyond_creation(session) + invites)
    rooms += not desk_is_made
    needed = answers + rooms + others
    first = min(messages, max(0.0, (pace.burst_left or 0) - answers))
    return max(
        work,
        _seconds(needed + first, pace.per_second, pace.burst_left),
        _seconds(rooms, pace.rooms_per_second, pace.rooms_left),
    )


def _beyond_creation(session: Session) -> int:
    return sum(_unlocks(session, room) for room in session.open_rooms)


def _waiting(session: Session, room: Room) -> list[str]:
    """The people of a room whose invites are not out."""
    seats = session.people_of(room.number)
    if session.door is Door.OPEN:
        return [seat.user for seat in seats if seat.presence is Presence.ASSIGNED and seat.needs_invite]
    if session.kept:
        return [seat.user for seat in seats if seat.presence not in STAYED]
    return [seat.user for seat in seats if not session.invites or seat.presence is Presence.ASSIGNED]


def _alone(session: Session, room: Room, own_server: str) -> int:
    """How many people of a room are invited one by one."""
    waiting = _waiting(session, room)
    if room.room_id is not None:
        return len(waiting)
    ours = sum(user.partition(":")[2] == own_server for user in waiting)
    return len(waiting) - min(ours, MOST_AT_CREATION)


def _unlocks(session: Session, room: Room) -> int:
    """The state events that open a room which is there; where it is only prepared for now, none but behind a door."""
    if room.room_id is None or not room.locked or (session.is_prepared and session.is_locked):
        return 0
    return 1 + session.walks_in


def invites_left(session: Session) -> tuple[int, int]:
    """How many invites are out, and how many there are to be, while a start is under way."""
    if not session.invites or session.door is Door.OPEN:
        return 0, 0
    waiting = sum(seat.presence is Presence.ASSIGNED for seat in session.seats.values())
    return len(session.seats) - waiting, len(session.seats)


# --- the end


def seconds_to_close(session: Session, pace: Pace, *, answers: int = 0, keeps: bool = False) -> float:
    """How long it takes from the end of a round until everybody is out of its rooms (`keeps`: they stay there).

    Each room is locked and told, and closed to walkers-in where it was open to them; the main room is told, and each
    person is removed, or their invite withdrawn.
    """
    rooms = sum(room.room_id is not None for room in session.open_rooms)
    people = 0 if keeps else sum(seat.presence in STAYED for seat in session.seats.values())
    needed = rooms * (2 + session.walks_in) + 1 + people
    return max(pace.seconds_per_request * needed, _seconds(answers + needed, pace.per_second, pace.burst_left))


def paced(settings: Settings, session: Session, pace: Pace) -> Settings:
    """The settings with what begins earlier on a server that throttles, so that the last room has it in time.

    Warnings, notices and locks go out room by room. A room is never locked before half of its notice is over.
    """
    if pace.per_second is None:
        return settings
    rooms = sum(room.room_id is not None for room in session.open_rooms)
    # Whole tokens: else the moment would creep on with every look, as tokens come in.
    lacking = max(0, math.ceil(rooms + BOARDS - (pace.burst_left or 0)))
    earlier = min(MOST_EARLIER, timedelta(seconds=lacking / pace.per_second))
    return replace(settings, tell_earlier=earlier, lock_earlier=earlier)


def _seconds(wanted: float, per_second: float | None, left: float | None) -> float:
    return max(0.0, wanted - (left or 0)) / per_second if per_second else 0.0

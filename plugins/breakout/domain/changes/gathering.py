"""Who is seated when a session starts, or is prepared: those who are present then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import TypeVar

from plugins.breakout.domain.assignment import deal, level, smallest_room
from plugins.breakout.domain.changes.people import numbers, seated_in, to_deal, without_seat
from plugins.breakout.domain.changes.rooms import next_number, numbered
from plugins.breakout.domain.changes.setup import count_groups
from plugins.breakout.domain.model import Mode, Person, Phase, Seat, Session, Settings

T = TypeVar("T", bound="Gathered")


@dataclass(frozen=True, slots=True)
class Gathered:
    """What became of the seats."""

    seated: int
    newcomers: tuple[tuple[str, int], ...]
    """Seated just now: they had no seat before."""
    gone: tuple[str, ...]
    """They left the main room and lost their seats."""
    moved: tuple[tuple[str, int, int], ...]
    """Moved so that sizes differ by at most one (auto): user, former room, new room."""
    unseated: tuple[str, ...]
    rooms_before: int
    """How many rooms there were before groups of N were counted again."""


def gathered(
    session: Session, people: Sequence[Person], settings: Settings, rng: Random, told: type[T]
) -> tuple[Session, T]:
    """The session with the seats of those who are present, and what came of it; raises `TooManyRooms`."""
    planned = session
    present = {person.user for person in people}
    gone = tuple(user for user in session.seats if user not in present)
    session = _recounted(session.without_seats(*gone), people, settings, rng)
    if session.mode is Mode.AUTO:
        session = _dealt(session, people, rng)
    before, after = seated_in(planned), seated_in(session)
    return session, told(
        seated=len(after),
        newcomers=tuple((user, number) for user, number in after.items() if user not in before),
        gone=gone,
        moved=tuple(
            (user, before[user], number) for user, number in after.items() if before.get(user, number) != number
        ),
        unseated=without_seat(session, people),
        rooms_before=len(planned.open_rooms),
    )


def _recounted(session: Session, people: Sequence[Person], settings: Settings, rng: Random) -> Session:
    """Groups of N counted again, before the first start and while no seat was set by hand.

    Another number of rooms deals everybody again, since all sizes change. A room that somebody chose counts
    as set by hand.
    """
    if session.group_size is None or session.phase is Phase.ENDED:
        return session
    if any(seat.by_hand or session.mode is Mode.CHOOSE for seat in session.seats.values()):
        return session
    everybody = (*session.seats, *to_deal(session, people))
    count = count_groups(len(everybody), session.group_size, settings, session.asked_with)
    rooms = session.open_rooms
    if count == len(rooms):
        return session
    taken = {room.name.casefold() for room in rooms}
    spare = (room for room in numbered(count, next_number(session)) if room.name.casefold() not in taken)
    more = list(islice(spare, max(0, count - len(rooms))))
    session = replace(session, rooms=(*rooms[:count], *more))
    dealt = deal(everybody, numbers(session), rng, {}) if session.mode is Mode.AUTO else {}
    return replace(session, seats={user: Seat(user, number) for user, number in dealt.items()})


def _dealt(session: Session, people: Sequence[Person], rng: Random) -> Session:
    """Newcomers in the smallest rooms; then as few dealt people as needed move, to make sizes even."""
    newcomers = list(to_deal(session, people))
    rng.shuffle(newcomers)
    for user in newcomers:
        session = session.with_seats(Seat(user, smallest_room(numbers(session), seated_in(session))))
    by_hand = frozenset(user for user, seat in session.seats.items() if seat.by_hand)
    levelled = level(seated_in(session), numbers(session), by_hand)
    return session.with_seats(*(_seat_in(session.seats[user], number) for user, number in levelled.items()))


def _seat_in(seat: Seat, number: int) -> Seat:
    """The seat, in that room; what is known of the person in another one does not hold there."""
    return seat if seat.room == number else Seat(seat.user, number, seat.by_hand)

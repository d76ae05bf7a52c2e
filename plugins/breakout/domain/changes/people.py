"""Who counts as a participant, and what coming, going, promotion and demotion change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from plugins.breakout.domain.assignment import smallest_room
from plugins.breakout.domain.change import Change
from plugins.breakout.domain.model import LateJoiners, Mode, Person, Phase, Presence, Seat, Session, Settings
from plugins.breakout.domain.notices import LateAsked, LateChooses, LateSeated, Notice, Promoted
from plugins.breakout.domain.phases import is_running
from plugins.breakout.domain.refusals import NotAParticipant


def participants(session: Session, people: Sequence[Person]) -> tuple[Person, ...]:
    """Those who count as participants: no moderators, except with `everyone` or with a seat."""
    return tuple(p for p in people if not p.moderator or session.everyone or p.user in session.seats)


def is_here(session: Session, person: Person) -> bool:
    """Whether the person is here: seen by the caller (wrote, in the call), or tapped ✋."""
    return person.here or person.user in session.taps


def without_seat(session: Session, people: Sequence[Person]) -> tuple[str, ...]:
    """The participants who have no seat and did not pass."""
    return tuple(
        p.user for p in participants(session, people) if p.user not in session.seats and p.user not in session.passed
    )


def to_deal(session: Session, people: Sequence[Person]) -> tuple[str, ...]:
    """The people without a seat whom a set-up or a start would seat: with `here` only those who are.

    People whose seat a moderator took away are left out until a moderator seats them.
    """
    here = {p.user for p in people if is_here(session, p)}
    return tuple(
        user
        for user in without_seat(session, people)
        if user not in session.left_out and (not session.here_only or user in here)
    )


def require_joined(users: Iterable[str], people: Sequence[Person]) -> None:
    """Raise `NotAParticipant` with those of `users` who are not among `people`."""
    joined = {person.user for person in people}
    if strangers := tuple(user for user in dict.fromkeys(users) if user not in joined):
        raise NotAParticipant(strangers)


def numbers(session: Session) -> tuple[int, ...]:
    """The numbers of the open rooms."""
    return tuple(room.number for room in session.open_rooms)


def seated_in(session: Session) -> Mapping[str, int]:
    """The room number of each person with a seat."""
    return {user: seat.room for user, seat in session.seats.items()}


def seat_in_smallest(session: Session, user: str) -> Session:
    """The session with `user` in its smallest room; while running, or prepared, with an invite to come."""
    number = smallest_room(numbers(session), seated_in(session))
    seat = Seat(user, number, invite_count=1 if session.invites else 0, late=is_running(session))
    return replace(session.with_seats(seat), waiting=session.waiting - {user}, passed=session.passed - {user})


def capacity(session: Session, people: Sequence[Person]) -> int:
    """Seats per room in choose mode: as asked for, else the people of now by rooms, rounded up, plus 2.

    The default is never frozen at `setup`, which works in an empty hall.
    """
    if session.capacity is not None:
        return session.capacity
    return -(-len(participants(session, people)) // max(1, len(session.open_rooms))) + 2


def late_joiners(session: Session, settings: Settings) -> LateJoiners:
    """What holds for late joiners of this session outside of choose mode."""
    if settings.late_joiners is not None:
        return settings.late_joiners
    return LateJoiners.SMALLEST if session.mode is Mode.AUTO else LateJoiners.ASK


def joined_main(
    session: Session, person: Person, *, people: Sequence[Person], now: datetime, settings: Settings
) -> Change[None]:
    """Somebody joined the main room; `people` may or may not contain him already.

    Before the start in auto mode he gets the smallest room, except with `here`, where he waits for the
    start. In *closing* nothing happens any more: the rooms are about to lock.
    """
    joined = (*(p for p in people if p.user != person.user), person)
    if not session.open_rooms or person.user not in without_seat(session, joined):
        return Change(session, None)
    if session.is_ahead:
        wanted = session.mode is Mode.AUTO and person.user in to_deal(session, joined)
        return Change(seat_in_smallest(session, person.user) if wanted else session, None)
    if not is_running(session):
        return Change(session, None)
    changed, notice = seat_late(session, person.user, now=now, settings=settings)
    return Change(changed, None, (notice,) if notice else ())


def seat_late(session: Session, user: str, *, now: datetime, settings: Settings) -> tuple[Session, Notice | None]:
    """What the rules for late joiners make of somebody without a seat while the session runs."""
    if session.mode is Mode.CHOOSE:
        return session, LateChooses(session.id, session.round, user, now)
    match late_joiners(session, settings):
        case LateJoiners.SMALLEST:
            seated = seat_in_smallest(session, user)
            return seated, LateSeated(session.id, session.round, user, now, seated.seats[user].room)
        case LateJoiners.ASK:
            return replace(session, waiting=session.waiting | {user}), LateAsked(session.id, session.round, user, now)
        case LateJoiners.STAY:
            return session, None


def left_main(session: Session, user: str) -> Change[None]:
    """Somebody left the main room, was removed or banned there: the seat is free.

    Every trace goes: a person who comes back is a newcomer. A request for help of theirs stays, as it is
    the room's.
    """
    return Change(release_claims(forget(session, user), user), None)


def release_claims(session: Session, moderator: str) -> Session:
    """The session in which the requests claimed by this moderator are open again."""
    for room in session.open_rooms:
        if room.help and room.help.claimed_by == moderator:
            session = session.with_room(replace(room, help=replace(room.help, claimed_by=None)))
    return session


def forget(session: Session, user: str) -> Session:
    """The session without the person's seat, tap, pass and question; the same object where there was none."""
    if user not in {*session.seats, *session.taps, *session.passed, *session.waiting, *session.left_out}:
        return session
    return replace(
        session.without_seats(user),
        taps=session.taps - {user},
        passed=session.passed - {user},
        waiting=session.waiting - {user},
        left_out=session.left_out - {user},
    )


def promoted(session: Session, user: str, *, now: datetime) -> Change[None]:
    """A participant became a moderator: the seat is free (the person may stay in the room).

    Under `everyone` moderators are participants, so the seat stays. Only who had a seat is spoken of.
    """
    seat = session.seats.get(user)
    if session.everyone or session.phase is Phase.DELETED:
        return Change(session, None)
    notices = (Promoted(session.id, user, now, seat.room),) if seat else ()
    return Change(forget(session, user), None, notices)


def demoted(
    session: Session, person: Person, *, people: Sequence[Person], now: datetime, settings: Settings
) -> Change[None]:
    """A moderator became a participant without a seat, for whom `late_joiners` holds.

    Claims of theirs are open again. A seat that they had as a moderator (given by hand, `everyone`) stays.
    """
    session = release_claims(session, person.user)
    return joined_main(session, replace(person, moderator=False), people=people, now=now, settings=settings)


STAYED = frozenset({Presence.INVITED, Presence.JOINED, Presence.IN_MAIN})
"""Who need not be invited to a further round, after one whose people were left in the rooms."""


def reset(seat: Seat, *, passed: bool, keeps: frozenset[Presence] = frozenset()) -> Seat:
    """The seat as a new round finds it; what is known already stands for the presences that it `keeps`."""
    if seat.presence is Presence.REMOVED or seat.presence in keeps:  # a moderator's word holds until `assign`
        here = Presence.JOINED if seat.presence is Presence.IN_MAIN else seat.presence
        return replace(seat, presence=here, invite_count=max(1, seat.invite_count), late=False)
    presence, count = (Presence.DECLINED, 0) if passed else (Presence.ASSIGNED, 1)
    way = None if passed else seat.moved_from  # out of where they were left to read
    return Seat(seat.user, seat.room, seat.by_hand, presence, invite_count=count, moved_from=way)

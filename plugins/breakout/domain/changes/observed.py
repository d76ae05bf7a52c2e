"""What was seen of the rooms and seats, noted on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.people import left_main
from plugins.breakout.domain.changes.rooms import stay_put
from plugins.breakout.domain.changes.seats import INSIDE, given, rooms_with_space
from plugins.breakout.domain.changes.together import ask_to_go, welcome_newcomers
from plugins.breakout.domain.desired import Member
from plugins.breakout.domain.model import Door, Help, Mode, Person, Phase, Presence, Room, Seat, Session, Settings
from plugins.breakout.domain.notices import (
    Notice,
    OutsiderInvited,
    RoomMadeAnew,
    RoomReady,
    Unattended,
    WalkedIntoFull,
    WelcomePrepared,
    WelcomeRoom,
)
from plugins.breakout.domain.phases import is_running


def room_made(session: Session, number: int, room_id: str, *, locked: bool = False) -> Change[None]:
    """The room exists: its welcome can be said, once people are let in.

    `locked`: it was made so (ahead of a start that has come since, say), or may be.
    """
    room = session.room(number)
    if room.room_id == room_id:
        return Change(session, None)
    session = session.with_room(replace(room, room_id=room_id, locked=locked or session.is_locked))
    since = session.prepared_at if session.is_prepared else session.started_at
    made = welcome(session, number, since) if since else Change(session, None)
    return replace(made, notices=(*made.notices, *_ready(made.session, number)))


def _ready(session: Session, number: int) -> tuple[Notice, ...]:
    """For those whom the list of rooms could give no link."""
    if session.door is not Door.OPEN or not is_running(session) or session.clock_at is None:
        return ()
    people = session.people_of(number)
    users = tuple(seat.user for seat in people if seat.presence is Presence.ASSIGNED and not seat.needs_invite)
    return (RoomReady(session.id, session.round, number, session.room(number).attempt, users),) if users else ()


def told(session: Session, *, now: datetime, settings: Settings) -> Change[None]:
    """Where the door is open, people are told of their room by a message: that is as good as an invite."""
    notices: tuple[Notice, ...] = ()
    if session.door is not Door.OPEN or not is_running(session):
        return Change(session, None)
    for seat in session.seats.values():
        if not seat.needs_invite and session.room(seat.room).room_id and seat.user not in session.passed:
            change = invited(session, seat.user, seat.room, now=now, settings=settings)
            session, notices = change.session, (*notices, *change.notices)
    return Change(session, None, notices)


def unlocked(session: Session, number: int, *, now: datetime) -> Change[None]:
    """People can write in the room."""
    room = session.room(number)
    if not room.locked:
        return Change(session, None)
    session = session.with_room(replace(room, locked=False))
    return welcome(session, number, now, at_last=session.clock_at is not None)


def welcome(session: Session, number: int, now: datetime, *, at_last: bool = False) -> Change[None]:
    """The welcome of a room that exists: once a round while the session runs, and once ahead of the start.

    People read what was said since their invite: so it comes when the invites are out, or when no more is waited
    for (`at_last`). Who walks in reads what is said from then on: so it comes with the first of them.
    """
    room = session.room(number)
    shut = room.removed or room.closed or (room.locked and session.is_open)
    ready = session.invites and room.room_id is not None and not shut
    if not ready or room.welcomed_at is not None or _waits(session, number, at_last=at_last):
        return Change(session, None)
    session = session.with_room(replace(room, welcomed_at=now))
    if session.is_prepared and session.prepared_at:
        return Change(session, None, (WelcomePrepared(session.id, number, room.attempt, session.prepared_at),))
    return Change(session, None, (WelcomeRoom(session.id, session.round, number, room.attempt),))


def _waits(session: Session, number: int, *, at_last: bool) -> bool:
    presences = {seat.presence for seat in session.people_of(number)}
    if session.door is Door.OPEN:
        return not presences & INSIDE
    return Presence.ASSIGNED in presences and not at_last


def room_lost(session: Session, number: int, room_id: str) -> Change[None]:
    """The bot is no longer in that room (somebody removed it): the next attempt makes another.

    Its people need new invites; a removed or closed room is simply gone.
    """
    room = session.room(number)
    if room.room_id != room_id:
        return Change(session, None)
    if room.removed or room.closed or session.phase is Phase.DELETED:
        return room_closed(session, number)
    anew = replace(room, room_id=None, attempt=room.attempt + 1, welcomed_at=None, welcomed_again=False, locked=False)
    session = stay_put(session.with_room(anew), number)
    again = (_invited_anew(seat) for seat in session.people_of(number) if seat.presence in INSIDE | {Presence.INVITED})
    session = session.with_seats(*again)
    users = tuple(seat.user for seat in session.people_of(number) if seat.presence is Presence.ASSIGNED)
    if not is_running(session) or not users:
        return Change(session, None)
    return Change(session, None, (RoomMadeAnew(session.id, session.round, number, anew.attempt, users),))


def seat_found(
    session: Session,
    seat: Seat,
    member: Member,
    *,
    fresh: bool,
    moderator: bool,
    now: datetime,
    settings: Settings,
    capacity: int | None,
) -> Change[None]:
    """What the room says of the person of a seat now, where events could not tell it in time.

    An answer that was lost or came late: who is invited, came, or declined before we knew of it (`fresh`: of the room
    itself). And a removal of ours that was under way while the seat became this room: they are invited again.
    """
    number, user, left = seat.room, seat.user, member.membership in ("leave", "ban")
    if seat.presence is Presence.ASSIGNED and fresh and left and member.by_self:
        return Change(session.with_seats(replace(seat, presence=Presence.DECLINED)), None)
    if seat.presence is Presence.ASSIGNED and member.membership in ("invite", "join"):
        change = invited(session, user, number, now=now, settings=settings)
        if member.membership == "invite":
            return change
        came = _accepted(change.session, number, user, moderator=moderator, now=now, capacity=capacity)
        return Change(came.session, None, (*change.notices, *came.notices))
    if session.door is Door.OPEN or not left:
        return Change(session, None)
    if seat.presence is Presence.INVITED and member.by_self:
        return Change(session.with_seats(replace(seat, presence=Presence.DECLINED)), None)
    if seat.presence in INSIDE | {Presence.INVITED} and member.by_bot and not _is_before(member, seat):
        return Change(session.with_seats(_invited_anew(seat)), None)
    return Change(session, None)


def _is_before(member: Member, seat: Seat) -> bool:
    """Whether what the room says is from before the invite, which sync has not brought yet."""
    return seat.invited_at is not None and member.at is not None and member.at <= seat.invited_at


def _invited_anew(seat: Seat) -> Seat:
    return replace(
        seat, presence=Presence.ASSIGNED, invited_at=None, invite_count=seat.invite_count + 1, needs_invite=True
    )


def room_closed(session: Session, number: int) -> Change[None]:
    """The bot has left the room for good."""
    return Change(session.with_room(replace(session.room(number), closed=True, help=None)), None)


def invited(session: Session, user: str, number: int, *, now: datetime, settings: Settings) -> Change[None]:
    """The invite of the person to that room is out; without effect where the seat does not wait for it.

    From now on a person on the way from another room has `move_grace` to follow, and is asked to there. Who
    chose the new room himself is not told what he knows.
    """
    change = _invited(session, user, number, now=now, settings=settings)
    seat = change.session.seats.get(user)
    if seat is None or seat.room != number or seat.moved_from is None:
        return change
    asked = ask_to_go(change.session, seat.moved_from, number, now)
    return Change(asked.session, None, (*change.notices, *asked.notices))


def _invited(session: Session, user: str, number: int, *, now: datetime, settings: Settings) -> Change[None]:
    seat = session.seats.get(user)
    if seat is None or seat.room != number or seat.presence is not Presence.ASSIGNED:
        return Change(session, None)
    if seat.moved_from is None:
        return welcome(_with(session, seat, Presence.INVITED, now), number, now)
    asks = session.mode is not Mode.CHOOSE or seat.by_hand
    moving = replace(seat, moved_until=now + settings.move_grace, unasked_since=now if asks else None)
    return Change(_with(session, moving, Presence.INVITED, now), None)


def brought_in(session: Session, user: str, number: int, *, now: datetime, settings: Settings) -> Change[None]:
    """The person is in that room without having tapped: invited and come in one, and asked to go nowhere."""
    before = _invited(session, user, number, now=now, settings=settings)
    came = _accepted(before.session, number, user, moderator=False, now=now, capacity=None)
    return Change(came.session, None, (*before.notices, *came.notices))


def _accepted(
    session: Session, number: int, user: str, *, moderator: bool, now: datetime, capacity: int | None
) -> Change[None]:
    """The person has come by the invite to that room."""
    return membership(
        session,
        number,
        user,
        before="invite",
        after="join",
        by_self=True,
        by_bot=False,
        moderator=moderator,
        now=now,
        capacity=capacity,
    )


def must_tap(session: Session, user: str, number: int) -> Change[None]:
    """The person cannot be brought in: the invite to that room is theirs to accept."""
    seat = session.seats.get(user)
    if seat is None or seat.room != number:
        return Change(session, None)
    return Change(session.with_seats(replace(seat, must_tap=True)), None)


def _with(session: Session, seat: Seat, presence: Presence, now: datetime) -> Session:
    return session.with_seats(replace(seat, presence=presence, invited_at=now, problem=""))


def outsider_invited(session: Session, user: str, number: int, *, by: str) -> Change[None]:
    """A moderator (`by`) invited somebody who is not in the main room: a guest of that room, without a seat."""
    if not session.lets_in or session.room(number).removed:
        return Change(session, None)
    if (user, number) in session.outsiders:
        return Change(session, None)
    invited_one = OutsiderInvited(session.id, session.round, user, number, by)
    return Change(replace(session, outsiders=session.outsiders | {(user, number)}), None, (invited_one,))


def gone_people(session: Session, people: Sequence[Person]) -> Session:
    """The session without the seats of those who are not in the main room any more."""
    present = {person.user for person in people}
    for user in [user for user in session.seats if user not in present]:
        session = left_main(session, user).session
    return session


def unattended(session: Session, people: Sequence[Person], settings: Settings) -> tuple[Notice, ...]:
    """That no moderator is left while rooms are open, for those who wonder when it will end."""
    if not session.is_open or session.started_at is None or any(person.moderator for person in people):
        return ()
    return (Unattended(session.id, session.round, session.ends_at or session.started_at + settings.max_duration),)


def unreachable(
    session: Session, user: str, number: int, problem: str, *, now: datetime, settings: Settings
) -> Change[None]:
    """The invite failed for good. A person who was to move stays `move_grace` longer where he is."""
    session = _no_guest(session, user, number)
    seat = session.seats.get(user)
    if seat is None or seat.room != number or seat.presence is not Presence.ASSIGNED:
        return Change(session, None)
    until = now + settings.move_grace if seat.moved_from is not None else None
    failed = replace(seat, presence=Presence.UNREACHABLE, problem=problem, moved_until=until)
    return welcome(session.with_seats(failed), number, now)


def membership(
    session: Session,
    number: int,
    user: str,
    *,
    before: str | None,
    after: str,
    by_self: bool,
    by_bot: bool,
    moderator: bool,
    now: datetime,
    capacity: int | None = None,
) -> Change[None]:
    """A membership event of a breakout room: `before` and `after` as in `m.room.member`.

    `moderator`: the person is one, so that outside of his own seat he is a visitor, who may answer a request.
    A moderator who takes somebody out, or invites them again, has the last word. Where people walk in, a participant
    who does so takes that seat; in choose mode where fewer than `capacity` people have one (`people.capacity`; None:
    no limit), else he is shown the rooms that have one left.
    """
    room = session.room(number)
    if after == "join" and before == "join":
        return Change(session, None)
    seat = session.seats.get(user)
    if moderator and (seat is None or number not in (seat.room, seat.moved_from)):
        return Change(_moderator_moved(session, room, user, now, came=after == "join"), None)
    if not session.lets_in:
        return Change(session, None)
    if after in ("leave", "ban") and (user, number) in session.outsiders:
        session = replace(session, outsiders=session.outsiders - {(user, number)})
    if seat and seat.presence is Presence.REMOVED and not moderator:
        if after == "invite" and seat.room == number and not by_bot:
            return Change(_with(session, seat, Presence.INVITED, now), None)
        if seat.room == number or session.mode is not Mode.CHOOSE:
            return Change(session, None)
    if after == "join":
        return _came(session, room, user, now, capacity, accepts=before == "invite")
    if after in ("leave", "ban"):
        return Change(_went(session, room, user, before, by_self=by_self, by_bot=by_bot), None)
    return Change(session, None)


def _came(
    session: Session, room: Room, user: str, now: datetime, capacity: int | None, *, accepts: bool
) -> Change[None]:
    seat, chooses = session.seats.get(user), session.mode is Mode.CHOOSE
    if seat and seat.room == room.number:
        joined = replace(seat, presence=Presence.JOINED, problem="")
        session = replace(session.with_seats(joined), passed=session.passed - {user})
        return _greeted(session, seat, now, is_late=_is_late(seat, room.welcomed_at))
    if not session.walks_in or not session.invites or room.removed or (user in session.left_out and not chooses):
        return Change(session, None)
    overruled = seat.by_hand if seat else user in session.left_out
    if accepts and overruled:  # an invite from before a moderator seated them elsewhere, or nowhere, is no choice
        return Change(session, None)
    if chooses and capacity is not None and room.number not in (free := rooms_with_space(session, capacity)):
        full = WalkedIntoFull(session.id, session.round, user, now, room.number, free)
        return Change(session, None, (full,))
    seat = given(session, user, room.number, by_hand=False, knows=True)
    seat = replace(seat, presence=Presence.JOINED, invite_count=max(1, seat.invite_count))
    session = replace(session.with_seats(seat), passed=session.passed - {user}, waiting=session.waiting - {user})
    return _greeted(session, seat, now, is_late=True)


def _greeted(session: Session, seat: Seat, now: datetime, *, is_late: bool) -> Change[None]:
    """The welcome of somebody who came in: with the first by a link it is the room's, and soon it is repeated."""
    if session.door is Door.OPEN:
        room = session.room(seat.room)
        if room.welcomed_at is None:
            return welcome(session, seat.room, now)
        is_late = room.welcomed_again
    if not is_late or not is_running(session):
        return Change(session, None)
    waits = replace(session.seats[seat.user], unwelcomed_since=now)
    return welcome_newcomers(session.with_seats(waits), seat.room, now)


def _is_late(seat: Seat, welcomed: datetime | None) -> bool:
    """Whether the room was welcomed before the person was invited; `ASSIGNED`: the answer to the invite was lost."""
    if welcomed is None:
        return False
    invited = seat.presence is Presence.INVITED and seat.invited_at is not None and seat.invited_at > welcomed
    return invited or seat.presence is Presence.ASSIGNED


def _went(session: Session, room: Room, user: str, before: str | None, *, by_self: bool, by_bot: bool) -> Session:
    seat = session.seats.get(user)
    if seat is None:
        return session
    if seat.moved_from == room.number:
        return session.with_seats(replace(seat, moved_from=None, moved_until=None))
    if seat.room != room.number or by_bot:
        return session
    if not by_self:
        return session.with_seats(replace(seat, presence=Presence.REMOVED))
    if before == "invite":
        return session.with_seats(replace(seat, presence=Presence.DECLINED))
    return session.with_seats(replace(seat, presence=Presence.LEFT)) if before == "join" else session


def _moderator_moved(session: Session, room: Room, user: str, now: datetime, *, came: bool) -> Session:
    """A moderator came into the room or left it: a visit, and the beginning or end of attending."""
    session = _no_guest(session, user, room.number)
    if came:
        room = replace(room, visited_at=now)
    if room.help:
        room = replace(room, help=_attended(room.help, user, now, came=came))
    return session.with_room(room)


def _no_guest(session: Session, user: str, number: int) -> Session:
    """The session in which this moderator waits for no invite to the room: it is used, declined, or cannot be had."""
    if (user, number) not in session.guests:
        return session
    return replace(session, guests=session.guests - {(user, number)})


def _attended(request: Help, user: str, now: datetime, *, came: bool) -> Help:
    if came and request.attended_by is None:
        return replace(request, attended_by=user, attended_since=now)
    if not came and request.attended_by == user:
        return replace(request, attended_by=None, attended_since=None)
    return request

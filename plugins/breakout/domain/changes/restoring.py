"""A session put together again from its rooms, where all that was remembered of it is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.timing import seconds, with_end
from plugins.breakout.domain.model import Door, Mode, Person, Phase, Presence, Room, Seat, Session, Settings
from plugins.breakout.domain.notices import NotesLost

INSIDE = ("join", "invite")


@dataclass(frozen=True, slots=True)
class Trace:
    """What a room says of one person; `by` caused it."""

    membership: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FoundRoom:
    """A room of a session, as it is found on the homeserver."""

    number: int
    room_id: str
    attempt: int
    name: str
    task: str
    locked: bool
    walk_in: bool
    """Members of the main room may walk in: people choose."""
    traces: Mapping[str, Trace]


@dataclass(frozen=True, slots=True)
class Noted:
    """What the account's own note says of a session: numbers, moments and words of ours, none of people's."""

    mode: Mode | None = None
    round: int | None = None
    everyone: bool = False
    capacity: int | None = None
    kept: bool = False
    door: Door = Door.INVITE
    prepared_at: datetime | None = None
    started_at: datetime | None = None
    clock_at: datetime | None = None
    ends_at: datetime | None = None
    closing_at: datetime | None = None
    ended_at: datetime | None = None
    rooms: Mapping[int, str] = field(default_factory=dict)


def rebuilt(
    id_: str,
    main: str,
    found: Sequence[FoundRoom],
    noted: Noted,
    *,
    bot: str,
    people: Sequence[Person],
    now: datetime,
    settings: Settings,
) -> Change[None]:
    """The session whose rooms these are. Whether it runs is seen by their locks; when it ends has to be noted.

    It counts as one round more, so that no key of what is said once was used before the loss.
    """
    unlocked = any(not room.locked for room in found)
    is_prepared = noted.prepared_at is not None and (not unlocked or noted.door is Door.OPEN)
    is_open = unlocked and not is_prepared
    are_in = is_open or is_prepared or noted.kept
    mode = noted.mode or (Mode.CHOOSE if any(room.walk_in for room in found) else Mode.MANUAL)
    session = Session(
        id=id_,
        main=main,
        phase=_phase(noted, is_open=is_open, is_prepared=is_prepared),
        mode=mode,
        rooms=_rooms(found, noted, now if is_open or is_prepared else None),
        set_up_by="",
        seats=_seats(found, people, noted, mode, bot=bot, running=are_in),
        everyone=noted.everyone,
        capacity=noted.capacity,
        door=noted.door,
        round=noted.round + 1 if noted.round is not None else round(now.timestamp()),
        outsiders=_outsiders(found, people, bot) if is_open or is_prepared else frozenset(),
    )
    if is_open:
        session = _running(session, noted, now, settings)
    else:
        session = _waiting(session, noted, now, settings, is_prepared=is_prepared)
    return Change(session, None, (NotesLost(session.id, session.round, session.ends_at),))


def completed(change: Change[None], backup: Session | None) -> Change[None]:
    """The session put together from its rooms, with what a backup of the same round knows besides.

    Rooms do not tell who sits out, who is not to be dealt a seat and who waits for help. A request that was closed
    since is open again, which costs a moderator one word.
    """
    session = change.session
    is_same = backup is not None and backup.id == session.id and backup.round + 1 == session.round
    if backup is None or not is_same or session.phase not in (Phase.RUNNING, Phase.CLOSING):
        return change
    here = {user for user, seat in session.seats.items() if seat.presence in (Presence.JOINED, Presence.INVITED)}
    waiting = {room.number: room.help for room in backup.rooms}
    session = replace(
        session,
        rooms=tuple(room if room.closed else replace(room, help=waiting.get(room.number)) for room in session.rooms),
        passed=backup.passed - here,
        left_out=backup.left_out - here,
    )
    return replace(
        change, session=session, notices=(NotesLost(session.id, session.round, session.ends_at, put_back=True),)
    )


def _phase(noted: Noted, *, is_open: bool, is_prepared: bool) -> Phase:
    if is_open:
        return Phase.CLOSING if noted.closing_at and noted.ends_at else Phase.RUNNING
    return Phase.SET_UP if is_prepared and noted.ended_at is None else Phase.ENDED


def _running(session: Session, noted: Noted, now: datetime, settings: Settings) -> Session:
    """What has been said in this round is not said again."""
    started_at = noted.started_at or now
    session = with_end(session, noted.ends_at, now, settings)
    return replace(
        session,
        started_at=started_at,
        clock_at=noted.clock_at or now,
        closing_at=noted.closing_at if session.phase is Phase.CLOSING else None,
        forewarned=bool(session.warned & {seconds(warning) for warning in settings.warnings}),
        reminded=True,
        duration_announced=now >= started_at + settings.max_duration - settings.duration_notice,
    )


def _waiting(session: Session, noted: Noted, now: datetime, settings: Settings, *, is_prepared: bool) -> Session:
    """The session that a start is to come for; nobody is on the way."""
    seats = [replace(seat, moved_from=None, moved_until=None) for seat in session.seats.values()]
    session = session.with_seats(*seats)
    if is_prepared:
        return replace(session, prepared_at=noted.prepared_at, prepared_told=True, ended_at=noted.ended_at)
    return replace(_ended(session, noted, now, settings), kept=noted.kept)


def _ended(session: Session, noted: Noted, now: datetime, settings: Settings) -> Session:
    ended_at = noted.ended_at or now
    announced = now >= ended_at + settings.delete_after - settings.delete_notice
    return replace(session, started_at=noted.started_at, ended_at=ended_at, delete_announced=announced)


def _rooms(found: Sequence[FoundRoom], noted: Noted, welcomed_at: datetime | None) -> tuple[Room, ...]:
    """The rooms found, and closed ones for numbers that were in use: no number is used twice."""
    rooms = {number: Room(number, str(number), removed=True, closed=True) for number in noted.rooms}
    for room in found:
        rooms[room.number] = Room(
            room.number,
            room.name,
            task=room.task,
            attempt=room.attempt,
            room_id=room.room_id,
            locked=room.locked,
            welcomed_at=welcomed_at,
            welcomed_again=welcomed_at is not None,
        )
    return tuple(rooms[number] for number in sorted(rooms))


def _seats(
    found: Sequence[FoundRoom], people: Sequence[Person], noted: Noted, mode: Mode, *, bot: str, running: bool
) -> Mapping[str, Seat]:
    """Each person's seat is in the room of the newest trace: while it runs, one that they are in or invited to."""
    seats = {}
    for person in people:
        if person.moderator and not noted.everyone:
            continue
        traces = {room.number: room.traces[person.user] for room in found if person.user in room.traces}
        inside = {number: trace for number, trace in traces.items() if trace.membership in INSIDE}
        away = {number: trace for number, trace in traces.items() if not running or trace.by != bot}
        if not (candidates := inside or away):
            continue
        number = max(candidates, key=lambda n: candidates[n].at)
        others = [n for n, trace in inside.items() if trace.membership == "join" and n != number]
        trace = traces[number]
        seats[person.user] = Seat(
            person.user,
            number,
            by_hand=mode is not Mode.AUTO,
            presence=_presence(trace, person.user) if running else Presence.ASSIGNED,
            invite_count=1,
            invited_at=trace.at,
            moved_from=others[0] if running and others else None,
            moved_until=trace.at if running and others else None,
        )
    return seats


def _presence(trace: Trace, user: str) -> Presence:
    match trace.membership:
        case "join":
            return Presence.JOINED
        case "invite":
            return Presence.INVITED
        case _:
            return Presence.LEFT if trace.by == user else Presence.REMOVED


def _outsiders(found: Sequence[FoundRoom], people: Sequence[Person], bot: str) -> frozenset[tuple[str, int]]:
    """Who is in a room without being in the main room: a moderator has invited them."""
    known = {bot, *(person.user for person in people)}
    return frozenset(
        (user, room.number)
        for room in found
        for user, trace in room.traces.items()
        if user not in known and trace.membership in INSIDE and trace.by != bot
    )

"""What must still happen, given what should be and what is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from plugins.breakout.domain.desired import (
    DESK,
    ENCRYPTED,
    ENCRYPTION,
    MARKER,
    Content,
    Observed,
    RoomWish,
    SeenRoom,
    is_brought_in,
    stays_out,
)
from plugins.breakout.domain.model import Presence, Session

MOST_AT_CREATION = 10
"""Synapse refuses more invites in one `createRoom`."""

INSIDE = ("join", "invite", "knock")


class Stage(IntEnum):
    """What comes first, over all rooms: a stage begins when the one before is through."""

    LOCK = 0
    MAKE = 1
    """Rooms are made or unlocked and people invited, one room after another, so that some can begin."""
    SHAPE = 2
    """Names and topics."""
    SHUT = 3
    """The ways into rooms that are locked already: that nobody can speak any more is more urgent in the next room."""
    REMOVE = 4
    GO = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One change on the homeserver, harmless if done twice."""

    number: int
    """The room's; `desired.DESK` for the desk."""
    stage: Stage


@dataclass(frozen=True, slots=True)
class MakeRoom(Step):
    """Create the room with everything that it should be, and these invitees."""

    wish: RoomWish
    invite: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetState(Step):
    """Change one state event."""

    room_id: str
    type: str
    content: Content


@dataclass(frozen=True, slots=True)
class Invite(Step):
    """Invite a person; an invite that is out already is the same one."""

    room_id: str
    user: str
    reason: str


@dataclass(frozen=True, slots=True)
class BringIn(Step):
    """Have a person join, who is then invited by the same step where they were not."""

    room_id: str
    user: str
    reason: str
    """Of the invite that they get where the homeserver does not let us."""


@dataclass(frozen=True, slots=True)
class Remove(Step):
    """Remove a person, or withdraw the invite."""

    room_id: str
    user: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ban(Step):
    """Ban a person who is banned from the main room."""

    room_id: str
    user: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unban(Step):
    """Take a ban back that the main room took back."""

    room_id: str
    user: str


@dataclass(frozen=True, slots=True)
class Go(Step):
    """The bot leaves and forgets the room."""

    room_id: str


def plan(wishes: Sequence[RoomWish], observed: Observed, *, own_server: str) -> tuple[Step, ...]:
    """The steps that are left, in the order of their stages; none where all is as it should be.

    A room that exists and that we do not see (yet) is left alone.
    """
    steps = [step for wish in wishes for step in _of_room(wish, observed, own_server)]
    return tuple(sorted(steps, key=lambda step: step.stage))


def is_wanted(step: Step, session: Session) -> bool:
    """Whether a step that was planned a while ago still fits the session, which may have changed meanwhile."""
    match step:
        case MakeRoom(number):
            room = session.room(number)
            return room.room_id is None and not room.removed
        case Invite(number, _, _, user):
            seat = session.seats.get(user)
            waits = seat is not None and seat.room == number and seat.presence is Presence.ASSIGNED
            return (waits and user not in session.passed) or (user, number) in session.guests
        case BringIn(number, _, _, user):
            seat = session.seats.get(user)
            return seat is not None and seat.room == number and is_brought_in(session, seat)
        case Remove(number, _, _, user):
            seat = session.seats.get(user)
            if (user, number) in session.outsiders:
                return not _lets_in(session, number)
            return seat is None or seat.room != number or stays_out(session, seat) or not _lets_in(session, number)
        case _:
            return True


def _lets_in(session: Session, number: int) -> bool:
    return session.lets_in and not session.room(number).removed


def _of_room(wish: RoomWish, observed: Observed, own_server: str) -> Iterator[Step]:
    if wish.room_id is None:
        if not wish.goes:
            yield _make(wish, own_server)
        return
    seen = observed.rooms.get(wish.number)
    if seen is None:
        return
    yield from _states(wish, wish.room_id, seen)
    brought = frozenset(user for user in wish.bring_in - wish.banned if _server_of(user) == own_server)
    yield from _invites(wish, wish.room_id, seen, brought)
    for user in sorted(brought):
        if (member := seen.members.get(user)) is not None and member.membership == "invite":
            yield BringIn(wish.number, Stage.MAKE, wish.room_id, user, wish.texts.invite)
    if wish.closing and wish.number not in observed.told_closed:
        return
    out = tuple(_removals(wish, wish.room_id, seen))
    yield from out
    if wish.goes:
        yield Go(wish.number, Stage.GO, wish.room_id)


def _make(wish: RoomWish, own_server: str) -> Step:
    """Remote users are invited one by one: a failing invite would fail the whole call, though the room exists."""
    local = [user for user in wish.invite if _server_of(user) == own_server]
    return MakeRoom(wish.number, Stage.MAKE, wish, tuple(local[:MOST_AT_CREATION]))


def _states(wish: RoomWish, room_id: str, seen: SeenRoom) -> Iterator[Step]:
    if not same_power(seen.power, wish.power):
        stage = Stage.LOCK if wish.locked else Stage.MAKE
        yield SetState(wish.number, stage, room_id, "m.room.power_levels", wish.power)
    if seen.join_rules != wish.join_rules:
        stage = Stage.SHUT if wish.locked else Stage.LOCK
        yield SetState(wish.number, stage, room_id, "m.room.join_rules", wish.join_rules)
    if wish.goes:
        return
    if wish.encrypted and not seen.encrypted:
        yield SetState(wish.number, Stage.LOCK, room_id, ENCRYPTION, ENCRYPTED)
    if seen.marker is not None and seen.marker != wish.marker:
        yield SetState(wish.number, Stage.SHAPE, room_id, MARKER, wish.marker)
    if seen.name != wish.texts.name:
        yield SetState(wish.number, Stage.SHAPE, room_id, "m.room.name", {"name": wish.texts.name})
    if seen.topic != wish.texts.topic:
        yield SetState(wish.number, Stage.SHAPE, room_id, "m.room.topic", {"topic": wish.texts.topic})


def same_power(seen: Content, wanted: Content) -> bool:
    """Whether the levels are as wanted, whether the room's version lists its creator or not.

    What we say nothing of does not count: homeservers add levels of their own at the creation (Synapse's `historical`).
    """
    return _without_bot({key: seen[key] for key in wanted if key in seen}) == _without_bot(wanted)


def _without_bot(levels: Content) -> Mapping[str, object]:
    users = levels.get("users", {})
    below = {user: level for user, level in users.items() if level < 100} if isinstance(users, Mapping) else {}  # noqa: PLR2004
    return {**levels, "users": below}


def _server_of(user: str) -> str:
    return user.partition(":")[2]


def _invites(wish: RoomWish, room_id: str, seen: SeenRoom, brought: frozenset[str]) -> Iterator[Step]:
    for user in wish.invite:
        member = seen.members.get(user)
        if member is not None and member.membership in INSIDE:
            continue
        if wish.number == DESK and member is not None and member.by_self:
            continue  # a moderator who left the desk knows why
        if user in wish.banned:
            continue
        if member is not None and member.membership == "ban":
            yield Unban(wish.number, Stage.MAKE, room_id, user)
        step = BringIn if user in brought else Invite
        yield step(wish.number, Stage.MAKE, room_id, user, wish.texts.invite)


def _removals(wish: RoomWish, room_id: str, seen: SeenRoom) -> Iterator[Step]:
    wanted = {*wish.invite, *wish.may_stay}
    for user, member in seen.members.items():
        if user in wish.banned and member.membership in INSIDE:
            yield Ban(wish.number, Stage.REMOVE, room_id, user, wish.texts.remove)
        elif member.membership in INSIDE and user not in wanted:
            yield Remove(wish.number, Stage.REMOVE, room_id, user, wish.texts.remove)

"""What should be on the homeserver, given the session and who is in the main room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from plugins.breakout.domain.model import Door, Phase, Presence, Room, Seat, Session

MARKER = "org.breakoutbot.room"
"""The type of the state event that says of a room whose it is; ids only, since every member can read it."""

ENCRYPTION = "m.room.encryption"
ENCRYPTED: Mapping[str, Any] = MappingProxyType({"algorithm": "m.megolm.v1.aes-sha2"})

DESK = 0
"""The desk's number among the rooms of a main room."""

Content = Mapping[str, Any]

_BOT, _MODERATOR, _PARTICIPANT = 100, 50, 0
_ONLY_THE_BOT = (
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.join_rules",
    "m.room.power_levels",
    ENCRYPTION,
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.server_acl",
    "m.room.tombstone",
    MARKER,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One person's membership of a room, who caused it, and when."""

    membership: str
    by_self: bool = False
    by_bot: bool = False
    at: datetime | None = None
    """By the homeserver's clock; by ours where a step of ours is not told by sync yet."""


@dataclass(frozen=True, slots=True)
class SeenRoom:
    """A room as it is."""

    members: Mapping[str, Member]
    power: Content
    join_rules: Content
    name: str
    topic: str
    encrypted: bool = False
    marker: Content | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """The rooms of a main room as they are, by number; missing where there is none that we are in."""

    rooms: Mapping[int, SeenRoom] = field(default_factory=dict)
    told_closed: frozenset[int] = frozenset()
    """The rooms whose closing message was sent (or never will be): only then people are removed."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The words of one room, in the language of its people."""

    name: str
    topic: str
    invite: str
    remove: str


@dataclass(frozen=True, slots=True)
class MainRoom:
    """What the main room says about people."""

    id: str
    bot: str
    moderators: frozenset[str]
    banned: frozenset[str] = frozenset()
    encrypted: bool = False
    former: str | None = None
    """The room that it replaced, while membership of that one counts."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the settings say about rooms."""

    call_types: tuple[str, ...] = ("org.matrix.msc3401.call.member", "m.call.member")
    history_visibility: str = "invited"
    encryption: str = "auto"
    """`auto`: rooms are encrypted where the main room is; or `always`, or `never`."""
    brings_in: bool = False
    """Whether people are to be in without accepting an invite themselves."""

    def encrypts(self, main: MainRoom) -> bool:
        """Whether the rooms of this main room are to be encrypted."""
        return self.encryption == "always" or (self.encryption == "auto" and main.encrypted)


@dataclass(frozen=True, slots=True)
class RoomWish:
    """One room as it should be."""

    number: int
    room_id: str | None
    creation_key: str
    texts: Texts
    power: Content
    join_rules: Content
    marker: Content
    history_visibility: str
    invite: tuple[str, ...] = ()
    """Who waits for an invite."""
    bring_in: frozenset[str] = frozenset()
    """Who is to be in without a tap of theirs, invited before or not."""
    may_stay: frozenset[str] = frozenset()
    """Who may be in it or hold an invite, besides those to invite."""
    banned: frozenset[str] = frozenset()
    closing: bool = False
    """People are removed only after the closing message."""
    goes: bool = False
    """The bot leaves it when everybody is out."""
    locked: bool = False
    encrypted: bool = False
    """To be; a room that is encrypted stays so whatever is wished."""


def power_levels(bot: str, moderators: Iterable[str], options: Options, *, locked: bool) -> Content:
    """The full `m.room.power_levels`; locking raises what participants may send, calls too.

    The creator of a version-12 room must not be listed: the homeserver port leaves it out there.
    """
    talk = _MODERATOR if locked else _PARTICIPANT
    return {
        "users": {bot: _BOT, **dict.fromkeys(sorted(moderators), _MODERATOR)},
        "users_default": _PARTICIPANT,
        "events": {**dict.fromkeys(_ONLY_THE_BOT, _BOT), **dict.fromkeys(options.call_types, talk)},
        "events_default": talk,
        "state_default": _MODERATOR,
        "invite": _MODERATOR,
        "kick": _MODERATOR,
        "ban": _MODERATOR,
        "redact": _MODERATOR,
        "notifications": {"room": _MODERATOR},
    }


def restricted_to(*rooms: str | None) -> Content:
    """A join rule that lets members of these rooms in; `invite` where there is none."""
    allow = [{"type": "m.room_membership", "room_id": room} for room in rooms if room]
    return {"join_rule": "restricted", "allow": allow} if allow else {"join_rule": "invite"}


def is_locked(levels: Content) -> bool:
    """Whether a room with these power levels is locked: participants cannot say anything."""
    return bool(levels.get("events_default") == _MODERATOR)


def lets_in(join_rules: Content, room: str) -> bool:
    """Whether members of `room` may walk in."""
    allow = join_rules.get("allow")
    return isinstance(allow, list) and any(isinstance(rule, Mapping) and rule.get("room_id") == room for rule in allow)


def creation_key(session: Session, room: Room) -> str:
    """Unique to this attempt of making this room."""
    return f"{session.id}-{room.number}-{room.attempt}"


def desired(
    session: Session,
    main: MainRoom,
    desk: str | None,
    texts: Mapping[int, Texts],
    options: Options,
) -> tuple[RoomWish, ...]:
    """Each breakout room as it should be; rooms that are not to be made and do not exist are left out.

    `desk` is the room id of the desk, `texts` has the words of each room by its number.
    """
    wishes = []
    for room in session.rooms:
        if room.closed:
            continue
        if room.room_id is None and not _is_used(session, room):
            continue
        wishes.append(_wish(session, room, main, desk, texts[room.number], options))
    return tuple(wishes)


def _wish(session: Session, room: Room, main: MainRoom, desk: str | None, texts: Texts, options: Options) -> RoomWish:
    lets_in = _lets_in(session, room)
    goes = room.removed or session.phase is Phase.DELETED
    walk_in = session.walks_in and _is_used(session, room)
    locked = session.is_locked or room.removed
    return RoomWish(
        number=room.number,
        room_id=room.room_id,
        creation_key=creation_key(session, room),
        texts=texts,
        power=power_levels(main.bot, main.moderators, options, locked=locked),
        join_rules=restricted_to(desk, *((main.id, main.former) if walk_in else ())),
        marker=_marker(main.id, creation_key(session, room), session.id, room.number),
        history_visibility=options.history_visibility,
        invite=_to_invite(session, room, main) if lets_in and session.invites else (),
        bring_in=_to_bring_in(session, room) if lets_in and options.brings_in else frozenset(),
        may_stay=frozenset({main.bot}) if goes else _may_stay(session, room, main, lets_in=lets_in),
        banned=main.banned if lets_in else frozenset(),
        closing=session.phase in (Phase.ENDED, Phase.DELETED) and not room.removed,
        goes=goes,
        locked=locked,
        encrypted=options.encrypts(main),
    )


def _is_used(session: Session, room: Room) -> bool:
    """Whether the room is there for a round that runs or is to start."""
    return (session.is_open or session.is_prepared) and not room.removed


def _lets_in(session: Session, room: Room) -> bool:
    return session.lets_in and not room.removed


def _to_invite(session: Session, room: Room, main: MainRoom) -> tuple[str, ...]:
    guests = (user for user, number in sorted(session.guests) if number == room.number and user in main.moderators)
    seated = (
        seat.user
        for seat in session.people_of(room.number)
        if seat.presence is Presence.ASSIGNED and seat.user not in session.passed and _by_invite(session, seat)
    )
    return tuple(dict.fromkeys([*seated, *guests]))


def _by_invite(session: Session, seat: Seat) -> bool:
    return session.door is Door.INVITE or seat.needs_invite


def _to_bring_in(session: Session, room: Room) -> frozenset[str]:
    """Who has come before decides alone whether to come again."""
    if not session.invites:
        return frozenset()
    return frozenset(seat.user for seat in session.people_of(room.number) if is_brought_in(session, seat))


def is_brought_in(session: Session, seat: Seat) -> bool:
    """Whether the person of a seat has still to come into its room, and nothing says that they do not want to."""
    waits = seat.presence in (Presence.ASSIGNED, Presence.INVITED)
    return waits and not seat.must_tap and seat.user not in session.passed and _by_invite(session, seat)


def stays_out(session: Session, seat: Seat) -> bool:
    """Whether the person of a seat is in no room: by their own word, or by a moderator's, which holds until another."""
    return seat.user in session.passed or seat.presence is Presence.REMOVED


def _may_stay(session: Session, room: Room, main: MainRoom, *, lets_in: bool) -> frozenset[str]:
    """Moderators always; while it lets in, its guests and those whose seat it is or was until they have moved."""
    seated = (
        seat.user
        for seat in session.seats.values()
        if (
            seat.room == room.number
            or (seat.moved_from == room.number and seat.presence not in (Presence.JOINED, Presence.IN_MAIN))
        )
        and not stays_out(session, seat)
    )
    outsiders = (user for user, number in session.outsiders if number == room.number)
    return frozenset({main.bot, *main.moderators, *((*seated, *outsiders) if lets_in else ())})


def desk_wish(
    room_id: str | None, key: str, main: MainRoom, texts: Texts, options: Options, *, wanted: bool
) -> RoomWish:
    """The desk as it should be: the moderators' room, or going."""
    levels = power_levels(main.bot, main.moderators, options, locked=False)
    return RoomWish(
        number=DESK,
        room_id=room_id,
        creation_key=key,
        texts=texts,
        power=levels,
        join_rules={"join_rule": "invite"},
        marker=_marker(main.id, key, None, DESK),
        history_visibility="shared",
        invite=tuple(sorted(main.moderators)) if wanted else (),
        may_stay=frozenset({main.bot, *(main.moderators if wanted else ())}),
        goes=not wanted,
        encrypted=options.encrypts(main),
    )


def stray_wish(number: int, room_id: str, main: MainRoom, texts: Texts, options: Options) -> RoomWish:
    """A room that bears our marker and that nobody knows of, a twin by a call that seemed to fail: it goes."""
    return RoomWish(
        number=number,
        room_id=room_id,
        creation_key="",
        texts=texts,
        power=power_levels(main.bot, (), options, locked=True),
        join_rules={"join_rule": "invite"},
        marker={},
        history_visibility=options.history_visibility,
        may_stay=frozenset({main.bot}),
        goes=True,
        locked=True,
    )


def _marker(main: str, key: str, session: str | None, number: int) -> Content:
    return MappingProxyType({"main": main, "session": session, "room": number, "key": key})

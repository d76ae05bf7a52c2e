"""The session and what belongs to it, as values: every change returns a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType


class Phase(StrEnum):
    """Where a session stands."""

    SET_UP = "set up"
    RUNNING = "running"
    CLOSING = "closing"
    ENDED = "ended"
    DELETED = "deleted"


MOVES: Mapping[Phase, frozenset[Phase]] = MappingProxyType(
    {
        Phase.SET_UP: frozenset({Phase.RUNNING, Phase.DELETED}),
        Phase.RUNNING: frozenset({Phase.CLOSING, Phase.ENDED}),
        Phase.CLOSING: frozenset({Phase.RUNNING, Phase.ENDED}),
        Phase.ENDED: frozenset({Phase.RUNNING, Phase.DELETED}),
        Phase.DELETED: frozenset(),
    }
)
"""The one table of allowed moves between phases (a running session is ended before it is deleted)."""


class Mode(StrEnum):
    """How people come to their seats."""

    AUTO = "auto"
    MANUAL = "manual"
    CHOOSE = "choose"


class Door(StrEnum):
    """How people come into the rooms."""

    INVITE = "invite"
    OPEN = "open"
    """Members of the main room walk in by a link; nobody is invited, except who asks for it."""


class OnEnd(StrEnum):
    """What becomes of the people in the rooms when a round ends."""

    REMOVE = "remove"
    KEEP = "keep"


class LateJoiners(StrEnum):
    """What happens to people who join the main room while the session runs."""

    SMALLEST = "smallest"
    ASK = "ask"
    STAY = "stay"


class Presence(StrEnum):
    """What is known of a seat's person."""

    ASSIGNED = "assigned"
    INVITED = "invited"
    JOINED = "joined"
    IN_MAIN = "in main"
    DECLINED = "declined"
    LEFT = "left"
    REMOVED = "removed"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Help:
    """The open help request of a breakout room."""

    user: str
    since: datetime
    text: str
    times: int = 1
    claimed_by: str | None = None
    reminded: bool = False
    in_main: bool = False
    """Asked for in the main room last, where the asker is told what comes of it too."""
    attended_by: str | None = None
    """A moderator who came into the room after the asking; one who stays `help_stay` closes the request."""
    attended_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """One breakout room. `number` never changes and is never used twice in a session."""

    number: int
    name: str
    task: str = ""
    attempt: int = 1
    """Counts creations; the creation key is made of it."""
    room_id: str | None = None
    removed: bool = False
    """Taken out by a moderator, or by a new session: its people are sent back and the bot leaves it."""
    closed: bool = False
    """The bot has left it for good."""
    locked: bool = False
    """People can only read there, as far as is known: it is to be unlocked before it is welcomed."""
    help: Help | None = None
    visited_at: datetime | None = None
    welcomed_at: datetime | None = None
    """When its welcome of this round was said: who is invited later cannot read it."""
    welcomed_again: bool = False
    """Where people walk in: the welcome was repeated for those who came after the first one."""


@dataclass(frozen=True, slots=True)
class Seat:
    """The breakout room to which a person is assigned, and what is known of it."""

    user: str
    room: int
    by_hand: bool = False
    presence: Presence = Presence.ASSIGNED
    problem: str = ""
    """Why the invite failed, where it did."""
    invite_count: int = 0
    """Distinct invites asked for this round (1 is the first; `rejoin` and `assign` ask for another)."""
    invited_at: datetime | None = None
    moved_from: int | None = None
    """The room to be taken out of once the new one is joined, or at `moved_until`."""
    moved_until: datetime | None = None
    unasked_since: datetime | None = None
    """When their invite to the new room went out, where nobody has asked them to go there yet."""
    unwelcomed_since: datetime | None = None
    """When they came, where that was after the room's welcome and they wait for one of their own."""
    late: bool = False
    """Seated while the session was running."""
    needs_invite: bool = False
    """Where the door is open: nothing tells this person of the room but an invite, or they asked for one."""
    must_tap: bool = False
    """The homeserver did not let us have them join: they accept the invite themselves."""


class Confirm(StrEnum):
    """What waits for a yes."""

    PREPARE = "prepare"
    START = "start"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Pending:
    """A question that waits for ✅ by the asker or the typed twin by any moderator."""

    what: Confirm
    asked_by: str
    until: datetime
    key: str
    """The outbox key of the question."""
    limit: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """A text on its way to the rooms, whose sender still gets a receipt."""

    event: str
    """The id of the command's event; part of the outbox keys of the copies."""
    by: str
    asked_in: str
    """The Matrix room in which it was asked, where the receipt goes."""
    thread: str | None = None
    number: int | None = None
    """The one room that it is for; None: all."""
    relays: str | None = None
    """The id of a message to relay, whose content has still to be fetched."""


@dataclass(frozen=True, slots=True)
class Session:
    """The breakout rooms of one main room and their life.

    `revision` counts saves; a save of an outdated one is refused by the store.
    """

    id: str
    main: str
    phase: Phase
    mode: Mode
    rooms: tuple[Room, ...]
    set_up_by: str
    revision: int = 0
    door: Door = Door.INVITE
    seats: Mapping[str, Seat] = field(default_factory=dict)
    everyone: bool = False
    """Moderators are participants too."""
    here_only: bool = False
    group_size: int | None = None
    """Rooms are counted from it at the start, while no seat was set by hand."""
    capacity: int | None = None
    """Seats per room in choose mode."""
    prepared_at: datetime | None = None
    """When a moderator last typed `prepare`: rooms are made and people invited, though nothing has started yet."""
    prepared_told: bool = False
    """The main room was told that the rooms are prepared."""
    round: int = 0
    """0 before the first start."""
    limit: timedelta | None = None
    """The time limit asked for at the start, until its clock begins."""
    started_at: datetime | None = None
    started_by: str = ""
    clock_at: datetime | None = None
    """When the invites were out (or 60 s after the start)."""
    ends_at: datetime | None = None
    """When rooms lock; while closing always set."""
    timed_end: datetime | None = None
    """What `ends_at` was before a moderator typed `end`: `end cancel` brings it back."""
    closing_by: str | None = None
    """The moderator who typed `end`; None where the timer did."""
    closing_at: datetime | None = None
    ended_at: datetime | None = None
    kept: bool = False
    """The round ended with its people left in the rooms, as readers."""
    warned: frozenset[int] = frozenset()
    """Seconds before the end of the warnings already given in this round."""
    forewarned: bool = False
    """The warning that says what will be gone was given in this round."""
    passed: frozenset[str] = frozenset()
    """Who declined this round by `pass`."""
    taps: frozenset[str] = frozenset()
    """Who tapped ✋ at the check-in."""
    waiting: frozenset[str] = frozenset()
    """Late joiners about whom the moderators were asked."""
    guests: frozenset[tuple[str, int]] = frozenset()
    """Moderators who want to go into a room, and need an invite since they are not at the desk."""
    outsiders: frozenset[tuple[str, int]] = frozenset()
    """Who is not in the main room, and was invited into a room by a moderator: they may stay while it is open."""
    left_out: frozenset[str] = frozenset()
    """Whose seat a moderator took away by hand: a start does not deal them one again."""
    asked_at: Mapping[str, datetime] = field(default_factory=dict)
    """When each person last asked for help in this round (the cool-down)."""
    pending: Pending | None = None
    errands: tuple[Errand, ...] = ()
    board: int = 0
    """Number of the newest board message; boards before it are not edited any more."""
    reminded: bool = False
    """Those not yet in were named in the main room in this round."""
    duration_announced: bool = False
    delete_announced: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.seats, MappingProxyType):
            object.__setattr__(self, "seats", MappingProxyType(dict(self.seats)))
        if not isinstance(self.asked_at, MappingProxyType):
            object.__setattr__(self, "asked_at", MappingProxyType(dict(self.asked_at)))

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a session is saved by plugins.breakout.store, never pickled")

    @property
    def is_open(self) -> bool:
        """Whether people talk in the rooms."""
        return self.phase in (Phase.RUNNING, Phase.CLOSING)

    @property
    def is_prepared(self) -> bool:
        """Whether the rooms are there ahead of the start."""
        return self.prepared_at is not None and self.phase in (Phase.SET_UP, Phase.ENDED)

    @property
    def is_ahead(self) -> bool:
        """Whether a start is to come, so that seats are given and given up for it: of the first or a prepared round."""
        return self.phase is Phase.SET_UP or self.is_prepared

    @property
    def invites(self) -> bool:
        """Whether a seat brings an invite at once: changes of seats and rooms are felt."""
        return self.phase is Phase.RUNNING or (self.is_prepared and self.door is Door.INVITE)

    @property
    def is_kept(self) -> bool:
        """Whether people are left in the rooms after the end."""
        return self.kept and self.phase is Phase.ENDED

    @property
    def walks_in(self) -> bool:
        """Whether people come into rooms without an invite, which is taking a seat there."""
        return self.mode is Mode.CHOOSE or self.door is Door.OPEN

    @property
    def is_locked(self) -> bool:
        """Whether people can only read in the rooms.

        What is prepared with the door open is not: nobody knows the links before the start, which then costs nothing.
        """
        return not self.is_open and not (self.is_prepared and self.door is Door.OPEN and not self.kept)

    @property
    def lets_in(self) -> bool:
        """Whether people may be in the rooms, to talk or only to read."""
        return self.is_open or self.is_kept or (self.is_prepared and self.door is Door.INVITE)

    @property
    def asked_with(self) -> tuple[str, ...]:
        """The words with which another `setup` asks for the same people and the same door."""
        words = {"here": self.here_only, "everyone": self.everyone, "open": self.door is Door.OPEN}
        return tuple(word for word, is_asked in words.items() if is_asked)

    @property
    def open_rooms(self) -> tuple[Room, ...]:
        """The rooms that count: neither removed nor closed."""
        return tuple(room for room in self.rooms if not room.removed and not room.closed)

    def room(self, number: int) -> Room:
        """The room of this number; `KeyError` where there is none."""
        for room in self.rooms:
            if room.number == number:
                return room
        raise KeyError(number)

    def people_of(self, number: int) -> tuple[Seat, ...]:
        """The seats of a room, in the order in which they were given."""
        return tuple(seat for seat in self.seats.values() if seat.room == number)

    def with_room(self, changed: Room) -> Session:
        """The session with `changed` in the place of the room of its number."""
        return replace(self, rooms=tuple(changed if r.number == changed.number else r for r in self.rooms))

    def with_seats(self, *seats: Seat) -> Session:
        """The session with these seats given, each in the place of the person's former one."""
        return replace(self, seats={**self.seats, **{seat.user: seat for seat in seats}})

    def without_seats(self, *users: str) -> Session:
        """The session without these people's seats."""
        return replace(self, seats={u: s for u, s in self.seats.items() if u not in users})


@dataclass(frozen=True, slots=True)
class Person:
    """A joined member of the main room, as the rules see them."""

    user: str
    name: str
    moderator: bool = False
    here: bool = False
    joined_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the rules need of the configuration."""

    mode: Mode = Mode.AUTO
    door: Door = Door.INVITE
    max_rooms: int = 20
    confirm_above: int = 50
    closing_notice: timedelta = timedelta(seconds=60)
    long_closing_notice: timedelta = timedelta(minutes=2)
    warnings: tuple[timedelta, ...] = (timedelta(minutes=5), timedelta(minutes=1))
    max_duration: timedelta = timedelta(hours=12)
    delete_after: timedelta = timedelta(days=14)
    on_end: OnEnd = OnEnd.REMOVE
    late_joiners: LateJoiners | None = None
    """None: smallest in auto mode, ask in manual mode."""
    help_reminder: timedelta = timedelta(minutes=3)
    help_cooldown: timedelta = timedelta(seconds=10)
    help_stay: timedelta = timedelta(seconds=30)
    long_round: timedelta = timedelta(minutes=15)
    """Rounds of this length and more get `long_closing_notice`."""
    max_timer: timedelta = timedelta(hours=24)
    duration_notice: timedelta = timedelta(minutes=15)
    """How long before `max_duration` the end is announced."""
    delete_notice: timedelta = timedelta(days=1)
    """How long before `delete_after` the deletion is announced."""
    in_time: timedelta = timedelta(seconds=60)
    """What is carried out later than this after its moment counts as missed."""
    not_in_after: timedelta = timedelta(seconds=90)
    move_grace: timedelta = timedelta(seconds=60)
    clock_patience: timedelta = timedelta(seconds=60)
    here_for: timedelta = timedelta(minutes=15)
    confirm_within: timedelta = timedelta(minutes=2)
    board_interval: timedelta = timedelta(seconds=5)
    tell_earlier: timedelta = timedelta()
    """How much earlier warnings and closing notices begin, on a server that lets them out one after another."""
    lock_earlier: timedelta = timedelta()
    """The same for the locks; a room keeps half of its notice all the same."""

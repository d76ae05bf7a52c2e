"""Each known refusal as a fact with fields; nothing has changed where one is raised."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from plugins.breakout.domain.model import Confirm, Mode, Phase


class Refusal(Exception):
    """The root of every refusal of this plugin's rules; turned into a sentence in one place."""


@dataclass(eq=False)
class NoSession(Refusal):
    """Nothing is set up in this main room."""

    command: str


@dataclass(eq=False)
class WrongPhase(Refusal):
    """The command does not work in this phase (`domain.phases` says where it does)."""

    command: str
    phase: Phase


@dataclass(eq=False)
class AlreadyRunning(Refusal):
    """`start` or `setup` while the session runs or closes: it must end first."""

    command: str
    phase: Phase


@dataclass(eq=False)
class NothingRunning(Refusal):
    """A command for a running session, and none runs."""

    command: str


@dataclass(eq=False)
class NoRooms(Refusal):
    """`setup` without saying how many rooms, which ones, or groups of how many."""


@dataclass(eq=False)
class BadRoomCount(Refusal):
    """Not a number of rooms from 1 to `limit`."""

    count: int
    limit: int


@dataclass(eq=False)
class TooManyRooms(Refusal):
    """More rooms than `max_rooms`; `people` where groups of `size` made so many; `adding` to those that there are.

    `asked_with` are the words that were used with a number of rooms.
    """

    count: int
    limit: int
    size: int | None = None
    people: int = 0
    adding: bool = False
    asked_with: tuple[str, ...] = ()


@dataclass(eq=False)
class BadGroupSize(Refusal):
    """Groups of fewer than two people."""

    size: int


@dataclass(eq=False)
class BadCapacity(Refusal):
    """`max` with a number below one."""

    capacity: int


class NameFault(StrEnum):
    """What is wrong with a room name."""

    EMPTY = "empty"
    TOO_LONG = "too long"
    LINE_BREAK = "line break"
    SIGN = "comma or colon"
    NUMBER = "a bare number"
    RESERVED = "a word of the commands"


@dataclass(eq=False)
class BadRoomName(Refusal):
    """A name that no room may have; `example` is a line with a better one, without the prefix."""

    name: str
    why: NameFault
    example: str


@dataclass(eq=False)
class DuplicateRoomName(Refusal):
    """Two rooms of one name (case does not count)."""

    name: str


@dataclass(eq=False)
class OneRoomOnly(Refusal):
    """One name alone after `setup`: asked back, for names are separated by commas."""

    name: str


@dataclass(eq=False)
class NotUnderstood(Refusal):
    """Words that mean nothing after `before`, with which `setup` alone would work."""

    typed: str
    before: str


@dataclass(eq=False)
class UnknownRoom(Refusal):
    """No room of that number or name; `rooms` are the names there are, `numbers` their numbers."""

    typed: str
    rooms: tuple[str, ...]
    numbers: tuple[int, ...]


@dataclass(eq=False)
class AmbiguousRoom(Refusal):
    """The words fit several rooms, of these names and numbers."""

    typed: str
    rooms: tuple[str, ...]
    numbers: tuple[int, ...]


@dataclass(eq=False)
class LastRoom(Refusal):
    """The only room cannot be removed (`delete` does away with all)."""

    name: str


@dataclass(eq=False)
class PersonTwice(Refusal):
    """One person in two rooms of the same command."""

    user: str
    rooms: tuple[str, ...]


@dataclass(eq=False)
class NotAParticipant(Refusal):
    """These people are not joined to the main room, or never get a seat (the bot, ignored users)."""

    users: tuple[str, ...]


@dataclass(eq=False)
class NoSeat(Refusal):
    """These people have no seat."""

    users: tuple[str, ...]


@dataclass(eq=False)
class SamePerson(Refusal):
    """`swap` of somebody with himself."""

    user: str


@dataclass(eq=False)
class SameRoom(Refusal):
    """`swap` of two people of one room."""

    users: tuple[str, ...]
    room: str


@dataclass(eq=False)
class SeatsNotByCommandLines(Refusal):
    """Seat lines after `setup` in a mode other than manual."""

    mode: Mode


@dataclass(eq=False)
class CapacityNeedsChoose(Refusal):
    """`max 8` in a mode in which nobody chooses."""

    mode: Mode


@dataclass(eq=False)
class NobodyToSeat(Refusal):
    """Nobody could be seated. `participants` are in the main room, `willing` of them do not sit out.

    `moderators` would be participants with `everyone`; `moderators_here` of them are here. `rooms` are planned, and
    `asked_with` are the words that were used with their number.
    """

    mode: Mode
    participants: int
    willing: int
    moderators: int
    moderators_here: int
    rooms: int
    asked_with: tuple[str, ...]

    @property
    def here_only(self) -> bool:
        """Whether only those who are here are seated."""
        return "here" in self.asked_with


@dataclass(eq=False)
class RoomsWouldBeEmpty(Refusal):
    """Auto mode, and these rooms would stay empty: `people` are to be seated in `count` rooms.

    A `setup` of `fitting` rooms with the words `asked_with` would seat somebody in each; none where that is 0, since
    all seats were given by hand. `numbers` are those of the empty rooms.
    """

    rooms: tuple[str, ...]
    numbers: tuple[int, ...]
    people: int
    count: int
    fitting: int
    asked_with: tuple[str, ...]


@dataclass(eq=False)
class NobodyWithoutSeat(Refusal):
    """`fill`, and everybody has a seat."""


@dataclass(eq=False)
class ShuffleNeedsNow(Refusal):
    """`shuffle` would move `people` people who are invited (and `talking`, or not yet): only as `shuffle now`."""

    people: int
    talking: bool = True


@dataclass(eq=False)
class NotAtThisMode(Refusal):
    """The command works in another mode only (`choose` in choose mode)."""

    command: str
    mode: Mode


@dataclass(eq=False)
class RoomFull(Refusal):
    """No seat is left there; `free` are the rooms that still have one."""

    room: str
    capacity: int
    free: tuple[str, ...]


@dataclass(eq=False)
class NotSeatedForChoice(Refusal):
    """A moderator who chooses although only participants take seats."""

    user: str


@dataclass(eq=False)
class RemovedByModerator(Refusal):
    """A moderator took the person out of the room; only `assign` invites again."""

    user: str
    room: str


@dataclass(eq=False)
class NoTimer(Refusal):
    """`extend` or `timer off` without a timer."""

    command: str


@dataclass(eq=False)
class BadLength(Refusal):
    """A length of time that is not above zero and at most `limit`; of `extend`, together with what is left."""

    length: timedelta
    limit: timedelta
    command: str


@dataclass(eq=False)
class EndJustGiven(Refusal):
    """Another moderator gave `end` a few seconds ago; `end now` ends at once."""

    by: str
    ends_at: datetime


@dataclass(eq=False)
class NothingToCancel(Refusal):
    """`end cancel`, and the rooms are not closing."""


@dataclass(eq=False)
class NothingToConfirm(Refusal):
    """No such question waits for a yes (any more).

    `what` is what was to be confirmed, where that is known; `waits` is what waits for a yes instead.
    """

    what: Confirm | None = None
    waits: Confirm | None = None


@dataclass(eq=False)
class NotYoursToConfirm(Refusal):
    """✅ by somebody else than the asker; `asked_by` may tap, any moderator may type."""

    what: Confirm
    asked_by: str


@dataclass(eq=False)
class HelpCooldown(Refusal):
    """The person asked `left` too soon."""

    left: timedelta


@dataclass(eq=False)
class NoHelpRequest(Refusal):
    """No open help request of this room (None: of any room); `withdrawing`: somebody of it takes one back."""

    room: str | None
    withdrawing: bool = False


@dataclass(eq=False)
class AlreadyClaimed(Refusal):
    """Another moderator is on the way."""

    room: str
    by: str


@dataclass(eq=False)
class TooLong(Refusal):
    """A text of `length` characters where `limit` are allowed."""

    what: str
    length: int
    limit: int

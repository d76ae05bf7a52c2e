"""What is to be said once, elsewhere than in the reply, as values with keys that name them for ever."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

SAID = {"key": False}
"""Marks a field that the message shows and its key leaves out."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to say. `KIND` is part of stored keys: it outlives renamed classes."""

    KIND: ClassVar[str] = ""
    session: str

    @property
    def key(self) -> str:
        """The outbox key: the same notice always has the same one, and no other notice has it."""
        parts = [getattr(self, f.name) for f in fields(self) if f.metadata.get("key", True)]
        return ":".join([self.KIND, *(_part(value) for value in parts)])


def _part(value: object) -> str:
    return str(round(value.timestamp() * 1000)) if isinstance(value, datetime) else str(value)


class EndReason(StrEnum):
    """Why a round ended."""

    TIMER = "timer"
    MODERATOR = "moderator"
    MAX_DURATION = "max duration"
    DELETE = "delete"


class HelpEnd(StrEnum):
    """Why a help request closed."""

    RESOLVED = "resolved"
    ATTENDED = "attended"
    WITHDRAWN = "withdrawn"
    GONE = "gone"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class WelcomeRoom(Notice):
    """In a breakout room that is ready for the round."""

    KIND: ClassVar[str] = "welcome"
    round: int
    room: int
    attempt: int = 1
    """A room made anew (the bot was removed from the first) is welcomed anew."""


@dataclass(frozen=True, slots=True)
class WelcomeAgain(Notice):
    """In a breakout room into which people walked: its welcome once more, for those who came after the first."""

    KIND: ClassVar[str] = "welcome-again"
    round: int
    room: int
    attempt: int


@dataclass(frozen=True, slots=True)
class WelcomePrepared(Notice):
    """In a breakout room whose people are invited ahead of the start: it can be read, and opens then."""

    KIND: ClassVar[str] = "welcome-prepared"
    room: int
    attempt: int
    at: datetime


@dataclass(frozen=True, slots=True)
class MainPrepared(Notice):
    """In the main room, when all invites ahead of the start are out."""

    KIND: ClassVar[str] = "prepared"
    at: datetime


@dataclass(frozen=True, slots=True)
class WelcomeNewcomers(Notice):
    """In a breakout room, for those who came after its welcome: late, moved, or by walking in."""

    KIND: ClassVar[str] = "welcome-newcomers"
    round: int
    room: int
    since: datetime
    """When the first of them came."""
    first: str
    """One of them, who is among no others that came at the same moment."""
    users: tuple[str, ...] = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class MainStarted(Notice):
    """In the main room, when the invites are out (or 60 s after `start`): open until when, with the links."""

    KIND: ClassVar[str] = "started"
    round: int


@dataclass(frozen=True, slots=True)
class RoomReady(Notice):
    """In the main room, where people walk in: a room that was not there yet when the others were named."""

    KIND: ClassVar[str] = "room-ready"
    round: int
    room: int
    attempt: int
    users: tuple[str, ...] = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class ClockBegan(Notice):
    """The time limit runs from now: for welcomes that were said before the end was known."""

    KIND: ClassVar[str] = "clock"
    round: int
    ends_at: datetime = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class NotYetIn(Notice):
    """In the main room, once a round: mentions those invited who are not in yet."""

    KIND: ClassVar[str] = "not-yet-in"
    round: int
    users: tuple[str, ...] = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class ChooseNow(Notice):
    """In the main room, once a round: mentions those who have not chosen at the start."""

    KIND: ClassVar[str] = "choose-now"
    round: int
    users: tuple[str, ...] = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class PleaseMove(Notice):
    """In the old room, when the invites to the new one are out: "Ann and Bob, please go to Beta"."""

    KIND: ClassVar[str] = "move"
    round: int
    first: str
    from_room: int
    to_room: int
    at: datetime
    """When the first of their invites went out."""
    users: tuple[str, ...] = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class RoomRemoved(Notice):
    """In the main room: this room is gone, and its people have no seat now."""

    KIND: ClassVar[str] = "room-removed"
    room: int
    at: datetime
    name: str = field(metadata=SAID)
    users: tuple[str, ...] = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class TaskSet(Notice):
    """In the breakout room, loud: the task is now this."""

    KIND: ClassVar[str] = "task"
    room: int
    at: datetime
    text: str = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class WarningGiven(Notice):
    """In the breakout room: so many seconds are left. The first says what will be gone, the last pings."""

    KIND: ClassVar[str] = "warning"
    round: int
    room: int
    seconds: int
    ends_at: datetime
    first: bool = field(metadata=SAID)
    last: bool = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class TimeChanged(Notice):
    """In the breakout room: it ends at another time, or at no set one (None)."""

    KIND: ClassVar[str] = "time"
    round: int
    room: int
    at: datetime
    ends_at: datetime | None = field(metadata=SAID)
    reopened: bool = field(metadata=SAID)
    """The closing notice had been given already, and is taken back."""


@dataclass(frozen=True, slots=True)
class ClosingNotice(Notice):
    """In the breakout room: it closes at `ends_at`."""

    KIND: ClassVar[str] = "closing"
    round: int
    room: int
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class RoomClosed(Notice):
    """In the breakout room, after it is locked: it is over, with the link back."""

    KIND: ClassVar[str] = "room-closed"
    round: int
    room: int


@dataclass(frozen=True, slots=True)
class MainEnded(Notice):
    """In the main room: the rooms are closed, everybody is back here."""

    KIND: ClassVar[str] = "ended"
    round: int
    why: EndReason = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class PassedWhileDown(Notice):
    """In the main room: `moment` passed while the bot was down, and what was due is done now."""

    KIND: ClassVar[str] = "missed"
    round: int
    moment: datetime


@dataclass(frozen=True, slots=True)
class MaxDurationSoon(Notice):
    """In the main room: the session will end by itself at `at`."""

    KIND: ClassVar[str] = "duration"
    round: int
    at: datetime


@dataclass(frozen=True, slots=True)
class DeleteSoon(Notice):
    """In the main room: the ended rooms will be deleted at `at`."""

    KIND: ClassVar[str] = "delete-soon"
    round: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Deleted(Notice):
    """In the main room: the session was deleted by itself, `delete_after` having passed."""

    KIND: ClassVar[str] = "deleted"


@dataclass(frozen=True, slots=True)
class LateSeated(Notice):
    """In the main room: mentions a late joiner with his room."""

    KIND: ClassVar[str] = "late-seated"
    round: int
    user: str
    at: datetime
    room: int = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class LateAsked(Notice):
    """To the moderators: this person has no seat; a one-tap choice."""

    KIND: ClassVar[str] = "late-asked"
    round: int
    user: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LateChooses(Notice):
    """In the main room: shows a late joiner the board of choose mode."""

    KIND: ClassVar[str] = "late-chooses"
    round: int
    user: str
    at: datetime


@dataclass(frozen=True, slots=True)
class WalkedIntoFull(Notice):
    """In the main room: mentions who walked into a full room; `free` are the rooms with a seat left."""

    KIND: ClassVar[str] = "full"
    round: int
    user: str
    at: datetime
    room: int = field(metadata=SAID)
    free: tuple[int, ...] = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class Promoted(Notice):
    """To the moderators: this person is one of them now; the seat is free."""

    KIND: ClassVar[str] = "promoted"
    user: str
    at: datetime
    room: int | None = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class HelpAsked(Notice):
    """To the moderators: a room asks for help, or asks once more (`times`)."""

    KIND: ClassVar[str] = "help"
    round: int
    room: int
    since: datetime
    times: int
    user: str = field(metadata=SAID)
    text: str = field(metadata=SAID)
    in_main: bool = field(default=False, metadata=SAID)
    """Asked in the main room: the person may not be in the breakout room."""


@dataclass(frozen=True, slots=True)
class HelpWithoutSeat(Notice):
    """To the moderators: somebody without a breakout room asks for help in the main room."""

    KIND: ClassVar[str] = "help-without-seat"
    round: int
    user: str
    at: datetime
    text: str = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class HelpReminded(Notice):
    """To the moderators once more, and to the asker in the room: nobody has come yet."""

    KIND: ClassVar[str] = "help-reminded"
    round: int
    room: int
    since: datetime
    user: str = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class HelpClaimed(Notice):
    """In the breakout room: who is coming."""

    KIND: ClassVar[str] = "help-claimed"
    round: int
    room: int
    since: datetime
    moderator: str
    at: datetime


@dataclass(frozen=True, slots=True)
class HelpUnclaimed(Notice):
    """In the breakout room: that moderator does not come after all; the request is open again."""

    KIND: ClassVar[str] = "help-unclaimed"
    round: int
    room: int
    since: datetime
    moderator: str
    at: datetime


@dataclass(frozen=True, slots=True)
class HelpClosed(Notice):
    """To the moderators: the request is closed."""

    KIND: ClassVar[str] = "help-closed"
    round: int
    room: int
    since: datetime
    why: HelpEnd = field(metadata=SAID)
    by: str | None = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class RoomMadeAnew(Notice):
    """In the main room: the bot is out of this room, so that its people are invited to another one."""

    KIND: ClassVar[str] = "made-anew"
    round: int
    room: int
    attempt: int
    users: tuple[str, ...] = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class Unattended(Notice):
    """In the main room, once a round: no moderator is left, and the rooms close by themselves at `at`."""

    KIND: ClassVar[str] = "unattended"
    round: int
    at: datetime = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class OutsiderInvited(Notice):
    """To the moderators: one of them invited somebody who is not in the main room."""

    KIND: ClassVar[str] = "outsider"
    round: int
    user: str
    room: int
    by: str = field(metadata=SAID)


@dataclass(frozen=True, slots=True)
class NotesLost(Notice):
    """To the moderators: the store is lost, and the session was put together from its rooms."""

    KIND: ClassVar[str] = "notes-lost"
    round: int
    ends_at: datetime | None = field(metadata=SAID)
    put_back: bool = field(default=False, metadata=SAID)
    """A backup of the same round told who sat out and who waited for help."""


@dataclass(frozen=True, slots=True)
class Broadcast(Notice):
    """In the breakout room: the text of the command whose event id is `id`."""

    KIND: ClassVar[str] = "broadcast"
    id: str
    room: int

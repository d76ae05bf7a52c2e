"""Each refusal in one clear sentence, and an example that works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from bot.message.doc import Doc, Inline, Name, Para, Text, doc
from bot.plugin import Role
from plugins.breakout.domain import refusals as r
from plugins.breakout.domain.model import Mode, Phase
from plugins.breakout.views.words import (
    counted_people,
    counted_rooms,
    in_a_row,
    length,
    listed,
    mode_name,
    say,
    say_n,
    setup_line,
    taken_out,
    text,
    typed_length,
    with_number,
)

R = TypeVar("R", bound=r.Refusal)


@dataclass(frozen=True, slots=True)
class Teller:
    """What a refusal is told with: the words that commands begin with, what people are called, and who is told."""

    prefix: str
    names: Mapping[str, str]
    role: Role = Role.MODERATOR

    @property
    def to_moderator(self) -> bool:
        """Whether the asker may run moderators' commands."""
        return self.role >= Role.MODERATOR

    def name(self, user: str) -> str:
        """A person by name."""
        return self.names.get(user, user)

    def people(self, users: Iterable[str]) -> tuple[Inline, ...]:
        """People by name."""
        return _names(self.name(user) for user in users)


_words: dict[type[r.Refusal], Callable[[Any, Teller], Iterable[Para]]] = {}


def explain(error: Exception, prefix: str, names: Mapping[str, str], role: Role = Role.MODERATOR) -> Doc | None:
    """The sentence of a refusal of the rules, people by their `names`; None for other errors.

    Somebody of this role reads it: participants are told what they can do, and not what moderators can.
    """
    words = _words.get(type(error))  # type: ignore[arg-type]
    return None if words is None else doc(*words(error, Teller(prefix, names, role)))


def _for(refusal: type[R]) -> Callable[[Callable[[R, Teller], Iterable[Para]]], Callable[[R, Teller], Iterable[Para]]]:
    def keep(words: Callable[[R, Teller], Iterable[Para]]) -> Callable[[R, Teller], Iterable[Para]]:
        _words[refusal] = words
        return words

    return keep


def wrong_place(command: str, *, in_main: bool, instead: str | None, way: str | None) -> Doc:
    """Where the command works; with what does the same here `instead`, or is the `way` to where it works."""
    if in_main:
        said = say("`{command}` does not work here, only in the main room.", command=command)
    else:
        said = say("`{command}` does not work here, only in a breakout room.", command=command)
    if instead is not None:
        return doc(said, say("Here it is `{instead}`.", instead=instead))
    return doc(said, say("`{way}` leads there.", way=way)) if way else doc(said)


def worded() -> frozenset[type[r.Refusal]]:
    """The refusals that have words; a test asks for all of them."""
    return frozenset(_words)


def _names(names: Iterable[str]) -> tuple[Inline, ...]:
    return listed([Name(name) for name in names])


@_for(r.NoSession)
def _(e: r.NoSession, t: Teller) -> Iterable[Para]:
    if t.to_moderator:
        yield say("No breakout rooms are set up here. Begin with `{p} setup 4`.", p=t.prefix)
    else:
        yield say("No breakout rooms are set up here yet; a moderator begins. `{p}` shows yours then.", p=t.prefix)


@_for(r.WrongPhase)
def _(e: r.WrongPhase, t: Teller) -> Iterable[Para]:
    if e.phase is Phase.CLOSING and not t.to_moderator:
        yield say("The rooms are closing, so this has to wait until they are closed. `{p}` says when.", p=t.prefix)
    elif e.phase is Phase.CLOSING:
        yield say("The rooms are closing, so this has to wait. `{p} extend 5m` takes the end back.", p=t.prefix)
    elif e.phase is Phase.RUNNING:
        yield say("The rooms are open, so this has to wait. `{p} end` closes them.", p=t.prefix)
    else:
        yield say("That does not work now. `{p}` says what does.", p=t.prefix)


@_for(r.AlreadyRunning)
def _(e: r.AlreadyRunning, t: Teller) -> Iterable[Para]:
    if e.phase is Phase.CLOSING:
        yield say("The rooms are closing. `{p} end cancel` takes that back.", p=t.prefix)
        if e.command.startswith("setup"):
            yield say("End first: `{p} end now`, then set up again.", p=t.prefix)
    elif e.command.startswith(("start", "prepare")):
        yield say("The breakout rooms are running already. `{p} status` shows them.", p=t.prefix)
    else:
        yield say("The breakout rooms are running. End first: `{p} end now`, then set up again.", p=t.prefix)


@_for(r.NothingRunning)
def _(e: r.NothingRunning, t: Teller) -> Iterable[Para]:
    if t.to_moderator:
        yield say("No breakout rooms are open now. Open them with `{p} start`.", p=t.prefix)
    else:
        yield say("No breakout rooms are open now; a moderator opens them. `{p}` shows yours then.", p=t.prefix)


@_for(r.NoRooms)
def _(e: r.NoRooms, t: Teller) -> Iterable[Para]:
    yield say(
        "Please say how many rooms, such as `{p} setup 4`, or their names: `{p} setup Team Alpha, Team Beta`.",
        p=t.prefix,
    )


@_for(r.BadRoomCount)
def _(e: r.BadRoomCount, t: Teller) -> Iterable[Para]:
    yield say(
        "{count} is no number of rooms; it goes from 1 to {limit}, such as `{p} setup 4`.",
        count=e.count,
        limit=e.limit,
        p=t.prefix,
    )


@_for(r.TooManyRooms)
def _(e: r.TooManyRooms, t: Teller) -> Iterable[Para]:
    setup = setup_line(e.limit, e.asked_with)
    if e.size is not None:
        yield say(
            "Groups of {size} would make {count} rooms of {people}, and {limit} is the most. Try `{p} {setup}`.",
            size=e.size,
            count=e.count,
            people=counted_people(e.people),
            limit=e.limit,
            p=t.prefix,
            setup=setup,
        )
    elif e.adding:
        yield say(
            "{count} rooms are too many; {limit} is the most. `{p} rename 2 to Team Delta` gives one another name.",
            count=e.count,
            limit=e.limit,
            p=t.prefix,
        )
    else:
        yield say(
            "{count} rooms are too many; {limit} is the most: `{p} {setup}`.",
            count=e.count,
            limit=e.limit,
            p=t.prefix,
            setup=setup,
        )


@_for(r.BadGroupSize)
def _(e: r.BadGroupSize, t: Teller) -> Iterable[Para]:
    yield say("A group has at least 2 people, such as `{p} setup groups of 4`.", p=t.prefix)


@_for(r.BadCapacity)
def _(e: r.BadCapacity, t: Teller) -> Iterable[Para]:
    yield say("A room has at least 1 seat, such as `{p} setup 4 choose max 8`.", p=t.prefix)


@_for(r.BadRoomName)
def _(e: r.BadRoomName, t: Teller) -> Iterable[Para]:
    example = say(" Try `{p} {example}`.", p=t.prefix, example=e.example).parts
    match e.why:
        case r.NameFault.EMPTY:
            said = say("A room needs a name.")
        case r.NameFault.TOO_LONG:
            said = say("The name “{name}” is too long; 64 characters are the most.", name=e.name[:30] + "…")
        case r.NameFault.LINE_BREAK:
            said = say("A room's name stands in one line.")
        case r.NameFault.SIGN:
            said = say("The name “{name}” has a comma or a colon, which separate names.", name=e.name)
        case r.NameFault.NUMBER:
            said = say("“{name}” is a number, and rooms have numbers anyway; give it a word too.", name=e.name)
        case _:
            said = say("“{name}” is a word of the commands, so no room can have it.", name=e.name)
    yield Para((*said.parts, *example))


@_for(r.DuplicateRoomName)
def _(e: r.DuplicateRoomName, t: Teller) -> Iterable[Para]:
    yield say("Two rooms cannot both be “{name}”. Give it another name, such as `{name} 2`.", name=e.name)


@_for(r.OneRoomOnly)
def _(e: r.OneRoomOnly, t: Teller) -> Iterable[Para]:
    yield say("One room only? Separate names by commas.")
    yield say("For example `{p} setup Team Alpha, Team Beta`, or `{p} setup 1` for a single room.", p=t.prefix)


@_for(r.NotUnderstood)
def _(e: r.NotUnderstood, t: Teller) -> Iterable[Para]:
    yield say("I do not understand “{typed}” after `{p} setup {before}`.", typed=e.typed, before=e.before, p=t.prefix)
    yield say(
        "What can follow: `auto`, `manual`, `choose`, `max 8`, `here`, `everyone` or `open`, "
        "such as `{p} setup {before} choose`.",
        before=e.before,
        p=t.prefix,
    )


@_for(r.UnknownRoom)
def _(e: r.UnknownRoom, t: Teller) -> Iterable[Para]:
    yield say_n(
        "There is no room “{typed}”. The only one is {rooms}; its number works too.",
        "There is no room “{typed}”. The rooms are {rooms}; their numbers work too.",
        len(e.rooms),
        typed=e.typed,
        rooms=_names(e.rooms) if in_a_row(e.numbers) else _numbered(e.rooms, e.numbers),
    )


def _numbered(rooms: Iterable[str], numbers: Iterable[int]) -> tuple[Inline, ...]:
    return _names(with_number(number, room) for number, room in zip(numbers, rooms, strict=True))


@_for(r.AmbiguousRoom)
def _(e: r.AmbiguousRoom, t: Teller) -> Iterable[Para]:
    rooms = _numbered(e.rooms, e.numbers)
    yield say("“{typed}” could be {rooms}. Please say the number.", typed=e.typed, rooms=rooms)


@_for(r.LastRoom)
def _(e: r.LastRoom, t: Teller) -> Iterable[Para]:
    yield say("{name} is the only room. `{p} delete` does away with everything.", name=e.name, p=t.prefix)


@_for(r.PersonTwice)
def _(e: r.PersonTwice, t: Teller) -> Iterable[Para]:
    yield say("{who} stands in two rooms: {rooms}. Please name one.", who=t.name(e.user), rooms=_names(e.rooms))


@_for(r.NotAParticipant)
def _(e: r.NotAParticipant, t: Teller) -> Iterable[Para]:
    yield say("{who} cannot get a seat, not being in this room (or being a bot).", who=t.people(e.users))


@_for(r.NoSeat)
def _(e: r.NoSeat, t: Teller) -> Iterable[Para]:
    yield say("{who} has no seat. Give one with `{p} assign @ann to 2`.", who=t.people(e.users), p=t.prefix)


@_for(r.SamePerson)
def _(e: r.SamePerson, t: Teller) -> Iterable[Para]:
    yield say("That is the same person twice. Name two: `{p} swap @ann @bob`.", p=t.prefix)


@_for(r.SameRoom)
def _(e: r.SameRoom, t: Teller) -> Iterable[Para]:
    yield say("{who} both sit in {room} already.", who=t.people(e.users), room=e.room)


@_for(r.SeatsNotByCommandLines)
def _(e: r.SeatsNotByCommandLines, t: Teller) -> Iterable[Para]:
    yield say("Lines with names seat people by hand: begin with `{p} setup manual`.", p=t.prefix)


@_for(r.CapacityNeedsChoose)
def _(e: r.CapacityNeedsChoose, t: Teller) -> Iterable[Para]:
    yield say("`max` is for rooms that people choose: `{p} setup 4 choose max 8`.", p=t.prefix)


@_for(r.NobodyToSeat)
def _(e: r.NobodyToSeat, t: Teller) -> Iterable[Para]:
    yield how_to_seat(e, t.prefix)


def how_to_seat(e: r.NobodyToSeat, prefix: str) -> Para:
    """Why nobody is seated, and the command that mends it."""
    p, without_here = prefix, [word for word in e.asked_with if word != "here"]
    if e.mode is Mode.MANUAL and e.willing:
        return say("Nobody has a seat yet. Seat people with `{p} assign @ann @bob to 1`, or all with `{p} fill`.", p=p)
    if e.willing and e.here_only:
        ask = ask_who_is_here(e, p)
        return Para((*say("Nobody seems to be here.").parts, Text(" "), *ask.parts))
    if e.willing:
        return say("Nobody has a seat. `{p} fill` seats those who take part.", p=p)
    if e.participants:
        return say("Those who could take part sit out. Seat people by hand with `{p} assign @ann to 1`.", p=p)
    if e.moderators and e.mode is Mode.MANUAL:
        return say("Only moderators are here. Seat them by hand, too, with `{p} assign @ann to 1`.", p=p)
    if e.moderators:
        here = e.here_only and e.moderators_here
        count = min(e.rooms, e.moderators_here if here else e.moderators)
        setup = setup_line(count, ["everyone", *(e.asked_with if here else without_here)])
        return say("Only moderators are here. Seat them too with `{p} {setup}`.", p=p, setup=setup)
    return say("Nobody is here to seat. Invite people into this room first, then `{p} start`.", p=p)


def ask_who_is_here(e: r.NobodyToSeat, prefix: str) -> Para:
    """What seats people where only those who are here are seated, and nobody is."""
    setup = setup_line(min(e.rooms, e.willing), [word for word in e.asked_with if word != "here"])
    return say("Ask with `{p} checkin`, or seat everybody: `{p} {setup}`.", p=prefix, setup=setup)


@_for(r.RoomsWouldBeEmpty)
def _(e: r.RoomsWouldBeEmpty, t: Teller) -> Iterable[Para]:
    mend = setup_line(e.fitting, e.asked_with) if e.fitting else f"remove {e.numbers[0]}"
    yield say_n(
        "{rooms} would stay empty: there is {people} for {count}. Try `{p} {mend}`.",
        "{rooms} would stay empty: there are {people} for {count}. Try `{p} {mend}`.",
        e.people,
        rooms=_names(e.rooms),
        people=counted_people(e.people),
        count=counted_rooms(e.count),
        p=t.prefix,
        mend=mend,
    )


@_for(r.NobodyWithoutSeat)
def _(e: r.NobodyWithoutSeat, t: Teller) -> Iterable[Para]:
    yield say("Everybody has a seat. `{p} shuffle` deals new ones.", p=t.prefix)


@_for(r.ShuffleNeedsNow)
def _(e: r.ShuffleNeedsNow, t: Teller) -> Iterable[Para]:
    if e.talking:
        question = say("That would move {people} while they talk. ", people=counted_people(e.people))
    else:
        question = say("That would move {people} who are invited already. ", people=counted_people(e.people))
    yield Para((*question.parts, *say("If you mean it: `{p} shuffle now`.", p=t.prefix).parts))


@_for(r.NotAtThisMode)
def _(e: r.NotAtThisMode, t: Teller) -> Iterable[Para]:
    if not t.to_moderator:
        yield say("That does not work here, where the seats are given. `{p}` shows yours.", p=t.prefix)
        return
    yield say(
        "That does not work here, where {mode}. A moderator can `{p} setup 4 choose`.",
        mode=mode_name(e.mode),
        p=t.prefix,
    )


@_for(r.RoomFull)
def _(e: r.RoomFull, t: Teller) -> Iterable[Para]:
    if e.free:
        yield say("{room} is full. There is space in {free}.", room=e.room, free=_names(e.free))
    else:
        yield say("{room} is full, and so are the others. Please ask a moderator.", room=e.room)


@_for(r.NotSeatedForChoice)
def _(e: r.NotSeatedForChoice, t: Teller) -> Iterable[Para]:
    yield say(
        "Moderators take no seat here; you can enter every room. With `{p} setup 4 choose everyone` you would.",
        p=t.prefix,
    )


@_for(r.RemovedByModerator)
def _(e: r.RemovedByModerator, t: Teller) -> Iterable[Para]:
    yield taken_out(e.room)


@_for(r.NoTimer)
def _(e: r.NoTimer, t: Teller) -> Iterable[Para]:
    yield say("There is no timer. Set one with `{p} timer 15m`.", p=t.prefix)


@_for(r.BadLength)
def _(e: r.BadLength, t: Teller) -> Iterable[Para]:
    p, most = t.prefix, length(e.limit)
    if e.command == "extend":
        example = f"timer {typed_length(e.limit)}"
        yield say(
            "The rooms close at most {limit} from now: `{p} {example}` sets that.", limit=most, p=p, example=example
        )
        return
    usual = timedelta(minutes=2 if e.command == "end" else 20)
    example = f"{e.command} {typed_length(min(usual, e.limit))}"
    yield say(
        "That is no length of time here; {limit} is the most, such as `{p} {example}`.",
        limit=most,
        p=p,
        example=example,
    )


@_for(r.EndJustGiven)
def _(e: r.EndJustGiven, t: Teller) -> Iterable[Para]:
    yield say(
        "{who} has just ended the rooms; they close after the notice. `{p} end now` ends at once.",
        who=t.name(e.by),
        p=t.prefix,
    )


@_for(r.NothingToCancel)
def _(e: r.NothingToCancel, t: Teller) -> Iterable[Para]:
    yield say("Nothing is closing, so there is nothing to cancel. `{p} status` shows the rooms.", p=t.prefix)


@_for(r.NothingToConfirm)
def _(e: r.NothingToConfirm, t: Teller) -> Iterable[Para]:
    if e.what is not None and e.waits is not None:
        yield say("`{p} {waits}` waits for a yes, not `{p} {what}`.", p=t.prefix, waits=e.waits, what=e.what)
        yield say("Say it with `{p} {waits} confirm`.", p=t.prefix, waits=e.waits)
    elif e.what is not None:
        yield say("Nothing waits for a yes now. Ask again with `{p} {command}`.", p=t.prefix, command=e.what)
    else:
        yield say("This question does not wait for a yes any more. `{p}` says what you can do now.", p=t.prefix)


@_for(r.NotYoursToConfirm)
def _(e: r.NotYoursToConfirm, t: Teller) -> Iterable[Para]:
    command = f"{e.what} confirm"
    yield say(
        "Only {who} can tap here. You can type `{p} {command}`.", who=t.name(e.asked_by), p=t.prefix, command=command
    )


@_for(r.HelpCooldown)
def _(e: r.HelpCooldown, t: Teller) -> Iterable[Para]:
    yield say("The moderators know already. You can ask again in {left}.", left=length(e.left))


@_for(r.NoHelpRequest)
def _(e: r.NoHelpRequest, t: Teller) -> Iterable[Para]:
    if e.room is None:
        yield say("Nobody is waiting for help.")
    elif e.withdrawing:
        yield say("{room} has not asked for help, so there is nothing to take back.", room=e.room)
    else:
        yield say("{room} is not waiting for help. `{p} queue` shows who is.", room=e.room, p=t.prefix)


@_for(r.AlreadyClaimed)
def _(e: r.AlreadyClaimed, t: Teller) -> Iterable[Para]:
    yield say(
        "{who} is on the way to {room}. `{p} queue` shows who else waits.", who=t.name(e.by), room=e.room, p=t.prefix
    )


@_for(r.TooLong)
def _(e: r.TooLong, t: Teller) -> Iterable[Para]:
    what = text("The task") if e.what == "task" else text("The text")
    yield say("{what} has {count} characters; {limit} are the most.", what=what, count=e.length, limit=e.limit)

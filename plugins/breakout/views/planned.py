"""The replies to what plans the session: its rooms, their names and tasks."""

from __future__ import annotations

from collections.abc import Sequence

from bot.message.doc import Doc, Inline, Para, Text, doc
from plugins.breakout.domain.changes.rooms import RemovedRoom, RenamedRoom, TaskChanged
from plugins.breakout.domain.changes.seats import nobody_to_seat
from plugins.breakout.domain.changes.setup import SetUp
from plugins.breakout.domain.model import Mode, Phase, Room
from plugins.breakout.scene import Scene
from plugins.breakout.views.doors import faster_door
from plugins.breakout.views.refusals import ask_who_is_here, how_to_seat
from plugins.breakout.views.words import (
    counted_people,
    how_long,
    in_a_row,
    listed,
    mode_name,
    numbered,
    people,
    say,
    say_n,
    setup_line,
)

BOTH = 2
"""Of two people nobody says "all 2"."""


def set_up(scene: Scene, told: SetUp, seconds: float, seconds_open: float) -> Doc:
    """What `setup` has planned, for whom, how long the start will take, and which door would be much faster.

    `seconds_open`: how long it would take with the door open.
    """
    session = scene.plan
    names = listed([Text(room.name) for room in session.open_rooms])
    head = say_n(
        "{count} breakout room is planned: {names} ({mode}).",
        "{count} breakout rooms are planned: {names} ({mode}).",
        len(session.open_rooms),
        names=names,
        mode=mode_name(session.mode),
    )
    return doc(
        head,
        _replaced(scene, told),
        _who(told),
        how_long(seconds),
        faster_door(scene, seconds, seconds_open),
        _after_setup(scene),
    )


def _who(told: SetUp) -> Para:
    """How many people there are, take part, seem to be here, and have a seat."""
    members, count = told.members, told.participants
    if not count:
        return say_n(
            "{count} person is in the main room, and nobody takes part.",
            "{count} people are in the main room, and nobody takes part.",
            members,
        )
    if count == members:
        first = say_n(
            "{count} person is in the main room, and takes part.",
            "{count} people are in the main room, and all take part.",
            members,
        )
    else:
        first = say_n(
            "{people} are in the main room, and {count} of them takes part.",
            "{people} are in the main room, and {count} of them take part.",
            count,
            people=counted_people(members),
        )
    return Para((*first.parts, *_after(_seem_here(told.here, count)), *_after(_seats(told))))


def _after(sentence: Para) -> tuple[Inline, ...]:
    return (Text(" "), *sentence.parts) if sentence.parts else ()


def _seem_here(here: int, count: int) -> Para:
    if count == 1:
        return say("They seem to be here.") if here else say("They do not seem to be here.")
    if not here:
        return say("None of them seems to be here.")
    if here == count == BOTH:
        return say("Both seem to be here.")
    if here == count:
        return say("All {count} seem to be here.", count=count)
    return say_n("{count} of {all} seems to be here.", "{count} of {all} seem to be here.", here, all=count)


def _seats(told: SetUp) -> Para:
    if not told.seated:
        return say("Nobody has a seat yet.")
    if told.seated == told.participants == BOTH:
        return say("Both have a seat.")
    if told.seated == told.participants:
        return say_n("They have a seat.", "All {count} have a seat.", told.seated)
    return say_n("{count} of {all} has a seat.", "{count} of {all} have a seat.", told.seated, all=told.participants)


def _replaced(scene: Scene, told: SetUp) -> tuple[Para, ...]:
    if told.replaced is None or not told.replaced.rooms:
        return ()
    names = listed([Text(room.name) for room in told.replaced.open_rooms])
    if told.replaced.is_prepared:
        return (
            say("It replaces the prepared {names}: those rooms are closed for good.", names=names),
            say("`{p} prepare` invites everybody by the new plan.", p=scene.prefix),
        )
    if told.replaced.phase is Phase.ENDED:
        return (
            say_n(
                "The former {names} is closed for good.",
                "The former {names} are closed for good.",
                len(told.replaced.open_rooms),
                names=names,
            ),
        )
    return (say("It replaces the plan of {names}.", names=names),)


def _after_setup(scene: Scene) -> Para:
    p, session = scene.prefix, scene.plan
    empty = [room for room in session.open_rooms if not session.people_of(room.number)]
    match session.mode:
        case Mode.AUTO if not session.seats:
            return _who_will_be_seated(scene)
        case Mode.AUTO if empty:
            return say(
                "There are more rooms than people, so it cannot start. Try `{p} {setup}`.",
                p=p,
                setup=setup_line(len(session.seats), session.asked_with),
            )
        case Mode.AUTO if len(session.open_rooms) == 1:
            return say("Next: `{p} start 20m`.", p=p)
        case Mode.AUTO:
            return say("Next: `{p} start 20m`, or first `{p} assign @ann to 2`.", p=p)
        case Mode.MANUAL:
            return say("Next: `{p} assign @ann @bob to 1`, then `{p} start 20m`.", p=p)
        case Mode.CHOOSE:
            return say("People choose with the numbers on the board. Next: `{p} start 20m`.", p=p)


def _who_will_be_seated(scene: Scene) -> Para:
    """Where nobody has a seat yet: who gets one, and what brings it about."""
    p, nobody = scene.prefix, nobody_to_seat(scene.plan, scene.hall.people)
    if not nobody.here_only:
        comes, mend = say("Whoever joins this room before the start gets a seat."), how_to_seat(nobody, p)
    else:
        comes = say("Whoever is here at the start gets a seat.")
        mend = ask_who_is_here(nobody, p) if nobody.willing else how_to_seat(nobody, p)
    return Para((*comes.parts, *_after(mend)))


def rooms_added(scene: Scene, rooms: Sequence[Room]) -> Doc:
    """The rooms that are new, with their numbers."""
    del scene
    if len(rooms) == 1:
        return doc(say("{room} is added as number {number}.", room=rooms[0].name, number=rooms[0].number))
    return doc(say("Added: {rooms}.", rooms=numbered(rooms)))


def room_removed(scene: Scene, told: RemovedRoom) -> Doc:
    """The room that is gone, and its people."""
    head = say("{room} is removed.", room=told.room.name)
    left = scene.plan.open_rooms
    keep = [] if in_a_row(room.number for room in left) else [_keep_numbers(left)]
    if not told.users:
        return doc(head, keep)
    next_ = say("`{p} fill` seats them elsewhere.", p=scene.prefix)
    return doc(head, say("Without a seat now: {people}.", people=people(scene, told.users)), next_, keep)


def _keep_numbers(rooms: Sequence[Room]) -> Para:
    return say_n(
        "The other one keeps its number: {rooms}.",
        "The others keep their numbers: {rooms}.",
        len(rooms),
        rooms=numbered(rooms),
    )


def room_renamed(scene: Scene, told: RenamedRoom) -> Doc:
    """The new name."""
    del scene
    return doc(say("{former} is now {name}.", former=told.former, name=told.room.name))


def task_changed(scene: Scene, told: TaskChanged) -> Doc:
    """The rooms with their task."""
    del scene
    names = listed([Text(room.name) for room in told.rooms])
    if not told.rooms[0].task:
        return doc(say("The task of {rooms} is taken away.", rooms=names))
    return doc(say("The task of {rooms}: {task}", rooms=names, task=told.rooms[0].task))

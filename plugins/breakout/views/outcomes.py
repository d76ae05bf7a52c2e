"""The replies: what came of each command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from bot.message.doc import Bullets, Doc, Inline, Para, Text, doc
from plugins.breakout.domain.change import ConfirmAsked
from plugins.breakout.domain.changes.ending import Ending, SessionDeleted
from plugins.breakout.domain.changes.help import HelpTold
from plugins.breakout.domain.changes.rooms import RemovedRoom, RenamedRoom, TaskChanged
from plugins.breakout.domain.changes.seats import Assigned, Dealt, Rejoin, Rejoined, Unassigned
from plugins.breakout.domain.changes.setup import SetUp
from plugins.breakout.domain.changes.starting import Started
from plugins.breakout.domain.changes.timing import TimerSet
from plugins.breakout.domain.model import Confirm, Mode, Phase, Room
from plugins.breakout.scene import Scene
from plugins.breakout.views.words import (
    counted_people,
    counted_rooms,
    in_a_row,
    length,
    listed,
    mode_name,
    numbered,
    people,
    say,
    say_n,
    text,
    text_n,
)

A_WHILE = 2.0
"""Seconds from which on it is worth saying how long something takes."""


def set_up(scene: Scene, told: SetUp, seconds: float) -> Doc:
    """What `setup` has planned, for whom, and how long the start will take."""
    session = scene.plan
    names = listed([Text(room.name) for room in session.open_rooms])
    head = say_n(
        "{count} breakout room is planned: {names} ({mode}).",
        "{count} breakout rooms are planned: {names} ({mode}).",
        len(session.open_rooms),
        names=names,
        mode=mode_name(session.mode),
    )
    return doc(head, _replaced(told), _who(told), _how_long(seconds), _after_setup(scene))


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
    return Para((*first.parts, Text(" "), *_seem_here(told.here, count).parts, Text(" "), *_seats(told).parts))


def _seem_here(here: int, count: int) -> Para:
    if count == 1:
        return say("They seem to be here.") if here else say("They do not seem to be here.")
    if not here:
        return say("None of them seems to be here.")
    if here == count:
        return say("All {count} seem to be here.", count=count)
    return say_n("{count} of {all} seems to be here.", "{count} of {all} seem to be here.", here, all=count)


def _seats(told: SetUp) -> Para:
    if not told.seated:
        return say("Nobody has a seat yet.")
    if told.seated == told.participants:
        return say_n("They have a seat.", "All {count} have a seat.", told.seated)
    return say_n("{count} of {all} has a seat.", "{count} of {all} have a seat.", told.seated, all=told.participants)


def _replaced(told: SetUp) -> tuple[Para, ...]:
    if told.replaced is None or not told.replaced.rooms:
        return ()
    names = listed([Text(room.name) for room in told.replaced.open_rooms])
    return (say("It replaces the plan of {names}.", names=names),)


def _how_long(seconds: float) -> tuple[Para, ...]:
    """How long a start takes, where that is worth a word."""
    if seconds < A_WHILE:
        return ()
    return (say("The start takes about {time} on this server.", time=length(timedelta(seconds=seconds))),)


def _after_setup(scene: Scene) -> Para:
    p, session = scene.prefix, scene.plan
    empty = [room for room in session.open_rooms if not session.people_of(room.number)]
    match session.mode:
        case Mode.AUTO if not session.seats:
            return say("Nobody has a seat yet, so it cannot start. `{p} fill` seats those who come.", p=p)
        case Mode.AUTO if empty:
            return say(
                "There are more rooms than people, so it cannot start. Try `{p} setup {count}`.",
                p=p,
                count=len(session.seats),
            )
        case Mode.AUTO:
            return say("Next: `{p} start 20m`, or first `{p} assign @ann to 2`.", p=p)
        case Mode.MANUAL:
            return say("Next: `{p} assign @ann @bob to 1`, then `{p} start 20m`.", p=p)
        case Mode.CHOOSE:
            return say("People choose with the numbers on the board. Next: `{p} start 20m`.", p=p)


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


def assigned(scene: Scene, told: Assigned) -> Doc:
    """Who sits where now."""
    lines = [
        *(say("{room}: {who}.", who=who, room=room) for room, who in _by_room(scene, told.seated)),
        *(
            say("{who} moves from {old} to {new}.", who=scene.name(user), old=scene.room(old), new=scene.room(new))
            for user, old, new in told.moved
        ),
        *(
            say("{who} is invited to {room} again.", who=who, room=room)
            for room, who in _by_room(scene, told.invited_again)
        ),
        *(say("{who} sits in {room} already.", who=who, room=room) for room, who in _by_room(scene, told.unchanged)),
    ]
    if told.passed:
        passed = people(scene, told.passed)
        lines.append(say("Not invited, since they passed this round: {who}.", who=passed))
    return doc(lines)


def _by_room(scene: Scene, pairs: Iterable[tuple[str, int]]) -> list[tuple[Inline, tuple[Inline, ...]]]:
    rooms: dict[int, list[str]] = {}
    for user, number in pairs:
        rooms.setdefault(number, []).append(user)
    return [(scene.room(number), people(scene, users)) for number, users in rooms.items()]


def unassigned(scene: Scene, told: Unassigned) -> Doc:
    """Who has lost the seat."""
    lines = [
        say("{who} has no seat in {room} any more.", who=scene.name(user), room=scene.room(number))
        for user, number in told.users
    ]
    return doc(lines)


def dealt(scene: Scene, told: Dealt) -> Doc:
    """What `shuffle` or `fill` did."""
    seated = say_n("{count} person has a seat now.", "{count} people have a seat now.", told.seated)
    moved = say_n("{count} person has another room now.", "{count} people have another room now.", told.moved)
    head = [para for para, count in ((seated, told.seated), (moved, told.moved)) if count]
    if not head:
        head = [say("Everybody stays where they are.")]
    left = [say("Still without a seat: {people}.", people=people(scene, told.unseated))] if told.unseated else []
    return doc(head, left, _crowded(scene, told))


def _crowded(scene: Scene, told: Dealt) -> tuple[Para, ...]:
    """Rooms with more people than seats: a moderator may want that, and should know."""
    if not told.crowded:
        return ()
    rooms = listed([Text(f"{scene.room_name(number)} ({count})") for number, count in told.crowded])
    seats = text_n("{count} seat", "{count} seats", told.seats)
    if len(told.crowded) == 1:
        return (say("{rooms} has more people than the {seats} that a room has here.", rooms=rooms, seats=seats),)
    return (say("{rooms} have more people than the {seats} that a room has here.", rooms=rooms, seats=seats),)


def decided(scene: Scene, told: Started | ConfirmAsked | SessionDeleted, seconds: float) -> Doc:
    """A start, a deletion, or the question before it; `seconds` that a start takes."""
    match told:
        case Started():
            return started(scene, told, seconds)
        case ConfirmAsked():
            return confirm_asked(scene, told, seconds)
        case SessionDeleted(was_running=was_running) if was_running or _is_made(scene):
            return doc(say("The breakout rooms and the desk are being deleted. This room stays as it is."))
        case SessionDeleted():
            return doc(say("The plan is gone, and the desk is being deleted. This room stays as it is."))


def started(scene: Scene, told: Started, seconds: float) -> Doc:
    """What the start does, and how long it takes."""
    session = scene.plan
    rooms = counted_rooms(len(session.open_rooms))
    if session.mode is Mode.CHOOSE:
        head = say("The breakout rooms are opening: {rooms}, and people choose theirs.", rooms=rooms)
    else:
        head = say(
            "The breakout rooms are opening: {rooms} for {people}.", rooms=rooms, people=counted_people(told.seated)
        )
    lines = [*_how_long(seconds)]
    if session.limit is not None:
        lines.append(say("They close {time} after the invites are out.", time=length(session.limit)))
    if told.rooms_before != len(session.open_rooms):
        lines.append(say("Counted again: {before} before.", before=counted_rooms(told.rooms_before)))
    lines += [say("New: {who} in {room}.", who=who, room=room) for room, who in _by_room(scene, told.newcomers)]
    lines += [
        say("Moved to even the groups: {who}, now in {room}.", who=who, room=room)
        for room, who in _by_room(scene, [(user, new) for user, _, new in told.moved])
    ]
    if told.gone:
        lines.append(
            say_n(
                "{count} person has gone and lost the seat.",
                "{count} people have gone and lost their seats.",
                len(told.gone),
            )
        )
    if told.unseated and session.mode is not Mode.CHOOSE:
        lines.append(
            say("Without a seat: {people}. `{p} fill` seats them.", people=people(scene, told.unseated), p=scene.prefix)
        )
    return doc(head, lines)


def confirm_asked(scene: Scene, told: ConfirmAsked, seconds: float) -> Doc:
    """The question, and both ways to say yes."""
    p = scene.prefix
    if told.pending.what is Confirm.START:
        question = say(
            "Start now? {people} will be invited into {rooms}.",
            people=counted_people(told.people),
            rooms=counted_rooms(told.rooms),
        )
        how = say("Tap ✅, or type `{p} start confirm`.", p=p)
        return Doc((question, *_how_long(seconds), how), keycaps=("✅",))
    question = _delete_question(scene, counted_rooms(told.rooms))
    how = say("Tap ✅ within {time}, or type `{p} delete confirm`.", p=p, time=length(scene.settings.confirm_within))
    return Doc((question, how), keycaps=("✅",))


def _is_made(scene: Scene) -> bool:
    """Whether any breakout room exists yet."""
    return any(room.room_id is not None for room in scene.plan.rooms)


def _delete_question(scene: Scene, rooms: str) -> Para:
    if not _is_made(scene) and scene.plan.phase is Phase.SET_UP:
        return say(
            "Delete the plan of {rooms} and the desk? No room is made yet; this room is not touched.", rooms=rooms
        )
    if scene.plan.phase in (Phase.RUNNING, Phase.CLOSING):
        return say(
            "Delete {rooms} and the desk? What was written there becomes unreachable; this room is not touched. "
            "The rooms are open: they end at once.",
            rooms=rooms,
        )
    return say(
        "Delete {rooms} and the desk? What was written there becomes unreachable; this room is not touched.",
        rooms=rooms,
    )


def timer_set(scene: Scene, told: TimerSet) -> Doc:
    """When the rooms close now."""
    if told.ends_at is not None:
        left = length(told.ends_at - scene.now)
        said = say("The rooms close at {end}, in {left}.", end=scene.clock(told.ends_at), left=left)
    elif told.limit is not None:
        said = say("The rooms close {time} after the invites are out.", time=length(told.limit))
    else:
        said = say("The rooms stay open until you end them.")
    return doc([say("The end is taken back.")] if told.reopened else [], said)


def ending(scene: Scene, told: Ending, seconds: float) -> Doc:
    """When everybody is brought back; `seconds` that it takes from the end until the last one is out."""
    if told.ends_at is None:
        head = say("The rooms are closing now, and everybody is brought back.")
        if seconds < A_WHILE:
            return doc(head)
        return doc(head, say("That takes about {time} on this server.", time=length(timedelta(seconds=seconds))))
    left = length(told.ends_at - scene.now)
    return doc(
        say("The rooms close at {end}, in {left}; every room is told.", end=scene.clock(told.ends_at), left=left),
        say("`{p} end now` ends at once, `{p} end cancel` takes it back.", p=scene.prefix),
    )


def rejoined(scene: Scene, told: Rejoined) -> Doc:
    """What `rejoin` comes to, where it needs words."""
    room: Inline = scene.room(told.room.number) if told.room else Text("")
    match told.how:
        case Rejoin.INVITED_AGAIN | Rejoin.SEATED if scene.brings_in:
            return doc(say("You are taken to {room}.", room=room))
        case Rejoin.INVITED_AGAIN | Rejoin.SEATED:
            return doc(say("Your invitation to {room} is on its way.", room=room))
        case Rejoin.STILL_INVITED:
            return doc(say("Your invitation to {room} is waiting: open it and accept.", room=room))
        case Rejoin.ALREADY_IN:
            return doc(say("You are in {room}: open it from your room list.", room=room))
        case Rejoin.ASKED_MODERATORS:
            return doc(say("You have no seat yet. The moderators are asked to give you one."))
        case Rejoin.CHOOSE:
            return doc(say("Choose your room: `{p} choose 2`.", p=scene.prefix))
        case Rejoin.NEXT_ROUND:
            return doc(say("Nothing is running now. You take part from the next start on."))


def claimed(scene: Scene, told: HelpTold, *, invited: bool) -> Doc:
    """The link, and what the room asked."""
    head = say("{room} knows that you are coming.", room=scene.room(told.room.number))
    who = scene.name(told.help.user)
    asked = [say("{who} asked: {text}", who=who, text=told.help.text)] if told.help.text else []
    if told.help.in_main:
        asked.append(say("{who} asked in {main}, and may be there.", who=who, main=scene.main_link()))
    return doc(head, asked, _way_in(scene, invited=invited))


def visit(scene: Scene, room: Room, *, invited: bool) -> Doc:
    """The link."""
    return doc(say("Open {room}.", room=scene.room(room.number)), _way_in(scene, invited=invited))


def _way_in(scene: Scene, *, invited: bool) -> tuple[Para, ...]:
    """For somebody who is not at the desk, whose members walk in by the link."""
    if not invited:
        return ()
    desk = scene.desk_link(text("the desk"))
    return (say("An invitation is on its way; without one you enter every room while you are at {desk}.", desk=desk),)


def help_asked(scene: Scene, told: HelpTold) -> Doc:
    """What an asker is told."""
    if told.help.claimed_by:
        head = say("{who} is on the way.", who=scene.name(told.help.claimed_by))
    else:
        head = say("The moderators are told, and one of them will come.")
    if told.help.in_main:
        where = say("They look for you here and in {room}.", room=scene.room(told.room.number))
        return doc(head, where, say("`{s}help cancel` takes it back.", s=scene.sign))
    return doc(head, say("`{s}help cancel` takes it back, `{s}commands` lists what you can type.", s=scene.sign))


def help_asked_without_seat(scene: Scene) -> Doc:
    """What an asker without a room is told."""
    del scene
    return doc(say("The moderators are told, and one of them will answer you here."))


def nobody_to_call(scene: Scene) -> Doc:
    """To somebody who calls for help while no breakout room is open: the moderators read this room."""
    moderators = sorted(scene.hall.moderators)
    if moderators:
        ask = say("Please ask a moderator here: {people}.", people=people(scene, moderators))
    else:
        ask = say("Please ask here.")
    return doc(
        say("No breakout rooms are open, so I call nobody."),
        ask,
        say("`{p} help` lists what I can do.", p=scene.prefix),
    )


def help_withdrawn(scene: Scene, told: HelpTold) -> Doc:
    """The request is taken back."""
    del scene, told
    return doc(say("Your request is taken back."))


def back(scene: Scene) -> Doc:
    """The link to the main room."""
    return doc(say("This way back: {main}. Your seat here stays yours.", main=scene.main_link()))


def receipt(
    scene: Scene,
    reached: Sequence[int],
    failed: Sequence[tuple[int, str]],
    absent: Sequence[tuple[str, int]],
    unlike: Sequence[int],
    *,
    encrypted: bool,
) -> Doc:
    """Which rooms have a text, and who is seated there but not in.

    `unlike` are the rooms that are encrypted where the room in which it was asked is not, or the reverse.
    """
    if not reached and not failed:
        return doc(say("No room is open yet, so nobody was told."))
    names = listed([Text(scene.room_name(number)) for number in reached])
    head = say_n("Said in {rooms}.", "Said in {count} rooms: {rooms}.", len(reached), rooms=names) if reached else ()
    problems = [say("Not said in {room}: {why}.", room=scene.room(number), why=why) for number, why in failed]
    away = people(scene, [user for user, _ in absent])
    missing = [say("Seated but not there: {people}.", people=away)] if absent else []
    remark = [_other_encryption(scene, unlike, encrypted=encrypted)] if unlike else []
    return doc(head or (), [Bullets(tuple(problems))] if problems else [], missing, remark)


def _other_encryption(scene: Scene, numbers: Sequence[int], *, encrypted: bool) -> Para:
    names, count = listed([Text(scene.room_name(number)) for number in numbers]), len(numbers)
    if encrypted:
        return say_n(
            "{rooms} is not encrypted, though this room is.",
            "{rooms} are not encrypted, though this room is.",
            count,
            rooms=names,
        )
    return say_n(
        "{rooms} is encrypted, though this room is not.",
        "{rooms} are encrypted, though this room is not.",
        count,
        rooms=names,
    )


def kept_back(scene: Scene, numbers: Sequence[int]) -> Doc:
    """An encrypted attachment does not go to rooms without encryption."""
    return doc(
        say_n(
            "That file is encrypted and {rooms} is not, so I did not send it there. Please upload it there yourself.",
            "That file is encrypted and {rooms} are not, so I did not send it there. Please upload it there yourself.",
            len(numbers),
            rooms=listed([Text(scene.room_name(number)) for number in numbers]),
        )
    )


def nothing_to_relay(scene: Scene) -> Doc:
    """The message to relay cannot be had."""
    return doc(say("I cannot read that message. Type it instead: `{p} broadcast Ten more minutes`.", p=scene.prefix))


def greeting(prefix: str) -> Doc:
    """Two sentences for a room that the bot has come into."""
    return doc(
        say("I split this room into breakout rooms and bring everybody back."),
        say("A moderator begins with `{p} setup 4`.", p=prefix),
    )


def invite_me(scene: Scene) -> Doc:
    """To the moderators: the main room was upgraded, and the bot may not go into the new one."""
    return doc(
        say("{main} was replaced by a new room, which I may not enter.", main=scene.main_name),
        say("Please invite me there: the breakout rooms come along. Until then, commands work here."),
    )


def moved(scene: Scene) -> Doc:
    """In the room that replaced the main room: its breakout rooms have come along."""
    return doc(
        say("The breakout rooms have come along to this room; they stay as they are."),
        say("Commands work here now, such as `{p} status`.", p=scene.prefix),
    )


def progress(scene: Scene, done: int, of: int, seconds: float) -> Doc:
    """How far the invites are."""
    del scene
    if done >= of:
        return doc(say_n("{count} person is invited.", "All {count} people are invited.", of))
    left = length(timedelta(seconds=max(1.0, seconds)))
    return doc(say("Inviting {done} of {all}, about {left} left.", done=done, all=of, left=left))


def who_is_here(scene: Scene) -> Doc:
    """The check-in."""
    return Doc(
        (say("Who is here? Tap ✋, so that {main} can be split into groups.", main=scene.main_name),),
        loud=True,
        keycaps=("✋",),
    )

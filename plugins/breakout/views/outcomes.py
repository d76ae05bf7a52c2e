"""The replies to all commands but those that plan the rooms: what came of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from bot.message.doc import Bullets, Doc, Inline, Para, Text, doc
from plugins.breakout.domain.change import ConfirmAsked
from plugins.breakout.domain.changes.ending import Ending, SessionDeleted
from plugins.breakout.domain.changes.gathering import Gathered
from plugins.breakout.domain.changes.help import HelpTold
from plugins.breakout.domain.changes.preparing import Prepared
from plugins.breakout.domain.changes.seats import Assigned, Dealt, Rejoin, Rejoined, Unassigned
from plugins.breakout.domain.changes.starting import Started
from plugins.breakout.domain.changes.timing import TimerSet
from plugins.breakout.domain.model import Confirm, Door, Mode, Phase, Room
from plugins.breakout.scene import Scene
from plugins.breakout.views.doors import faster_door
from plugins.breakout.views.words import (
    A_WHILE,
    counted_people,
    counted_rooms,
    from_now,
    how_long,
    length,
    listed,
    people,
    say,
    say_n,
    text,
    text_n,
)

LONG_WORDS = 60
"""Of what somebody typed, so much is said back."""


def assigned(scene: Scene, told: Assigned) -> Doc:
    """Who sits where now."""
    lines = [
        *(say("{room}: {who}.", who=who, room=room) for room, who, _ in _by_room(scene, told.seated)),
        *(
            say("{who} moves from {old} to {new}.", who=scene.name(user), old=scene.room(old), new=scene.room(new))
            for user, old, new in told.moved
        ),
        *(
            say_n("{who} is invited to {room} again.", "{who} are invited to {room} again.", count, who=who, room=room)
            for room, who, count in _by_room(scene, told.invited_again)
        ),
        *(
            say_n("{who} sits in {room} already.", "{who} sit in {room} already.", count, who=who, room=room)
            for room, who, count in _by_room(scene, told.unchanged)
        ),
    ]
    if told.passed:
        passed = people(scene, told.passed)
        said = say(
            "Not invited, since they passed this round: {who}. `{p} rejoin`, typed by themselves, brings them back.",
            who=passed,
            p=scene.prefix,
        )
        lines.append(said)
    return doc(lines)


def _by_room(scene: Scene, pairs: Iterable[tuple[str, int]]) -> list[tuple[Inline, tuple[Inline, ...], int]]:
    """Each room, who of them it is about, and how many."""
    rooms: dict[int, list[str]] = {}
    for user, number in pairs:
        rooms.setdefault(number, []).append(user)
    return [(scene.room(number), people(scene, users), len(users)) for number, users in rooms.items()]


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
    names = people(scene, told.unseated)
    left = say("Still without a seat: {people}. `{p} fill` seats them too.", people=names, p=scene.prefix)
    return doc(head, [left] if told.unseated else [], _crowded(scene, told))


def _crowded(scene: Scene, told: Dealt) -> tuple[Para, ...]:
    """Rooms with more people than seats: a moderator may want that, and should know."""
    if not told.crowded:
        return ()
    rooms = listed([Text(f"{scene.room_name(number)} ({count})") for number, count in told.crowded])
    seats = text_n("{count} seat", "{count} seats", told.seats)
    if len(told.crowded) == 1:
        return (say("{rooms} has more people than the {seats} that a room has here.", rooms=rooms, seats=seats),)
    return (say("{rooms} have more people than the {seats} that a room has here.", rooms=rooms, seats=seats),)


def decided(
    scene: Scene, told: Started | Prepared | ConfirmAsked | SessionDeleted, seconds: float, seconds_open: float
) -> Doc:
    """A start, a preparation, a deletion, or the question before it; `seconds` that the first two take.

    `seconds_open`: how long a start would take with the door open.
    """
    match told:
        case Prepared():
            return prepared(scene, told, seconds)
        case Started():
            return started(scene, told, seconds)
        case ConfirmAsked():
            return confirm_asked(scene, told, seconds, seconds_open)
        case SessionDeleted(was_running=was_running) if was_running or _is_made(scene):
            return doc(say("The breakout rooms and the desk are being deleted. This room stays as it is."))
        case SessionDeleted():
            return doc(say("The plan is gone, and the desk is being deleted. This room stays as it is."))


def prepared(scene: Scene, told: Prepared, seconds: float) -> Doc:
    """What is made and who is invited ahead of the start."""
    session = scene.plan
    rooms = counted_rooms(len(session.open_rooms))
    if told.again:
        return doc(
            say(
                "The breakout rooms are prepared already: {rooms} for {people}. `{p} start` opens them.",
                rooms=rooms,
                people=counted_people(told.seated),
                p=scene.prefix,
            )
        )
    head = say(
        "The breakout rooms are being prepared: {rooms} for {people}.", rooms=rooms, people=counted_people(told.seated)
    )
    if session.door is Door.OPEN:
        waits = say("Nobody is told of them before `{p} start`, which says who goes where.", p=scene.prefix)
        return doc(head, waits, _inviting(seconds), _gathered(scene, told))
    waits = say("People are invited now, and can only read there until `{p} start`.", p=scene.prefix)
    empty = [] if session.seats else [say("Nobody has a seat yet; whoever gets one is invited.")]
    return doc(head, waits, _inviting(seconds), _gathered(scene, told), empty)


def _inviting(seconds: float) -> tuple[Para, ...]:
    if seconds < A_WHILE:
        return ()
    return (say("That takes about {time} on this server.", time=length(timedelta(seconds=seconds))),)


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
    lines = [*how_long(seconds)]
    if session.limit is not None:
        lines.append(say("They close {time} after the invites are out.", time=length(session.limit)))
    return doc(head, lines, _gathered(scene, told))


def _gathered(scene: Scene, told: Gathered) -> list[Para]:
    """What became of the seats, where it was not so planned."""
    session = scene.plan
    lines: list[Para] = []
    if told.rooms_before != len(session.open_rooms):
        lines.append(say("Counted again: {before} before.", before=counted_rooms(told.rooms_before)))
    lines += [say("New: {who} in {room}.", who=who, room=room) for room, who, _ in _by_room(scene, told.newcomers)]
    lines += [
        say("Moved to even the groups: {who}, now in {room}.", who=who, room=room)
        for room, who, _ in _by_room(scene, [(user, new) for user, _, new in told.moved])
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
    return lines


def confirm_asked(scene: Scene, told: ConfirmAsked, seconds: float, seconds_open: float) -> Doc:
    """The question, and both ways to say yes; before a long start also which door is faster."""
    p = scene.prefix
    if told.pending.what is Confirm.START:
        limit = told.pending.limit
        values = {
            "people": counted_people(told.people),
            "rooms": counted_rooms(told.rooms),
            "long": text("without a time limit") if limit is None else text("for {time}", time=length(limit)),
        }
        if scene.plan.is_prepared or scene.plan.door is Door.OPEN:
            question = say("Start now? {rooms} will open for {people}, {long}.", **values)
        else:
            question = say("Start now? {people} will be invited into {rooms}, {long}.", **values)
        former = [say("The question before this one does not wait for a yes any more.")] if told.again else []
        how = say("Tap ✅, or type `{p} start confirm`.", p=p)
        # Another `setup` closes the rooms of a round that has ended.
        open_too = seconds_open if scene.plan.phase is Phase.SET_UP else seconds
        faster = () if scene.plan.is_prepared else faster_door(scene, seconds, open_too)
        return Doc((question, *former, *how_long(seconds), *faster, how), keycaps=("✅",))
    if told.pending.what is Confirm.PREPARE:
        question = say(
            "Prepare now? {people} will be invited into {rooms}, which open at the start.",
            people=counted_people(told.people),
            rooms=counted_rooms(told.rooms),
        )
        how = say("Tap ✅, or type `{p} prepare confirm`.", p=p)
        return Doc((question, *_inviting(seconds), how), keycaps=("✅",))
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
        left = from_now(told.ends_at - scene.now)
        said = say("The rooms close at {end}, in {left}.", end=scene.clock(told.ends_at), left=left)
    elif told.limit is not None:
        said = say("The rooms close {time} after the invites are out.", time=length(told.limit))
    else:
        said = say("The rooms stay open until you end them.")
    return doc([say("The end is taken back.")] if told.reopened else [], said)


def ending(scene: Scene, told: Ending, seconds: float) -> Doc:
    """When everybody is brought back; `seconds` that it takes from the end until the last one is out."""
    if told.ends_at is None:
        if scene.plan.kept:
            head = say("The rooms are closing now; people can still read there.")
        else:
            head = say("The rooms are closing now, and everybody is brought back.")
        if seconds < A_WHILE:
            return doc(head)
        return doc(head, say("That takes about {time} on this server.", time=length(timedelta(seconds=seconds))))
    left = from_now(told.ends_at - scene.now)
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
    back = say("`{s}help cancel`, or taking your 🙋 back, withdraws it.", s=scene.sign)
    return doc(head, back, say("`{s}commands` lists what you can type.", s=scene.sign))


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


def help_meant(prefix: str, typed: str, nearest: str) -> Doc:
    """To somebody who asks about a command that there is not: the one that was perhaps meant."""
    return doc(
        say(
            "There is no command “{typed}”. Did you mean `{p} help {nearest}`?", typed=typed, p=prefix, nearest=nearest
        ),
        say("`{p} help` lists those that there are.", p=prefix),
    )


def help_unknown(typed: str, overview: Doc) -> Doc:
    """The same, where none comes near: all that there are."""
    if len(typed) > LONG_WORDS:
        typed = typed[:LONG_WORDS] + "…"
    return doc(say("There is no command “{typed}”. There are:", typed=typed), overview.blocks)


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

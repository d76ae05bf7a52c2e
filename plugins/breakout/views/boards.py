"""Who is where: the boards, and single answers about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bot.message.doc import Bullets, Doc, Inline, Name, Para, Text, doc
from bot.plugin import Role
from plugins.breakout.domain.changes import people as rules
from plugins.breakout.domain.changes.help import HelpTold
from plugins.breakout.domain.model import Door, Mode, Phase, Presence, Room, Seat
from plugins.breakout.domain.moments import rough_left
from plugins.breakout.keys import Control
from plugins.breakout.scene import Scene
from plugins.breakout.views.words import (
    MOST_NAMES,
    counted_people,
    from_now,
    length,
    listed,
    people,
    say,
    say_n,
    taken_out,
    text,
)

EXACT = timedelta(seconds=5)
"""A time left that is told as it is: a board is edited at most that often."""

KEYCAPS = ("1️⃣", "2️⃣", "3️⃣", "4️⃣", "5️⃣", "6️⃣", "7️⃣", "8️⃣", "9️⃣", "🔟")


def board(scene: Scene) -> Doc:
    """The main room's board: a line a room, the time, who has no seat."""
    session = scene.plan
    lines = Bullets(tuple(_room_line(scene, room) for room in session.open_rooms))
    keycaps: tuple[str, ...] = ()
    if session.mode is Mode.CHOOSE and (session.is_ahead or session.phase is Phase.RUNNING):
        keycaps = tuple(KEYCAPS[room.number - 1] for room in session.open_rooms) if _fits_keycaps(scene) else ()
    said = doc(_head(scene), lines, _foot(scene))
    return Doc(said.blocks, keycaps=keycaps)


def _fits_keycaps(scene: Scene) -> bool:
    """Reactions name rooms by their numbers, which go to ten."""
    return all(room.number <= len(KEYCAPS) for room in scene.plan.open_rooms)


def desk_board(scene: Scene, base: Doc | None = None) -> Doc:
    """The desk's board: the main room's, which is `base`, with help requests and controls."""
    session, base = scene.plan, base or board(scene)
    requests = [_request_line(scene, room) for room in session.open_rooms if room.help]
    problems = [_problem_line(scene, seat) for seat in session.seats.values() if seat.presence is Presence.UNREACHABLE]
    controls: tuple[str, ...] = ()
    controls_said: list[Para] = []
    if session.phase in (Phase.SET_UP, Phase.ENDED):
        controls = ("▶️",)
        controls_said = [say("Tap ▶️ to start.")]
    elif session.phase is Phase.RUNNING and session.ends_at:
        controls = ("➕", "⏹️")
        controls_said = [say("Tap ➕ for 5 more minutes, ⏹️ to end.")]
    elif session.phase is Phase.RUNNING:
        controls = ("⏹️",)
        controls_said = [say("Tap ⏹️ to end.")]
    extra = [Bullets((*requests, *problems))] if requests or problems else []
    return Doc((*base.blocks, *extra, *controls_said), keycaps=controls)


def _head(scene: Scene) -> Para:
    session = scene.plan
    match session.phase:
        case Phase.SET_UP | Phase.ENDED if session.is_prepared and not session.walks_in:
            return say("**Breakout rooms are prepared.** Open the invitation to yours; it opens at the start.")
        case Phase.SET_UP | Phase.ENDED if session.is_ahead and session.mode is Mode.CHOOSE:
            return say(
                "**Breakout rooms are planned.** Choose yours with its number, or `{p} choose 2`.", p=scene.prefix
            )
        case Phase.SET_UP | Phase.ENDED if session.is_ahead and session.door is Door.OPEN:
            return say("**Breakout rooms are planned.** Their links are told at the start.")
        case Phase.SET_UP:
            return say("**Breakout rooms are planned.** Nobody is invited yet.")
        case Phase.RUNNING if session.ends_at:
            return say(
                "**Breakout rooms are open** until {end} ({left}).",
                end=scene.clock(session.ends_at),
                left=_rough(session.ends_at - scene.now),
            )
        case Phase.RUNNING:
            return say("**Breakout rooms are open.**")
        case Phase.CLOSING if session.ends_at:
            return say("**Breakout rooms close** at {end}.", end=scene.clock(session.ends_at))
        case Phase.ENDED:
            return say("**Breakout rooms are closed.** Who sits where:")
        case _:
            return say("**There are no breakout rooms.**")


def _rough(left: timedelta) -> str:
    rough = rough_left(left)
    if rough - left < EXACT:
        return text("{left} left", left=length(rough))
    return text("about {left} left", left=length(rough))


def _room_line(scene: Scene, room: Room) -> Para:
    session = scene.plan
    seats = session.people_of(room.number)
    running = session.lets_in
    head: tuple[Inline, ...] = (*say("{number}. **{room}**", number=room.number, room=room.name).parts, Text(": "))
    if len(session.seats) > MOST_NAMES:
        body: tuple[Inline, ...] = (Text(counted_people(len(seats))),)
    elif seats:
        body = listed([part for seat in seats for part in _seat(scene, seat, running=running)])
    else:
        body = (say("nobody yet") if session.is_ahead or session.is_open else say("nobody")).parts
    tail: tuple[Inline, ...] = ()
    if running and seats:
        tail = _here(seats)
    elif session.mode is Mode.CHOOSE and session.is_ahead:
        most = rules.capacity(session, scene.hall.people)
        tail = say(" · {taken} of {all} seats taken", taken=len(seats), all=most).parts
    return Para((*head, *body, *tail))


def _here(seats: Sequence[Seat]) -> tuple[Inline, ...]:
    presences = [seat.presence for seat in seats]
    here, away = presences.count(Presence.JOINED), presences.count(Presence.IN_MAIN)
    if away:  # they have gone over for a while, and are still members of the room
        return say(" · {here} of {all} here, {away} in the main room", here=here, all=len(seats), away=away).parts
    return say(" · {here} of {all} here", here=here, all=len(seats)).parts


def _seat(scene: Scene, seat: Seat, *, running: bool) -> tuple[Inline, ...]:
    name = scene.name(seat.user)
    remark = _remark(seat.presence) if running else ""
    if seat.user in scene.plan.passed:
        remark = text("sits out")
    return (Name(f"{name.text} ({remark})"),) if remark else (name,)


def _remark(presence: Presence) -> str:
    match presence:
        case Presence.ASSIGNED | Presence.INVITED:
            return text("not yet there")
        case Presence.IN_MAIN:
            return text("in the main room")
        case Presence.DECLINED:
            return text("declined")
        case Presence.LEFT:
            return text("left")
        case Presence.REMOVED:
            return text("removed")
        case Presence.UNREACHABLE:
            return text("could not be invited")
        case Presence.JOINED:
            return ""


def _foot(scene: Scene) -> tuple[Para, ...]:
    session = scene.plan
    without = rules.without_seat(session, scene.hall.people)
    if not without or session.phase is Phase.ENDED:
        return ()
    if len(without) > MOST_NAMES or len(session.seats) > MOST_NAMES:
        return (say_n("{count} person has no seat.", "{count} people have no seat.", len(without)),)
    return (say("Without a seat: {people}.", people=people(scene, without)),)


def _request_line(scene: Scene, room: Room) -> Para:
    request = room.help
    assert request is not None  # noqa: S101 - asked only for rooms with a request
    age = from_now(scene.now - request.since)
    if request.claimed_by:
        return say(
            "🙋 {room} asked for help {age} ago; {who} is coming.",
            room=scene.room(room.number),
            age=age,
            who=scene.name(request.claimed_by),
        )
    return say("🙋 {room} asked for help {age} ago; nobody is coming yet.", room=scene.room(room.number), age=age)


def _problem_line(scene: Scene, seat: Seat) -> Para:
    return say(
        "⚠️ {who} could not be invited to {room}: {why}. They can open the room by its link once you have let them in.",
        who=scene.name(seat.user),
        room=scene.room(seat.room),
        why=seat.problem or text("the server refused"),
    )


def status_of_room(scene: Scene, number: int) -> Doc:
    """The people of one room, each with what is known."""
    session, room = scene.plan, scene.plan.room(number)
    seats = session.people_of(number)
    running = session.lets_in
    head = say_n(
        "{number}. {room} has {count} person.",
        "{number}. {room} has {count} people.",
        len(seats),
        number=number,
        room=scene.room(number),
    )
    lines = [Para(_seat(scene, seat, running=running)) for seat in seats]
    task = [say("Task: {task}", task=room.task)] if room.task else []
    request = [_request_line(scene, room)] if room.help else []
    return doc(head, [Bullets(tuple(lines))] if lines else [], task, request)


def me(scene: Scene, user: str) -> Doc:
    """The asker's room, its people, its link, the time left."""
    session = scene.session
    if session is None or not session.open_rooms:
        return doc(say("There are no breakout rooms here now."))
    seat = session.seats.get(user)
    if seat is None and session.phase is Phase.ENDED:
        return doc(say("The round has ended."), say("Everybody is back in {main}.", main=scene.main_link()))
    if seat is None:
        if session.mode is Mode.CHOOSE and session.phase is not Phase.CLOSING:
            return doc(say("You have no room yet. Choose one with `{p} choose 2`.", p=scene.prefix))
        return doc(say("You have no seat in a breakout room."), _way_to_a_seat(scene, user))
    others = [other.user for other in session.people_of(seat.room) if other.user != user]
    with_whom = say(" with {people}", people=people(scene, others)).parts if others else ()
    if seat.presence is Presence.REMOVED and session.lets_in:
        return doc(taken_out(scene.room_name(seat.room)))
    match session.phase:
        case _ if session.is_prepared:
            where = say("Your room will be {room}{others}.", room=scene.room(seat.room), others=with_whom)
            if session.door is Door.OPEN:
                return doc(where, say("It opens at the start; the link is told then."))
            return doc(where, say("It opens at the start; until then you can only read there."), _what_now(scene, seat))
        case Phase.SET_UP:
            return doc(
                say(
                    "You will be in {room}{others}, once the breakout rooms are open.",
                    room=scene.room_name(seat.room),
                    others=with_whom,
                )
            )
        case Phase.ENDED | Phase.DELETED:
            was = say(
                "The round has ended; your seat is in {room}{others}.",
                room=scene.room_name(seat.room),
                others=with_whom,
            )
            there = seat.moved_from or seat.room
            read = [say("You can still read it: {room}.", room=scene.room(there))] if session.kept else []
            return doc(was, say("Everybody is back in {main}.", main=scene.main_link()), read)
    if seat.presence in (Presence.JOINED, Presence.IN_MAIN):
        where = say("You are in {room}{others}.", room=scene.room(seat.room), others=with_whom)
    else:
        where = say("Your room is {room}{others}.", room=scene.room(seat.room), others=with_whom)
    return doc(where, _time(scene), _what_now(scene, seat))


def _way_to_a_seat(scene: Scene, user: str) -> Para:
    """What somebody without one can do; where the rooms close, they wait."""
    session, p = scene.plan, scene.prefix
    if session.phase is Phase.CLOSING:
        return _time(scene)
    if session.phase is Phase.RUNNING:
        return say("`{p} rejoin` asks for one.", p=p)
    if user in session.passed:
        return say("You sit out; `{p} rejoin` has you take part again.", p=p)
    return say("They are not open yet; once they are, `{p} rejoin` asks for one.", p=p)


def _what_now(scene: Scene, seat: Seat) -> tuple[Para, ...]:
    session = scene.plan
    if not session.invites:
        return ()
    if seat.presence in (Presence.DECLINED, Presence.LEFT):
        return (say("`{p} rejoin` invites you again.", p=scene.prefix),)
    if seat.presence is Presence.INVITED and session.door is Door.OPEN and not seat.needs_invite:
        return (say("Open the link. If it does not open, `{p} rejoin` invites you.", p=scene.prefix),)
    if seat.presence is Presence.INVITED:
        return (say("Your invitation is waiting: open it and accept."),)
    return ()


def tap_refused(scene: Scene, user: str, on: Control, emoji: str, why: Doc) -> Doc:
    """Why a tap does nothing: everybody can read it there, so it says whose tap it was, and which."""
    shown = emoji.replace("\u20e3", "\ufe0f\u20e3")  # a keycap without its selector looks like a number in a box
    tapped = say("{who}, you tapped {emoji} on {what}.", who=scene.mention(user), emoji=shown, what=_control(on))
    return doc(tapped, why.blocks)


def _control(control: Control) -> str:
    match control:
        case Control.BOARD | Control.DESK_BOARD:
            return text("the board")
        case Control.CHECK_IN:
            return text("the check-in")
        case Control.WELCOME | Control.WELCOME_AGAIN:
            return text("the welcome")
        case Control.HELP | Control.HELP_REMINDED:
            return text("the request for help")
        case Control.CONFIRM | Control.LATE:
            return text("the question")
        case Control.STARTED:
            return text("the message that the rooms are open")


def time_left(scene: Scene) -> Doc:
    """How long the rooms stay open."""
    return doc(_time(scene)) if scene.session else doc(say("There are no breakout rooms here now."))


def _time(scene: Scene) -> Para:
    session = scene.plan
    if session.phase is Phase.SET_UP:
        return say("The breakout rooms are not open yet.")
    if session.phase in (Phase.ENDED, Phase.DELETED):
        return say("The breakout rooms are closed.")
    if session.ends_at is None:
        return say("The rooms stay open until a moderator ends them.")
    left = from_now(session.ends_at - scene.now)
    return say("{left} left: the rooms close at {end}.", left=left, end=scene.clock(session.ends_at))


def queue(scene: Scene, requests: Sequence[HelpTold]) -> Doc:
    """Who waits for help."""
    if not requests:
        return doc(say("Nobody is waiting for help."))
    head = say_n("{count} room waits for help.", "{count} rooms wait for help.", len(requests))
    lines = [_request_line(scene, told.room) for told in requests]
    first = requests[0].room.number
    return doc(head, Bullets(tuple(lines)), say("`{p} claim {number}` takes the first.", p=scene.prefix, number=first))


def next_step(scene: Scene, user: str, role: Role) -> Doc:
    """The one thing to do next, by role and phase."""
    if role < Role.MODERATOR:
        return me(scene, user)
    session, p = scene.session, scene.prefix
    if session is None or not session.open_rooms:
        return doc(say("Next: `{p} setup 4` plans four rooms, then `{p} start 20m` opens them for 20 minutes.", p=p))
    match session.phase:
        case Phase.SET_UP | Phase.ENDED if session.is_prepared:
            return doc(
                say("The breakout rooms are prepared."), say("Next: `{p} start 20m` opens them for 20 minutes.", p=p)
            )
        case Phase.SET_UP:
            rooms = len(session.open_rooms)
            head = say_n("{count} room is planned.", "{count} rooms are planned.", rooms)
            return doc(head, say("Next: `{p} start 20m` opens them for 20 minutes.", p=p))
        case Phase.RUNNING:
            return doc(_time(scene), say("Next: `{p} broadcast …` speaks to every room, `{p} end` closes them.", p=p))
        case Phase.CLOSING:
            return doc(_time(scene), say("Next: `{p} extend 5m` takes the end back.", p=p))
        case _:
            return doc(
                say("The breakout rooms are closed."),
                say("Next: `{p} start` opens the same rooms again, `{p} delete` does away with them.", p=p),
            )

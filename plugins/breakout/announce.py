"""Where each notice goes: which room, under which key, how urgently; and the boards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from bot.matrix.ids import EventId, RoomId
from bot.matrix.ports import Pace, Urgency
from bot.message.doc import Doc, Relayed
from bot.plugin import Unit
from plugins.breakout import views
from plugins.breakout.domain import notices as n
from plugins.breakout.domain.changes.seats import INSIDE
from plugins.breakout.domain.changes.timing import invites_out
from plugins.breakout.domain.estimate import invites_left, seconds_to_start
from plugins.breakout.domain.model import Door, Errand, Phase, Session
from plugins.breakout.keys import Control
from plugins.breakout.observe import is_encrypted
from plugins.breakout.relaying import Copy, Words
from plugins.breakout.scene import Scene

FEW_INVITES = 20
"""Below this many invites a start is felt as one moment, and its progress is not said."""

PROGRESS, SLOW_PROGRESS = timedelta(seconds=2), timedelta(seconds=60)
"""Between two edits of the progress of a start, as a rule and on a slow server."""

SPOKEN = Urgency.INVITE
"""How urgent a moderator's own words to the rooms are: more than what we say of ourselves."""

SLOW = 1.0
"""Requests in a second below which a server is slow."""


LINKS_INTERVAL = timedelta(seconds=30)
"""Between two edits that add links of rooms as they are made: the invites come first on a server that throttles."""


async def announce(unit: Unit, scene: Scene, notices: Sequence[n.Notice]) -> None:
    """Say each notice once, where it belongs."""
    for notice in notices:
        await _announce(unit, scene, notice)


async def _announce(unit: Unit, scene: Scene, notice: n.Notice) -> None:
    match notice:
        case n.RoomClosed():
            await _drop_welcome(unit, scene.plan, notice.room)
            await _in_room(unit, scene, notice.room, notice, held=scene.plan.phase in (Phase.ENDED, Phase.DELETED))
        case n.MainEnded():  # in a deletion the bot leaves the rooms soon, and nothing would let go
            await _say(unit, scene, scene.hall.id, notice, held=scene.plan.phase is Phase.ENDED)
        case n.HelpAsked():
            await _help(unit, scene, notice, views.help_asked_notice(scene, notice, at_desk=_is_at_desk(scene)))
        case n.HelpWithoutSeat():
            await _help(unit, scene, notice, views.help_without_seat(scene, notice, at_desk=_is_at_desk(scene)))
        case n.HelpReminded():
            await _to_moderators(unit, scene, notice)
            if room := _where_asked(scene, notice.room):
                await unit.outbox.say(f"{notice.key}:asker", room, views.still_waiting(scene, notice.user))
        case n.HelpClaimed():
            await _in_room(unit, scene, notice.room, notice)
            request = scene.plan.room(notice.room).help
            if request is not None and request.in_main:
                told = views.on_the_way(scene, request.user, notice.moderator)
                await unit.outbox.say(f"{notice.key}:asker", scene.hall.id, told)
        case n.MainPrepared() if scene.plan.door is Door.OPEN:
            await _to_moderators(unit, scene, notice)
        case n.MainStarted() if invites_out(scene.plan):  # before the welcomes, and never before an invite
            await _say(unit, scene, scene.hall.id, notice, urgency=Urgency.INVITE)
        case n.LateAsked() | n.Promoted() | n.HelpClosed() | n.NotesLost() | n.OutsiderInvited():
            await _to_moderators(unit, scene, notice)
        case n.PleaseMove():
            await _in_room(unit, scene, notice.from_room, notice, urgency=Urgency.INVITE)
        case n.ClosingNotice() | n.WarningGiven():
            await _in_room(unit, scene, notice.room, notice, urgency=Urgency.LOCK)
        case (
            n.WelcomeRoom()
            | n.WelcomePrepared()
            | n.WelcomeAgain()
            | n.WelcomeNewcomers()
            | n.TaskSet()
            | n.TimeChanged()
            | n.HelpUnclaimed()
        ):
            await _in_room(unit, scene, notice.room, notice)
        case n.ClockBegan():
            for number in (room.number for room in scene.plan.open_rooms):
                if there := _room_id(scene, number):
                    await unit.outbox.say(_clock_key(scene.plan, number), there, views.said(notice, scene))
        case _:
            await _say(unit, scene, scene.hall.id, notice)


async def _drop_welcome(unit: Unit, session: Session, number: int) -> None:
    """What a room has not been told yet of its beginning is not said once it is closed."""
    welcome = n.WelcomeRoom(session.id, session.round, number, session.room(number).attempt)
    await unit.outbox.drop(welcome.key)
    await unit.outbox.drop(_clock_key(session, number))


def _clock_key(session: Session, number: int) -> str:
    """The outbox key of the time limit as it is said in one room."""
    return f"{n.ClockBegan.KIND}:{session.id}:{session.round}:{number}"


async def _say(unit: Unit, scene: Scene, room: RoomId, notice: n.Notice, **options: Any) -> None:
    if "held" in options:  # people are taken out once they are told
        options |= {"group": _closing_group(scene.plan, scene.plan.round), "wake": scene.hall.id}
    await unit.outbox.say(notice.key, room, views.said(notice, scene), **options)


async def _in_room(unit: Unit, scene: Scene, number: int, notice: n.Notice, **options: Any) -> None:
    if room := _room_id(scene, number):
        await _say(unit, scene, room, notice, **options)


def _room_id(scene: Scene, number: int) -> RoomId | None:
    room_id = scene.plan.room(number).room_id
    return RoomId(room_id) if room_id else None


async def _to_moderators(unit: Unit, scene: Scene, notice: n.Notice) -> None:
    """To the desk; to the main room while no moderator has come to the desk."""
    await unit.outbox.say(notice.key, scene.moderators_room, views.said(notice, scene), urgency=Urgency.ANSWER)


async def _help(unit: Unit, scene: Scene, notice: n.Notice, doc: Doc) -> None:
    await unit.outbox.say(notice.key, scene.moderators_room, doc, urgency=Urgency.ANSWER)


def _is_at_desk(scene: Scene) -> bool:
    """Whether the moderators are told at the desk, where the words of those who ask can stand."""
    return scene.moderators_room == scene.desk


def _where_asked(scene: Scene, number: int) -> RoomId | None:
    """Where the asker of a room's request waits for an answer."""
    request = scene.plan.room(number).help
    return scene.hall.id if request is not None and request.in_main else _room_id(scene, number)


# --- the end


async def let_closing_go(unit: Unit, session: Session, *, locked: bool) -> None:
    """Say what is held until the rooms are locked, once they are, or once they never will be."""
    if session.phase in (Phase.ENDED, Phase.DELETED) and locked:
        await unit.outbox.release(_closing_group(session, session.round))
    elif session.phase is Phase.RUNNING and session.round > 1:
        # Started again before that: the rooms have never been closed, and only the main room is told of the end.
        group = _closing_group(session, session.round - 1)
        rooms = {room.room_id for room in session.rooms}
        for held in await unit.outbox.group(group):
            if held.room in rooms and not held.settled:
                await unit.outbox.withdraw(held.key)
        await unit.outbox.release(group)


def _closing_group(session: Session, number: int) -> str:
    """The outbox group of what is said at the end of a round."""
    return f"closed:{session.id}:{number}"


async def is_told_closed(unit: Unit, session: Session, number: int) -> bool:
    """Whether a room's closing message is sent, or never will be."""
    sent = await unit.outbox.sent(n.RoomClosed(session.id, session.round, number).key)
    return sent is None or sent.settled


# --- boards


async def show_board(unit: Unit, scene: Scene, *, fresh: bool = False) -> None:
    """Bring the boards up to date by an edit; a fresh one where there is none, or where it is asked for."""
    session = scene.plan
    if not session.open_rooms or session.phase is Phase.DELETED:
        return
    await _complete_start(unit, scene)
    board = views.board(scene)
    await _show(unit, scene, Control.BOARD, scene.hall.id, board, fresh=fresh)
    if scene.desk is not None:
        await _show(unit, scene, Control.DESK_BOARD, scene.desk, views.desk_board(scene, board), fresh=fresh)
        await unit.outbox.say(desk_welcome_key(scene.desk), scene.desk, views.desk_welcome(scene))


def desk_welcome_key(desk: str) -> str:
    """The outbox key of what is said first at the desk."""
    return f"desk-welcome:{desk}"


async def tell_desk_of_removal(unit: Unit, scene: Scene, by: str | None) -> None:
    """Tell the desk that the bot is out of the main room; the desk is closed once that is said."""
    if scene.desk is not None:
        key = desk_closing_key(scene.desk)
        await unit.outbox.say(key, scene.desk, views.taken_out(scene, by), urgency=Urgency.ANSWER, wake=scene.hall.id)


def desk_closing_key(desk: str) -> str:
    """The outbox key of what is said last at the desk."""
    return f"desk-closing:{desk}"


async def show_fresh_board(unit: Unit, scene: Scene, room: RoomId) -> None:
    """A fresh board at the bottom of the main room or the desk, as an answer."""
    if room == scene.desk:
        await _show(unit, scene, Control.DESK_BOARD, room, views.desk_board(scene), fresh=True, urgency=Urgency.ANSWER)
    else:
        await _show(unit, scene, Control.BOARD, room, views.board(scene), fresh=True, urgency=Urgency.ANSWER)


async def _show(
    unit: Unit,
    scene: Scene,
    control: Control,
    room: RoomId,
    doc: Doc,
    *,
    fresh: bool,
    urgency: Urgency = Urgency.MESSAGE,
) -> None:
    """Edit the newest board; in another phase a new one takes its place, and nothing more is sent of the old one."""
    session = scene.plan
    key, group = f"{control}:{session.id}:{session.phase}:{session.round}", f"boards:{control}:{session.id}"
    boards = [sent.key for sent in await unit.outbox.group(group)]
    if boards and boards[-1].startswith(f"{key}:") and not fresh:
        later = scene.now + scene.settings.board_interval
        await unit.outbox.edit(boards[-1], doc, not_before=later)
        return
    if boards:
        await unit.outbox.drop(boards[-1])
    number = sum(board.startswith(f"{key}:") for board in boards) + 1
    await unit.outbox.say(f"{key}:{number}", room, doc, urgency=urgency, group=group)


async def _complete_start(unit: Unit, scene: Scene) -> None:
    """Keep the message that the rooms are open true: rooms that are made later get their links, a new end is named.

    What the start still has to say goes out no more once the rooms are closing.
    """
    session = scene.plan
    started = n.MainStarted(session.id, session.round)
    if session.phase is not Phase.RUNNING:
        await unit.outbox.drop(started.key)
    if not session.invites:
        await unit.outbox.drop(_progress_key(session))
    elif session.is_open and session.clock_at is not None and session.door is Door.INVITE:
        waits = any(room.room_id is None for room in session.open_rooms)
        later = scene.now + LINKS_INTERVAL if waits else None
        await unit.outbox.edit(started.key, views.said(started, scene), not_before=later)


def _progress_key(session: Session) -> str:
    return f"progress:{session.id}:{_round(session)}"


async def show_progress(unit: Unit, scene: Scene, pace: Pace, own_server: str) -> None:
    """Say how far a long start is, in one message that is edited.

    Where a message costs as much time as an invite, it goes before them, or it would come too late; but rarely, and
    only for a wait that is long.
    """
    session = scene.plan
    done, of = invites_left(session)
    if of < FEW_INVITES:
        return
    seconds = seconds_to_start(session, pace, own_server=own_server, desk_is_made=scene.desk is not None)
    key = _progress_key(session)
    slow = pace.per_second is not None and pace.per_second < SLOW
    interval = SLOW_PROGRESS if slow else PROGRESS
    if slow and seconds < interval.total_seconds() and await unit.outbox.sent(key) is None:
        return
    doc = views.progress(scene, done, of, seconds)
    urgency = Urgency.INVITE if slow else Urgency.MESSAGE
    await unit.outbox.say(key, scene.desk or scene.hall.id, doc, urgency=urgency)
    await unit.outbox.edit(key, doc, not_before=scene.now + interval)


# --- texts to the rooms, and their receipts


def errand_group(errand: Errand) -> str:
    """The outbox group of the copies of one text."""
    return f"broadcast:{errand.event}"


def errand_rooms(session: Session, errand: Errand) -> Sequence[tuple[int, RoomId]]:
    """The rooms that a text is for and that exist."""
    rooms = session.open_rooms if errand.number is None else (session.room(errand.number),)
    return [(room.number, RoomId(room.room_id)) for room in rooms if room.room_id]


async def send_text(unit: Unit, scene: Scene, errand: Errand, text: Relayed) -> None:
    """Put a typed text into the outbox for each room."""
    for number, room in errand_rooms(scene.plan, errand):
        await unit.outbox.say(
            n.Broadcast(scene.plan.id, errand.event, number).key,
            room,
            views.broadcast(scene, errand.by, text),
            urgency=SPOKEN,
            group=errand_group(errand),
            wake=scene.hall.id,
            origin=(RoomId(errand.asked_in), EventId(errand.event)),
        )


async def send_on(unit: Unit, scene: Scene, errand: Errand, found: Words | Copy) -> bool:
    """Put somebody's message into the outbox for each room; False where nothing of the errand goes out at all."""
    assert errand.relays is not None  # noqa: S101 - asked only for errands that relay
    origin = (RoomId(errand.asked_in), EventId(errand.relays))
    how: dict[str, Any] = {"urgency": SPOKEN, "group": errand_group(errand), "wake": scene.hall.id, "origin": origin}
    said_more = await has_text(unit, errand)
    kept_back = []
    for number, room in errand_rooms(scene.plan, errand):
        if isinstance(found, Copy) and found.is_encrypted_file and not await is_encrypted(unit.rooms, room):
            kept_back.append(number)  # its key would stand there for the homeserver to read
            continue
        key = n.Broadcast(scene.plan.id, errand.event, number).key + ":on"
        if isinstance(found, Words):
            said = views.passed_on(scene, errand.by, found.by, found.text)
            await unit.outbox.say(key, room, said, **how)
        else:
            if not said_more or found.by != errand.by:  # else the words before it have the moderator's name
                line = views.shown_by(scene, errand.by, found.by, ping=not said_more)
                await unit.outbox.say(f"{key}:by", room, line, **how)
            await unit.outbox.relay(key, room, found.type, found.content, **how)
    if kept_back:
        await _answer(unit, errand, views.kept_back(scene, kept_back), key="kept-back")
    return not kept_back or await has_text(unit, errand)


async def give_receipt(unit: Unit, scene: Scene, errand: Errand) -> bool:
    """Say which rooms have a text, once that is known of all; False while it is not."""
    sent = await unit.outbox.group(errand_group(errand))
    if not all(copy.settled for copy in sent):
        return False
    numbers = {room: number for number, room in errand_rooms(scene.plan, errand)}
    reached = list(dict.fromkeys(numbers[copy.room] for copy in sent if copy.event and copy.room in numbers))
    failed = dict.fromkeys((numbers[copy.room], copy.refused) for copy in sent if copy.refused and copy.room in numbers)
    absent = [
        (seat.user, seat.room)
        for seat in scene.plan.seats.values()
        if seat.room in numbers.values() and seat.presence not in INSIDE
    ]
    here = await is_encrypted(unit.rooms, RoomId(errand.asked_in))
    unlike = [number for room, number in numbers.items() if await is_encrypted(unit.rooms, room) is not here]
    await _answer(unit, errand, views.receipt(scene, reached, list(failed), absent, unlike, encrypted=here))
    return True


async def cannot_relay(unit: Unit, scene: Scene, errand: Errand) -> bool:
    """Say that the message to relay cannot be had; False where that is all that there is to say of the errand."""
    said_more = await has_text(unit, errand)
    await _answer(unit, errand, views.nothing_to_relay(scene), key="unread" if said_more else "reply")
    return said_more


async def has_text(unit: Unit, errand: Errand) -> bool:
    """Whether words were typed besides the message to relay; they are on their way."""
    return bool(await unit.outbox.group(errand_group(errand)))


async def _answer(unit: Unit, errand: Errand, doc: Doc, key: str = "reply") -> None:
    await unit.outbox.say(
        f"{key}:{errand.event}",
        RoomId(errand.asked_in),
        doc,
        urgency=Urgency.ANSWER,
        reply_to=EventId(errand.event),
        thread=EventId(errand.thread) if errand.thread else None,
    )


async def ask_who_is_here(unit: Unit, scene: Scene, event: EventId) -> None:
    """Post the check-in."""
    await unit.outbox.say(f"{Control.CHECK_IN}:{event}", scene.hall.id, views.who_is_here(scene))


async def tell_unreachable(unit: Unit, scene: Scene, users: Sequence[str]) -> None:
    """Tell the moderators who could not be invited, each once a round."""
    session = scene.plan
    for user in users:
        seat = session.seats[user]
        key = f"unreachable:{session.id}:{_round(session)}:{seat.invite_count}:{user}"
        await unit.outbox.say(key, scene.moderators_room, views.unreachable(scene, user, seat.room, seat.problem))


def _round(session: Session) -> int:
    """The round that it is about: what is prepared belongs to the coming one."""
    return session.round + 1 if session.is_prepared else session.round


async def tell_not_invited_yet(unit: Unit, scene: Scene, users: Sequence[str], number: int, why: str) -> None:
    """Tell the moderators of people of a room whose invites fail for now, once a round and room."""
    session = scene.plan
    key = f"not-invited-yet:{session.id}:{_round(session)}:{number}"
    await unit.outbox.say(key, scene.moderators_room, views.not_invited_yet(scene, users, number, why))


async def tell_not_made(unit: Unit, scene: Scene, number: int, why: str) -> None:
    """Tell the moderators of a room that cannot be made, once a round."""
    session = scene.plan
    key = f"not-made:{session.id}:{_round(session)}:{number}"
    await unit.outbox.say(key, scene.moderators_room, views.not_made(scene, number, why))

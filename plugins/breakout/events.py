"""What happens in the rooms without a command: people come and go, roles change, reactions are tapped."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from random import SystemRandom
from typing import Any

from bot.clock import to_ms
from bot.commands.refusals import HostRefusal
from bot.commands.sentences import skipped, skipped_key
from bot.matrix.events import Departed, Message, Reaction, StateChange
from bot.matrix.ids import RoomId
from bot.matrix.ports import Urgency
from bot.matrix.power import Power
from bot.message.doc import Doc
from bot.plugin import Joined, ReactionAdded, ReactionRemoved, Role, Standing, Unit
from plugins.breakout import views
from plugins.breakout.announce import announce, tell_desk_of_removal
from plugins.breakout.deciding import decide, question_key
from plugins.breakout.declaration import plugin
from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes import help as helping
from plugins.breakout.domain.changes import people, seats, setup
from plugins.breakout.domain.changes.ending import deleted, end
from plugins.breakout.domain.changes.observed import membership, outsider_invited, room_lost
from plugins.breakout.domain.changes.rooms import unknown_room
from plugins.breakout.domain.changes.starting import confirm, start
from plugins.breakout.domain.changes.timing import extend
from plugins.breakout.domain.desired import MARKER
from plugins.breakout.domain.model import Phase, Presence, Session
from plugins.breakout.domain.notices import RoomClosed
from plugins.breakout.domain.refusals import Refusal
from plugins.breakout.keys import EXTENSION, Control, Offer, offer_of
from plugins.breakout.observe import is_encrypted, is_ignored, look, markers_of
from plugins.breakout.scene import Scene, scene_of
from plugins.breakout.store import Desk, Sessions
from plugins.breakout.subject import BREAKOUT, MAIN, Place, Plug, Subject, explained, place_of, role_of, subject_of
from plugins.breakout.succession import former_of

chance = SystemRandom()

GREETING_AFTER = timedelta(seconds=3)
"""In an encrypted room, where others are perhaps coming in with us."""


# --- people come and go


@plugin.on(StateChange)
async def state_changed(state: Plug, unit: Unit, event: StateChange) -> None:
    """Members and power of the main room and of its rooms; everything else is the reconciler's to see."""
    place = await place_of(unit, event.room)
    if event.type == "m.room.create" and event.sender == state.host.me:
        await _room_appeared(unit, event.room)
    if event.type == "m.room.tombstone":
        unit.wake(event.room)
    it = await subject_of(state, unit, event.room, event.sender)
    if it.session is None and it.desk is None:
        return
    if place.kind == MAIN and it.session is not None:
        if event.type == "m.room.member":
            await _main_member(it, event)
        elif event.type == "m.room.power_levels" and event.room == it.hall.id:
            await _main_power(it, event)
    elif place.kind == BREAKOUT and event.type == "m.room.member":
        await _breakout_member(it, place, event)
    unit.wake(place.main)


async def _room_appeared(unit: Unit, room: RoomId) -> None:
    """A room that we made, perhaps by a call that seemed to fail: its main room looks at what to do with it."""
    marker = await unit.rooms.content(room, MARKER) or {}
    if isinstance(main := marker.get("main"), str):
        unit.wake(main)


async def _main_member(it: Subject, event: StateChange) -> None:
    after, before = event.content.get("membership"), (event.before or {}).get("membership")
    session = it.session
    if session is None or session.phase is Phase.DELETED or after == before:
        return
    if after == "join":
        person = it.hall.person(event.state_key)
        if person is not None and not await _counted_before(it, event):
            await it.settle(
                people.joined_main(session, person, people=it.hall.people, now=it.unit.now, settings=it.plug.settings)
            )
    elif before == "join" and it.hall.person(event.state_key) is None:
        await it.settle(people.left_main(session, event.state_key))


async def _counted_before(it: Subject, event: StateChange) -> bool:
    """Whether somebody comes over from the room that the main room replaced."""
    if it.hall.former is None or event.room != it.hall.id:
        return False
    old = await it.unit.rooms.content(it.hall.former, "m.room.member", event.state_key) or {}
    return old.get("membership") == "join"


async def _main_power(it: Subject, event: StateChange) -> None:
    """Compare who was a moderator with who is one."""
    create = await it.unit.rooms.content(it.hall.id, "m.room.create") or {}
    creators = (await it.unit.rooms.power(it.hall.id)).creators
    before = replace(Power.of(event.before, create, ""), creators=creators)
    line = it.plug.config.moderator_power_level
    for person in it.hall.people:
        if it.session is None or it.session.phase is Phase.DELETED:
            return
        was = before.level(person.user) >= line
        change: Change[None] | None = None
        if person.moderator and not was:
            change = people.promoted(it.session, person.user, now=it.unit.now)
        elif was and not person.moderator:
            change = people.demoted(
                it.session, person, people=it.hall.people, now=it.unit.now, settings=it.plug.settings
            )
        if change is not None and change.session != it.session:
            await it.settle(change)
            it = replace(it, session=await Sessions(it.unit.connection).get(it.hall.id))


async def _breakout_member(it: Subject, place: Place, event: StateChange) -> None:
    session = it.session
    if session is None or session.id != place.session or place.number is None:
        return
    user = event.state_key
    if _text(event.content.get("membership")) == "invite" and it.hall.person(user) is None:
        if event.sender in it.hall.moderators:
            await it.settle(outsider_invited(session, user, place.number, by=event.sender))
        return
    change = membership(
        session,
        place.number,
        user,
        before=_text((event.before or {}).get("membership")),
        after=_text(event.content.get("membership")) or "leave",
        by_self=event.sender == user,
        by_bot=event.sender == it.plug.host.me,
        moderator=user in it.hall.moderators,
        now=it.unit.now,
        capacity=people.capacity(session, it.hall.people),
    )
    if change.session != session or change.notices:
        await it.settle(change)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


@plugin.on(Message)
async def said(state: Plug, unit: Unit, message: Message) -> None:
    """A moderator who writes in a breakout room has come; somebody who writes there is back in it."""
    place = await place_of(unit, message.room)
    if place.kind != BREAKOUT or place.number is None:
        return
    it = await subject_of(state, unit, message.room, message.sender)
    session = it.session
    if session is None or session.id != place.session:
        return
    seat = session.seats.get(message.sender)
    if message.sender in it.hall.moderators:
        change = helping.moderator_wrote(session, place.number, message.sender, now=unit.now)
    elif seat is not None and seat.presence is Presence.IN_MAIN:
        change = seats.came_back(session, message.sender)
    else:
        return
    if change.session != session:
        await it.settle(change)


@plugin.on(Joined)
async def arrived(state: Plug, unit: Unit, event: Joined) -> None:
    """Greet a new main room with the first command; one that replaces another gets the session of that."""
    former = await former_of(unit.rooms, event.room, state.host.me)
    if former is not None and await markers_of(unit.rooms, event.room, state.host.me):
        unit.wake(former.id)
        return
    prefix = f"{state.host.prefix}{state.config.names[0]}"
    # Strict clients refuse what comes before they have asked for our keys, and do not try it again.
    later = unit.now + GREETING_AFTER if await is_encrypted(unit.rooms, event.room) else None
    key = f"greeting:{event.room}:{to_ms(event.at)}"
    await unit.outbox.say(key, event.room, views.greeting(prefix), not_before=later)


@plugin.on(Departed)
async def departed(state: Plug, unit: Unit, event: Departed) -> None:
    """The bot is out of a room: one that is still wanted is made anew.

    Out of the main room it sees no moderator any more, so that it does away with the session.
    """
    sessions = Sessions(unit.connection)
    for main in await sessions.mains():
        if main == event.room:
            await _main_room_lost(state, unit, sessions, event)
            continue
        desk = await sessions.desk(main)
        if desk is not None and desk.room == event.room:
            await sessions.save_desk(replace(desk, room=None, attempt=desk.attempt + 1))
            unit.wake(main)
        session = await sessions.get(main)
        former = await sessions.retired(main)
        for known in [*([session] if session else []), *former]:
            for room in known.rooms:
                if room.room_id == event.room and not room.closed:
                    change = room_lost(known, room.number, event.room)
                    saved = await sessions.save(change.session, retired=known is not session)
                    if known is session:
                        await announce(unit, await _scene(state, unit, saved, desk), change.notices)
                    unit.wake(main)


async def _main_room_lost(state: Plug, unit: Unit, sessions: Sessions, event: Departed) -> None:
    """Out of the main room nobody can command any more: the rooms are told, then closed, and so is the desk."""
    main = event.room
    session, desk = await sessions.get(main), await sessions.desk(main)
    if session is not None and session.phase is not Phase.DELETED:
        change = deleted(session, now=unit.now)
        session = await sessions.save(change.session)
        in_rooms = [notice for notice in change.notices if isinstance(notice, RoomClosed)]
        await announce(unit, await _scene(state, unit, session, desk), in_rooms)
    if desk is not None:
        await sessions.save_desk(replace(desk, wanted=False))
        await tell_desk_of_removal(unit, await _scene(state, unit, session, desk), event.by)
    await unit.outbox.drop_room(main)
    unit.wake(main)


async def _scene(state: Plug, unit: Unit, session: Session | None, desk: Desk | None) -> Scene:
    main = session.main if session else desk.main if desk else ""
    hall = await look(unit, state.config, state.host.me, RoomId(main))
    return await scene_of(unit, state.host, state.config, hall, desk, session)


# --- reactions

_OF_THE_MOMENT = frozenset({Control.CONFIRM, Control.DESK_BOARD, Control.LATE})
"""What is on offer here changes a running session for everybody: tapped before a downtime, it is not meant now."""


@plugin.on(ReactionAdded)
async def reacted(state: Plug, unit: Unit, event: ReactionAdded) -> None:
    """A tap on something that the bot offered; refusals are said where words are needed."""
    offer = offer_of(event.key)
    if offer is None:
        return
    reaction = event.reaction
    it = await subject_of(state, unit, reaction.room, reaction.sender)
    role = await role_of(state, unit, it.place.main, reaction.sender)
    is_guest = it.place.kind == BREAKOUT and not is_ignored(reaction.sender, state.config)
    if it.hall.person(reaction.sender) is None and not is_guest:
        return
    if reaction.stale and offer.control in _OF_THE_MOMENT:
        await unit.outbox.say(skipped_key(reaction.room, unit.now), reaction.room, skipped())
        return
    try:
        await _tapped(it, offer, reaction, role)
    except (Refusal, HostRefusal) as error:
        said = await explained(state, unit, Standing(role, it.place.kind, it.place.main), error)
        if said is not None:
            in_thread = it.place.kind == MAIN and role < Role.MODERATOR
            await unit.outbox.say(
                f"refused:{reaction.event_id}",
                reaction.room,
                views.tap_refused(await it.scene(), reaction.sender, offer.control, reaction.key, said),
                urgency=Urgency.ANSWER,
                reply_to=reaction.target,
                thread=reaction.target if in_thread else None,
            )


async def _tapped(it: Subject, offer: Offer, reaction: Reaction, role: Role) -> None:
    session, now, settings, key = it.session, it.unit.now, it.plug.settings, reaction.key
    if session is None or not _holds(offer, session):
        return
    number = _digit(key)
    if number is not None and all(room.number != number for room in session.open_rooms):
        if offer.control in (Control.BOARD, Control.LATE) and any(room.number == number for room in session.rooms):
            raise unknown_room(str(number), session.open_rooms)  # it was removed
        return  # a number that nobody offered
    match offer.control, key:
        case Control.CHECK_IN, "✋":
            await it.settle(setup.tap(session, it.asker))
        case Control.BOARD, _ if number is not None:
            await it.settle(seats.choose(session, it.asker, number, people=it.hall.people))
        case Control.STARTED, "🔁":
            await it.settle(seats.rejoin(session, it.asker, people=it.hall.people, now=now, settings=settings))
        case Control.WELCOME, "🙋" if it.place.number is not None:
            asked = helping.ask_help(session, it.place.number, it.asker, "", now=now, settings=settings)
            await _say_of_tap(it, "tapped", reaction, views.help_asked(await it.settle(asked), asked.told))
        case _ if role >= Role.MODERATOR:
            await _moderator_tapped(it, session, offer, reaction)


async def _say_of_tap(it: Subject, what: str, reaction: Reaction, said: Doc) -> None:
    """Say in the room what came of a tap, or of taking it back, that needs words."""
    await it.unit.outbox.say(f"{what}:{reaction.event_id}", reaction.room, said, urgency=Urgency.ANSWER)


async def _moderator_tapped(it: Subject, session: Session, offer: Offer, reaction: Reaction) -> None:
    now, settings, by, key = it.unit.now, it.plug.settings, it.asker, reaction.key
    number = _digit(key)
    match offer.control, key:
        case Control.CONFIRM, "✅":
            change = confirm(
                session, by=by, people=it.hall.people, now=now, settings=settings, rng=chance, key=offer.key
            )
            await decide(it, change, room=reaction.room, event=reaction.event_id, thread=None, reply=False)
        case Control.HELP, "👀" if offer.room is not None:
            needs_invite = await it.needs_invite()
            await it.settle(helping.claim(session, offer.room, by, now=now, needs_invite=needs_invite))
        case Control.HELP, "✅" if offer.room is not None:
            await it.settle(helping.resolve(session, offer.room, by))
        case Control.DESK_BOARD, "▶":
            question = question_key(reaction.event_id)
            started = start(session, by=by, people=it.hall.people, now=now, settings=settings, rng=chance, key=question)
            await decide(it, started, room=reaction.room, event=reaction.event_id, thread=None, reply=False)
        case Control.DESK_BOARD, "➕":
            await it.settle(extend(session, EXTENSION, now=now, settings=settings))
        case Control.DESK_BOARD, "⏹":
            await it.settle(end(session, by=by, now=now, settings=settings))
        case Control.LATE, _ if number is not None and offer.user is not None:
            await it.settle(seats.assign(session, [(offer.user, number)], people=it.hall.people))
        case _:
            return


@plugin.on(ReactionRemoved)
async def reaction_taken_back(state: Plug, unit: Unit, event: ReactionRemoved) -> None:
    """Taking a tap back takes its effect back, where somebody takes back their own."""
    offer = offer_of(event.key)
    reaction = event.reaction
    if offer is None or event.by != reaction.sender:
        return
    it = await subject_of(state, unit, reaction.room, reaction.sender)
    if it.session is None or not _holds(offer, it.session):
        return
    number = _digit(reaction.key)
    try:
        match offer.control, reaction.key:
            case Control.CHECK_IN, "✋":
                await it.settle(setup.untap(it.session, it.asker))
            case Control.BOARD, _ if number is not None:
                await it.settle(seats.unchoose(it.session, it.asker, number))
            case Control.HELP, "👀" if offer.room is not None:
                await it.settle(helping.unclaim(it.session, offer.room, it.asker, now=unit.now))
            case Control.WELCOME, "🙋" if it.place.number is not None:
                withdrawn = helping.withdraw_help(it.session, it.place.number, it.asker)
                await _say_of_tap(
                    it, "taken-back", reaction, views.help_withdrawn(await it.settle(withdrawn), withdrawn.told)
                )
    except Refusal:
        return  # there is nothing (any more) to take back


def _holds(offer: Offer, session: Session) -> bool:
    """Whether what was offered is still to be had: the session is the same, the help request too."""
    if offer.session not in (None, session.id):
        return False
    if offer.room is None:
        return True
    request = session.room(offer.room).help
    return request is not None and to_ms(request.since) == offer.asked_ms


def _digit(key: str) -> int | None:
    """The number of a keycap: `3⃣`, or 🔟."""
    if key == "🔟":
        return 10
    found = re.fullmatch(r"([1-9])\u20e3?", key)
    return int(found[1]) if found else None

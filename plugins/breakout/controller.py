"""Observe, plan, carry out: makes the rooms of one main room what they should be, one stage at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter
from typing import Any

import structlog

from bot.errors import Permanent, Temporary
from bot.matrix.events import RawEvent
from bot.matrix.ids import EventId, RoomId, server_of
from bot.plugin import Host, Unit
from plugins.breakout import announce
from plugins.breakout.carry_out import CarryOut, Task
from plugins.breakout.config import BreakoutConfig
from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.ending import deleted
from plugins.breakout.domain.changes.observed import gone_people, room_made, seat_found, unattended, unlocked
from plugins.breakout.domain.changes.people import capacity
from plugins.breakout.domain.desired import (
    DESK,
    Observed,
    Options,
    SeenRoom,
    creation_key,
    desired,
    desk_wish,
    is_locked,
    stray_wish,
)
from plugins.breakout.domain.estimate import paced
from plugins.breakout.domain.model import Errand, Phase, Presence, Session, Settings
from plugins.breakout.domain.moments import advance, board_moment, next_moment
from plugins.breakout.domain.notices import Notice, RoomClosed
from plugins.breakout.domain.pauses import Pauses
from plugins.breakout.domain.plan import Stage, Step, plan
from plugins.breakout.follow import Follower
from plugins.breakout.metrics import Metrics
from plugins.breakout.observe import Hall, look, members_in, rooms_of, see
from plugins.breakout.record import Record, note_of
from plugins.breakout.relaying import to_relay
from plugins.breakout.restore import Restorer
from plugins.breakout.scene import Scene, scene_of
from plugins.breakout.store import Desk, Sessions
from plugins.breakout.under_way import UnderWay
from plugins.breakout.views import desk_texts, stray_texts, texts_of

log = structlog.get_logger(__name__)

ERRAND_PAUSE = timedelta(seconds=5)
"""Between two tries to fetch a message that is to be relayed."""

STRAYS = -1
"""The numbers of rooms that nobody knows of count down from here."""

Ours = Mapping[RoomId, str]
"""The rooms that we made for a main room, each with its creation key."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one look at a main room found to do, and when to look again where nothing is."""

    tasks: tuple[Task, ...]
    again: datetime | None
    errands: tuple[Errand, ...] = ()
    rooms: dict[str, Any] | None = None
    """What the account's own note says of this main room."""
    current: tuple[str, Phase] | None = None
    """The session and where it stands."""


class Controller:
    """The work function of the plugin's reconciler."""

    def __init__(self, host: Host, config: BreakoutConfig, metrics: Metrics) -> None:
        self._host, self._config, self._metrics = host, config, metrics
        self._settings = config.settings()
        self._options = Options(
            tuple(config.call_event_types),
            config.history_visibility,
            config.encryption,
            brings_in=config.members == "force_join",
        )
        self._carry_out = CarryOut(host, config, metrics)
        self._record = Record(host.homeserver, host.clock)
        self._restorer = Restorer(host, config, self._record)
        self._follower = Follower(host, config)
        self._pauses: dict[RoomId, Pauses] = {}
        self._fetched: dict[str, RawEvent | None] = {}
        """Messages to relay, between their fetching and their relaying; None where they cannot be had."""
        self._fetch_at: dict[str, datetime] = {}
        """When to try again, by the command's event."""

    async def converge(self, key: str) -> datetime | None:
        """Make the rooms of the main room `key` what they should be; returns when time will change that."""
        began = perf_counter()
        try:
            return await self._converge(RoomId(key))
        finally:
            self._metrics.pass_over(key, perf_counter() - began)

    async def _converge(self, main: RoomId) -> datetime | None:
        """One pass.

        Each stage of a plan is followed by a new look, so that what was asked meanwhile (`end` during a start)
        counts at once. A room in which something fails for now pauses; the others go on.
        """
        await self._restorer.restore(main)
        if await self._follower.follow(main):
            return await self._record.keep(main, None)
        async with UnderWay(self._host.clock) as under_way:
            return await self._pass(main, self._pauses.setdefault(main, Pauses()), under_way)

    async def _pass(self, main: RoomId, pauses: Pauses, under_way: UnderWay) -> datetime | None:
        before: list[Task] = []
        while True:
            work = await self._look(main)
            pauses.keep(task.place for task in work.tasks)
            if await self._fetch(work.errands):
                continue
            now = self._host.clock.now()
            waits = [pauses.until(task.place, task.step.stage, now) for task in work.tasks]
            ripe = [
                task
                for task, wait in zip(work.tasks, waits, strict=True)
                if wait is None and under_way.may_begin(task.step.stage, task.place)
            ]
            if not ripe and not under_way.is_through:
                await under_way.through(partial(self._is_urgent, main, work))
                continue
            if not ripe:
                note_again = await self._record.keep(main, work.rooms)
                fetches = [self._fetch_at.get(errand.event) for errand in work.errands]
                later = await self._follower.look_again(main)
                return min(
                    (moment for moment in (work.again, later, note_again, *fetches, *waits) if moment), default=None
                )
            stage = min(task.step.stage for task in ripe)
            tasks = [task for task in ripe if task.step.stage is stage]
            if tasks == before:  # carried out, and yet to do: whatever the reason, not without end
                for task in tasks:
                    pauses.failed(task.place, stage, now)
                before = []
                continue
            self._carry_out.stage(tasks, pauses, under_way, work.again)
            before = tasks if await under_way.through(partial(self._is_urgent, main, work)) else []

    async def _is_urgent(self, main: RoomId, work: Work) -> bool:
        """Whether time has something to say since that look, or the session is in another phase (`end`, say)."""
        if work.again is not None and self._host.clock.now() >= work.again:
            return True
        async with self._host.database.read() as connection:
            current = await Sessions(connection).get(main)
        return (current.id, current.phase) != work.current if current else work.current is not None

    async def _look(self, main: RoomId) -> Work:
        """Load, observe, note what was seen, let time pass, say what is to be said, save: one transaction."""
        while True:
            await self._host.caught_up()
            async with self._host.unit() as unit:
                if await unit.is_current():
                    return await self._look_in(unit, main)

    async def _look_in(self, unit: Unit, main: RoomId) -> Work:
        sessions = Sessions(unit.connection)
        hall = await look(unit, self._config, self._host.me, main)
        ours = await rooms_of(unit.rooms, main, self._host.me)
        desk = await self._adopt_desk(unit, await sessions.desk(main), ours)
        tasks: list[Task] = []
        again = None
        current = await sessions.get(main)
        if current is not None:
            current = await self._passed(unit, hall, desk, current, ours)
            moments = (next_moment(current, self._paced(current)), board_moment(current, unit.now))
            again = min((moment for moment in moments if moment), default=None)
            tasks += await self._plan(unit, hall, desk, current)
        former = [
            await self._adopted(unit, session, ours)
            for session in await sessions.retired(main)
            if current is None or session.id != current.id
        ]
        for session in former:
            tasks += await self._plan(unit, hall, desk, session)
        desk = await sessions.desk(main)
        if desk is not None:
            tasks += await self._plan_desk(unit, hall, desk)
        tasks += await self._plan_strays(
            unit, hall, ours.keys() - _ids(desk, [*([current] if current else []), *former])
        )
        known = note_of(desk, current, former)
        await unit.alarms.ring(main, again)
        stands = (current.id, current.phase) if current else None
        return Work(tuple(tasks), again, current.errands if current else (), known, stands)

    async def _passed(self, unit: Unit, hall: Hall, desk: Desk | None, session: Session, ours: Ours) -> Session:
        """The session after what was seen and after the time that passed, said and saved."""
        before = session
        session, notices = await self._seen(unit, hall, session, ours)
        if hall.entered:
            session, said = _without_people(session, hall, unit.now, self._settings)
            notices += said
        session = _added(advance(session, now=unit.now, settings=self._paced(session)), notices)
        if session.phase is Phase.DELETED and desk is not None:
            await Sessions(unit.connection).save_desk(replace(desk, wanted=False))
        session = await self._run_errands(unit, await self._scene(unit, hall, desk, session))
        if session != before:
            session = await Sessions(unit.connection).save(session)
        scene = await self._scene(unit, hall, desk, session)
        await announce.announce(unit, scene, notices)
        self._metrics.heard(notices, unit.now)
        await announce.show_board(unit, scene)
        lost = [seat.user for seat in session.seats.values() if seat.presence is Presence.UNREACHABLE]
        await announce.tell_unreachable(unit, scene, lost)
        return session

    async def _run_errands(self, unit: Unit, scene: Scene) -> Session:
        """Relay what was fetched, give the receipts that are due; returns the session with the errands left."""
        left = []
        for errand in scene.plan.errands:
            if errand.relays is not None and errand.relays in self._fetched:
                event = self._fetched.pop(errand.relays)
                found = None if event is None else to_relay(event)
                if event is not None and event.get("sender") == self._host.me and await announce.has_text(unit, errand):
                    pass  # words in reply to what the bot said are an answer to it, and meant without it
                elif found is not None:
                    if not await announce.send_on(unit, scene, errand, found):
                        continue
                elif not await announce.cannot_relay(unit, scene, errand):
                    continue
                left.append(replace(errand, relays=None))
            elif errand.relays is not None or not await announce.give_receipt(unit, scene, errand):
                left.append(errand)
        return replace(scene.plan, errands=tuple(left))

    async def _fetch(self, errands: Sequence[Errand]) -> bool:
        """Fetch the messages that moderators want relayed; True where one came, or turned out not to be had."""
        came = False
        for errand in errands:
            now = self._host.clock.now()
            if errand.relays is None or self._fetch_at.get(errand.event, now) > now:
                continue
            event: RawEvent | None = None
            try:
                event = await self._host.homeserver.event(RoomId(errand.asked_in), EventId(errand.relays))
            except Permanent as error:
                log.info("a message to relay cannot be had", why=error.errcode)
            except Temporary as error:
                self._fetch_at[errand.event] = now + (error.retry_after or ERRAND_PAUSE)
                continue
            self._fetch_at.pop(errand.event, None)
            self._fetched[errand.relays] = event
            came = True
        return came

    async def _adopted(self, unit: Unit, session: Session, ours: Ours) -> Session:
        """A former session with the rooms that came to light late; time stands still for it."""
        seen, _ = _found(session, ours)
        return await Sessions(unit.connection).save(seen, retired=True) if seen != session else session

    async def _scene(self, unit: Unit, hall: Hall, desk: Desk | None, session: Session | None) -> Scene:
        return await scene_of(unit, self._host, self._config, hall, desk, session)

    async def _seen(self, unit: Unit, hall: Hall, session: Session, ours: Ours) -> tuple[Session, list[Notice]]:
        """Note what is so already though the seats do not know it: an invite whose answer was lost, say."""
        before = session
        session, notices = _found(session, ours)
        for room in session.rooms:
            if room.room_id is not None and before.room(room.number).room_id is None:
                self._pauses[hall.id].found((session.id, room.number), unit.now)
        if not session.invites:
            return session, notices
        for room in session.open_rooms if session.is_open else ():
            power = await unit.rooms.content(RoomId(room.room_id or ""), "m.room.power_levels") if room.locked else None
            if power is not None and not is_locked(power):
                session = _added(unlocked(session, room.number, now=unit.now), notices)
        rooms = [RoomId(room.room_id) for room in session.open_rooms if room.room_id is not None]
        members = await members_in(unit.rooms, rooms, self._host.me)
        seats_a_room = capacity(session, hall.people)
        for seat in session.seats.values():
            member = members.get(session.room(seat.room).room_id or "", {}).get(seat.user)
            if member is None or seat.user in session.passed:
                continue
            change = seat_found(
                session,
                seat,
                member,
                fresh=before.room(seat.room).room_id is None,
                moderator=seat.user in hall.moderators,
                now=unit.now,
                settings=self._settings,
                capacity=seats_a_room,
            )
            session = _added(change, notices)
        return session, notices

    async def _adopt_desk(self, unit: Unit, desk: Desk | None, ours: Ours) -> Desk | None:
        if desk is None or desk.room is not None or (found := _with_key(ours, desk.creation_key)) is None:
            return desk
        desk = replace(desk, room=found)
        await Sessions(unit.connection).save_desk(desk)
        self._pauses[RoomId(desk.main)].found(("", DESK), unit.now)
        return desk

    def _paced(self, session: Session) -> Settings:
        """The settings with all that goes out room by room beginning early enough for the last room."""
        return paced(self._settings, session, self._host.limits.pace())

    # --- planning

    async def _plan(self, unit: Unit, hall: Hall, desk: Desk | None, session: Session) -> list[Task]:
        scene = await self._scene(unit, hall, desk, session)
        texts = {room.number: texts_of(scene, room) for room in session.rooms}
        wishes = desired(session, hall.for_rules(), desk.room if desk else None, texts, self._options)
        seen: dict[int, SeenRoom] = {}
        told = set()
        for wish in wishes:
            if wish.room_id and (room := await see(unit.rooms, RoomId(wish.room_id), self._host.me)):
                seen[wish.number] = room
            if wish.closing and await announce.is_told_closed(unit, session, wish.number):
                told.add(wish.number)
        steps = plan(wishes, Observed(seen, frozenset(told)), own_server=server_of(self._host.me))
        pauses = self._pauses[hall.id]
        unlocked = (step for step in steps if step.stage is Stage.LOCK)
        locked = all(pauses.has_failed((session.id, step.number), Stage.LOCK) for step in unlocked)
        await announce.let_closing_go(unit, session, locked=locked)
        return self._tasks(hall, session, steps)

    async def _plan_desk(self, unit: Unit, hall: Hall, desk: Desk) -> list[Task]:
        if desk.room is None and not desk.wanted:
            return []
        if desk.room is not None and not desk.wanted:
            last = await unit.outbox.sent(announce.desk_closing_key(desk.room))
            if last is not None and not last.settled:
                return []
        texts = desk_texts(await self._scene(unit, hall, desk, None))
        wish = desk_wish(desk.room, desk.creation_key, hall.for_rules(), texts, self._options, wanted=desk.wanted)
        room = await see(unit.rooms, RoomId(desk.room), self._host.me) if desk.room else None
        observed = Observed({wish.number: room} if room else {})
        return self._tasks(hall, None, plan([wish], observed, own_server=server_of(self._host.me)))

    async def _plan_strays(self, unit: Unit, hall: Hall, strays: Iterable[RoomId]) -> list[Task]:
        """Rooms that we made and that nobody knows of: everybody is sent out of them, and the bot leaves."""
        tasks: list[Task] = []
        for index, room in enumerate(sorted(strays)):
            seen = await see(unit.rooms, room, self._host.me)
            if seen is None:
                continue
            texts = stray_texts(await self._scene(unit, hall, None, None))
            wish = stray_wish(STRAYS - index, room, hall.for_rules(), texts, self._options)
            steps = plan([wish], Observed({wish.number: seen}), own_server=server_of(self._host.me))
            tasks += self._tasks(hall, None, steps)
        return tasks

    def _tasks(self, hall: Hall, session: Session | None, steps: Sequence[Step]) -> list[Task]:
        return [
            Task(hall.id, session.id if session else None, session.phase if session else None, step) for step in steps
        ]


def _without_people(
    session: Session, hall: Hall, now: datetime, settings: Settings
) -> tuple[Session, tuple[Notice, ...]]:
    """The session after people have gone from the main room: one whom nobody is left to command is over."""
    if session.phase is Phase.DELETED:
        return session, ()
    if not hall.people:
        over = deleted(session, now=now)
        return over.session, tuple(notice for notice in over.notices if isinstance(notice, RoomClosed))
    session = gone_people(session, hall.people)
    return session, unattended(session, hall.people, settings)


def _added(change: Change[None], notices: list[Notice]) -> Session:
    """The session of a change, its notices put to the others."""
    notices.extend(change.notices)
    return change.session


def _found(session: Session, ours: Ours) -> tuple[Session, list[Notice]]:
    """Adopt rooms that bear our marker: a call that seemed to fail made them."""
    notices: list[Notice] = []
    for room in session.rooms:
        if room.room_id is None and not room.closed and (found := _with_key(ours, creation_key(session, room))):
            # How it was made is seen next, where people are to talk there already.
            session = _added(room_made(session, room.number, found, locked=session.is_open), notices)
    return session, notices


def _with_key(ours: Ours, key: str) -> RoomId | None:
    """The room of this creation key; of twins always the same one."""
    return min((room for room, other in ours.items() if other == key), default=None)


def _ids(desk: Desk | None, sessions: Sequence[Session]) -> set[str | None]:
    """The ids of the rooms of a main room that are not left for good."""
    rooms = {room.room_id for session in sessions for room in session.rooms if not room.closed}
    return {desk.room if desk else None, *rooms}

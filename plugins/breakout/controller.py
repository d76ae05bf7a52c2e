"""Observe, plan, carry out: makes the rooms of one main room what they should be, one stage at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bot.errors import Permanent
from bot.matrix.events import RawEvent
from bot.matrix.ids import EventId, RoomId, server_of
from bot.plugin import Host, Unit
from plugins.breakout import announce
from plugins.breakout.carry_out import CarryOut, Task
from plugins.breakout.config import BreakoutConfig
from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.observed import invited, membership, room_made
from plugins.breakout.domain.changes.people import capacity
from plugins.breakout.domain.desired import Observed, Options, SeenRoom, creation_key, desired, desk_wish
from plugins.breakout.domain.model import Errand, Phase, Presence, Session
from plugins.breakout.domain.moments import advance, next_moment
from plugins.breakout.domain.notices import Notice
from plugins.breakout.domain.plan import Stage, Step, plan
from plugins.breakout.observe import Hall, look, room_by_key, see
from plugins.breakout.scene import Scene, scene_of
from plugins.breakout.store import Desk, Sessions
from plugins.breakout.views import desk_texts, texts_of


@dataclass(frozen=True, slots=True)
class Work:
    """What one look at a main room found to do, and when to look again where nothing is."""

    tasks: tuple[Task, ...]
    again: datetime | None
    errands: tuple[Errand, ...] = ()


class Controller:
    """The work function of the plugin's reconciler."""

    def __init__(self, host: Host, config: BreakoutConfig) -> None:
        self._host, self._config = host, config
        self._settings = config.settings()
        self._options = Options(tuple(config.call_event_types), config.history_visibility)
        self._carry_out = CarryOut(host, config)
        self._fetched: dict[str, RawEvent | None] = {}
        """Messages to relay, between their fetching and their relaying; None where they cannot be had."""

    async def converge(self, key: str) -> datetime | None:
        """Make the rooms of the main room `key` what they should be; returns when time will change that.

        Each stage of a plan is followed by a new look, so that what was asked meanwhile (`end` during a start)
        counts at once.
        """
        while True:
            work = await self._look(RoomId(key))
            if await self._fetch(work.errands):
                continue
            if not work.tasks:
                return work.again
            stage = min(task.step.stage for task in work.tasks)
            await self._carry_out.stage([task for task in work.tasks if task.step.stage is stage])

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
        desk = await self._adopt_desk(unit, await sessions.desk(main))
        tasks: list[Task] = []
        again = None
        current = await sessions.get(main)
        if current is not None:
            current = await self._passed(unit, hall, desk, current)
            again = next_moment(current, self._settings)
            tasks += await self._plan(unit, hall, desk, current)
        for former in await sessions.retired(main):
            if current is None or former.id != current.id:
                tasks += await self._plan(unit, hall, desk, await self._adopted(unit, former))
        if desk is not None:
            tasks += await self._plan_desk(unit, hall, await sessions.desk(main) or desk)
        await unit.alarms.ring(main, again)
        return Work(tuple(tasks), again, current.errands if current else ())

    async def _passed(self, unit: Unit, hall: Hall, desk: Desk | None, session: Session) -> Session:
        """The session after what was seen and after the time that passed, said and saved."""
        before = session
        session, notices = await self._seen(unit, hall, session)
        session = _added(advance(session, now=unit.now, settings=self._settings), notices)
        if session.phase is Phase.DELETED and desk is not None:
            await Sessions(unit.connection).save_desk(replace(desk, wanted=False))
        session = await self._run_errands(unit, await self._scene(unit, hall, desk, session))
        if session != before:
            session = await Sessions(unit.connection).save(session)
        scene = await self._scene(unit, hall, desk, session)
        await announce.announce(unit, scene, notices)
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
                if event is None:
                    await announce.cannot_relay(unit, scene, errand)
                    continue
                await announce.send_copy(unit, scene, errand, str(event["type"]), event["content"])
                left.append(replace(errand, relays=None))
            elif errand.relays is not None or not await announce.give_receipt(unit, scene, errand):
                left.append(errand)
        return replace(scene.plan, errands=tuple(left))

    async def _fetch(self, errands: Sequence[Errand]) -> bool:
        """Fetch the messages that moderators want relayed; True where something was to fetch."""
        wanted = [errand for errand in errands if errand.relays is not None]
        for errand in wanted:
            assert errand.relays is not None  # noqa: S101 - see above
            try:
                room = RoomId(errand.asked_in)
                self._fetched[errand.relays] = await self._host.homeserver.event(room, EventId(errand.relays))
            except Permanent:
                self._fetched[errand.relays] = None
        return bool(wanted)

    async def _adopted(self, unit: Unit, session: Session) -> Session:
        """A former session with the rooms that came to light late; time stands still for it."""
        seen, _ = await self._found(unit, session)
        return await Sessions(unit.connection).save(seen, retired=True) if seen != session else session

    async def _scene(self, unit: Unit, hall: Hall, desk: Desk | None, session: Session | None) -> Scene:
        return await scene_of(unit, self._host, self._config, hall, desk, session)

    async def _found(self, unit: Unit, session: Session) -> tuple[Session, list[Notice]]:
        """Adopt rooms that bear our marker: a call that seemed to fail made them."""
        notices: list[Notice] = []
        for room in session.rooms:
            if room.room_id is None and not room.closed:
                found = await room_by_key(unit.rooms, creation_key(session, room))
                if found is not None:
                    session = _added(room_made(session, room.number, found), notices)
        return session, notices

    async def _seen(self, unit: Unit, hall: Hall, session: Session) -> tuple[Session, list[Notice]]:
        """Note what is so already though the seats do not know it: an invite whose answer was lost, say."""
        session, notices = await self._found(unit, session)
        if session.phase is not Phase.RUNNING:
            return session, notices
        for seat in session.seats.values():
            room_id = session.room(seat.room).room_id
            if seat.presence is not Presence.ASSIGNED or room_id is None or seat.user in session.passed:
                continue
            there = await unit.rooms.content(RoomId(room_id), "m.room.member", seat.user) or {}
            if there.get("membership") in ("invite", "join"):
                change = invited(session, seat.user, seat.room, now=unit.now, settings=self._settings)
                session = _added(change, notices)
            if there.get("membership") == "join":
                joined = membership(
                    session,
                    seat.room,
                    seat.user,
                    before="invite",
                    after="join",
                    by_self=True,
                    by_bot=False,
                    moderator=seat.user in hall.moderators,
                    now=unit.now,
                    capacity=capacity(session, hall.people),
                )
                session = _added(joined, notices)
        return session, notices

    async def _adopt_desk(self, unit: Unit, desk: Desk | None) -> Desk | None:
        if desk is None or desk.room is not None:
            return desk
        found = await room_by_key(unit.rooms, desk.creation_key)
        if found is None:
            return desk
        desk = replace(desk, room=found)
        await Sessions(unit.connection).save_desk(desk)
        return desk

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
        if session.phase is Phase.ENDED and not any(step.stage is Stage.LOCK for step in steps):
            await unit.outbox.release(announce.closing_group(session))
        return self._tasks(hall, session, steps)

    async def _plan_desk(self, unit: Unit, hall: Hall, desk: Desk) -> list[Task]:
        if desk.room is None and not desk.wanted:
            return []
        texts = desk_texts(await self._scene(unit, hall, desk, None))
        wish = desk_wish(desk.room, desk.creation_key, hall.for_rules(), texts, self._options, wanted=desk.wanted)
        room = await see(unit.rooms, RoomId(desk.room), self._host.me) if desk.room else None
        observed = Observed({wish.number: room} if room else {})
        return self._tasks(hall, None, plan([wish], observed, own_server=server_of(self._host.me)))

    def _tasks(self, hall: Hall, session: Session | None, steps: Sequence[Step]) -> list[Task]:
        return [
            Task(hall.id, session.id if session else None, session.phase if session else None, step) for step in steps
        ]


def _added(change: Change[None], notices: list[Notice]) -> Session:
    """The session of a change, its notices put to the others."""
    notices.extend(change.notices)
    return change.session

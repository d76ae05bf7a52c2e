"""Carries out the steps of a plan through the ports, and notes what came of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import groupby

import structlog

from bot.errors import Outdated, Permanent, RateLimited, Temporary
from bot.matrix.ids import RoomId, UserId, server_of
from bot.matrix.ports import Blueprint, InitialState, Urgency
from bot.plugin import Host, Unit
from plugins.breakout import announce
from plugins.breakout.config import BreakoutConfig
from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes.observed import (
    brought_in,
    invited,
    must_tap,
    room_closed,
    room_made,
    unlocked,
    unreachable,
)
from plugins.breakout.domain.desired import DESK, ENCRYPTED, ENCRYPTION, MARKER, RoomWish, is_locked
from plugins.breakout.domain.model import Phase, Presence, Session
from plugins.breakout.domain.notices import Notice
from plugins.breakout.domain.pauses import LONGEST_PAUSE, Pauses, Place
from plugins.breakout.domain.plan import (
    Ban,
    BringIn,
    Go,
    Invite,
    MakeRoom,
    Remove,
    SetState,
    Stage,
    Step,
    Unban,
    is_wanted,
)
from plugins.breakout.metrics import Metrics
from plugins.breakout.observe import look
from plugins.breakout.scene import Scene, scene_of
from plugins.breakout.store import Sessions
from plugins.breakout.under_way import UnderWay

log = structlog.get_logger(__name__)

ROOMS_AT_ONCE = 6
"""Beyond that only latency grows (measured on Synapse)."""

TOLD_AT = 7
"""Failures in a row, a minute's worth, of which the moderators hear."""

NOTED_AT_ONCE = 10
"""Steps of one room whose outcome is noted in one transaction; a kill before it is mended by what sync shows."""


@dataclass(frozen=True, slots=True)
class Task:
    """A step for a session's room, or for the desk (no session)."""

    main: RoomId
    session: str | None
    phase: Phase | None
    """The session's when the step was planned: in another one, it is outdated."""
    step: Step

    @property
    def place(self) -> Place:
        """Whose room the step is about: steps of one place go one after another."""
        return self.session or "", self.step.number


class OvertakenError(Exception):
    """The session has moved on; what is left of the plan is outdated."""


Note = Callable[[Session, Unit], Change[None]]
"""What a step that was carried out changes on its session."""


@dataclass(slots=True)
class Outcome:
    """What is to be noted of one step: room state that holds now, a change of the session, the desk's room."""

    state: tuple[tuple[RoomId, str, str, dict[str, object], str], ...] = ()
    note: Note | None = None
    desk: str | None = None
    gone: RoomId | None = None
    is_creation: bool = False
    refused: bool = False
    """The homeserver refuses it, which is noted instead."""


class CarryOut:
    """Steps over different rooms go side by side, those of one room one after another."""

    def __init__(self, host: Host, config: BreakoutConfig, metrics: Metrics) -> None:
        self._host, self._config, self._metrics = host, config, metrics
        self._settings = config.settings()
        self._read: tuple[int, str, Session | None] | None = None
        """The session that was read last, and after how many commits."""
        self._alone: set[str] = set()
        """Creation keys whose invitees let `createRoom` fail: these rooms are made without."""

    def stage(self, tasks: Sequence[Task], pauses: Pauses, under_way: UnderWay, until: datetime | None = None) -> None:
        """Set about the tasks of one stage, a room that fails for now making no other one wait.

        Few rooms at a time: each is complete before the next one begins, so that some can begin early. What is not
        done at `until`, when time has something to say, is left for the next look.
        """
        gate = asyncio.Semaphore(ROOMS_AT_ONCE)

        async def go(of_room: Sequence[Task]) -> None:
            async with gate:
                await self._room(of_room, pauses, until)

        for place, of_room in groupby(sorted(tasks, key=lambda task: task.place), key=lambda task: task.place):
            under_way.begin(tasks[0].step.stage, place, go(tuple(of_room)))

    async def _room(self, tasks: Sequence[Task], pauses: Pauses, until: datetime | None) -> None:
        """One room's tasks in order; what succeeded is noted even where a later one fails."""
        place, stage = tasks[0].place, tasks[0].step.stage
        try:
            await self._one_after_another(tasks, until)
        except OvertakenError:
            return
        except Temporary as error:
            failures = pauses.failed(place, stage, self._host.clock.now(), error.retry_after)
            log.info("a room goes on later", main=tasks[0].main, room=place[1], why=error.reason)
            if failures == TOLD_AT and not isinstance(error, RateLimited):
                await self._tell_stuck(tasks, error.reason)
        except Permanent as error:
            pauses.failed(place, stage, self._host.clock.now(), LONGEST_PAUSE)
            log.warning("a room cannot go on", main=tasks[0].main, room=place[1], why=str(error))
            await self._tell_stuck(tasks, error.message)
        else:
            pauses.succeeded(place, stage)

    async def _one_after_another(self, tasks: Sequence[Task], until: datetime | None) -> None:
        """What concerns one person does not keep the others waiting: its failure is raised when they are through."""
        done: list[Outcome] = []
        failure: Temporary | Permanent | None = None
        try:
            for task in tasks:
                if until is not None and self._host.clock.now() >= until:
                    raise OvertakenError(task.session)
                try:
                    if await self._is_wanted(task):
                        done.append(await self._counted(task))
                except Outdated:
                    continue
                except RateLimited:
                    raise
                except (Temporary, Permanent) as error:
                    if not isinstance(task.step, Invite | BringIn | Remove | Ban):
                        raise
                    failure = failure or error
                if len(done) >= NOTED_AT_ONCE:
                    noted, done = done, []
                    await self._note(task, noted)
        finally:
            if done:
                await self._note(tasks[0], done)
        if failure is not None:
            raise failure

    async def _is_wanted(self, task: Task) -> bool:
        """Whether the step still fits the session; raises `OvertakenError` where that is in another phase by now."""
        if task.session is None:
            return True
        session = await self._session(task.session)
        if session is None or session.phase is not task.phase:
            raise OvertakenError(task.session)
        return is_wanted(task.step, session)

    async def _still_wanted(self, task: Task) -> bool:
        """The same, when the turn of its request has come."""
        try:
            return await self._is_wanted(task)
        except OvertakenError:
            return False

    async def _session(self, id_: str) -> Session | None:
        """The session as it is; it is asked for before each step, and again when its turn has come."""
        commits = self._host.database.commits
        if self._read is None or self._read[:2] != (commits, id_):
            async with self._host.database.read() as connection:
                self._read = commits, id_, await Sessions(connection).of_id(id_)
        return self._read[2]

    async def _tell_stuck(self, tasks: Sequence[Task], why: str) -> None:
        """The moderators hear, once a round, of a room that cannot be made, and of people who cannot be invited yet."""
        task, number = tasks[0], tasks[0].step.number
        asked = {task.step.user for task in tasks if isinstance(task.step, Invite | BringIn)}
        async with self._host.unit() as unit:
            session = await Sessions(unit.connection).get(task.main)
            if session is None or session.id != task.session:
                return
            scene = await self._scene(unit, task.main, session)
            waiting = [s.user for s in session.people_of(number) if s.user in asked and s.presence is Presence.ASSIGNED]
            if isinstance(task.step, MakeRoom):
                await announce.tell_not_made(unit, scene, number, why)
            elif waiting:
                await announce.tell_not_invited_yet(unit, scene, waiting, number, why)

    async def _note(self, task: Task, done: Sequence[Outcome]) -> None:
        """Save what the outcomes change; raises `OvertakenError` where the session is in another phase by now."""
        async with self._host.unit() as unit:
            for outcome in done:
                for room, type_, key, content, sender in outcome.state:
                    if outcome.is_creation and await unit.rooms.content(room, type_, key) is not None:
                        continue  # sync was faster, and knows what came after the creation
                    await unit.rooms.assume(room, type_, key, content, sender)
                if outcome.gone is not None:
                    await unit.rooms.forget(outcome.gone)
                    await unit.outbox.drop_room(outcome.gone)
            overtaken = await self._note_session(unit, task, done)
        if overtaken:
            raise OvertakenError(task.session)

    async def _note_session(self, unit: Unit, task: Task, done: Sequence[Outcome]) -> bool:
        sessions = Sessions(unit.connection)
        if task.session is None:
            await self._note_desk(sessions, task.main, done)
            return False
        before = await sessions.of_id(task.session)
        if before is None:
            return True
        session = before
        notices: list[Notice] = []
        for outcome in done:
            if outcome.note is not None:
                change = outcome.note(session, unit)
                session = change.session
                notices.extend(change.notices)
        current = await sessions.get(task.main)
        is_current = current is not None and current.id == session.id
        if session != before:
            session = await sessions.save(session, retired=not is_current)
        if is_current:
            await self._say(unit, task.main, session, notices)
        return session.phase is not task.phase

    async def _note_desk(self, sessions: Sessions, main: RoomId, done: Sequence[Outcome]) -> None:
        desk = await sessions.desk(main)
        for outcome in done:
            if desk is None or outcome.desk is None:
                continue
            if outcome.gone:
                desk = replace(desk, room=None, attempt=desk.attempt + 1)
            else:
                desk = replace(desk, room=outcome.desk)
            await sessions.save_desk(desk)

    async def _say(self, unit: Unit, main: RoomId, session: Session, notices: Sequence[Notice]) -> None:
        scene = await self._scene(unit, main, session)
        await announce.announce(unit, scene, notices)
        await announce.show_progress(unit, scene, self._host.limits.pace(), server_of(self._host.me))

    async def _scene(self, unit: Unit, main: RoomId, session: Session) -> Scene:
        hall = await look(unit, self._config, self._host.me, main)
        desk = await Sessions(unit.connection).desk(main)
        return await scene_of(unit, self._host, self._config, hall, desk, session)

    # --- the steps

    async def _counted(self, task: Task) -> Outcome:
        outcome = "again"
        try:
            came = await self._carry_out(task)
            outcome = "refused" if came.refused else "done"
        except RateLimited:
            outcome = "throttled"
            raise
        except Outdated:
            outcome = "outdated"
            raise
        except Permanent:
            outcome = "refused"
            raise
        finally:
            self._metrics.stepped(task.main, task.step, outcome)
        return came

    async def _carry_out(self, task: Task) -> Outcome:
        match task.step:
            case MakeRoom() as step:
                return await self._make(task, step)
            case Invite() as step:
                return await self._invite(task, step)
            case BringIn() as step:
                return await self._bring_in(step)
            case Remove() as step:
                remove, wanted = self._host.homeserver.remove, partial(self._still_wanted, task)
                call = remove(RoomId(step.room_id), UserId(step.user), step.reason, wanted)
                return await self._take_out(step, call, "leave")
            case Ban() as step:
                act = self._host.homeserver.ban
                return await self._take_out(step, act(RoomId(step.room_id), UserId(step.user), step.reason), "ban")
            case Unban() as step:
                await self._host.homeserver.unban(RoomId(step.room_id), UserId(step.user))
                return self._member(step.room_id, step.user, "leave")
            case SetState() as step:
                return await self._set_state(task, step)
            case Go() as step:
                return await self._go(task, step)
            case _:
                raise TypeError(task.step)

    async def _make(self, task: Task, step: MakeRoom) -> Outcome:
        wish = step.wish
        invite = () if wish.creation_key in self._alone else await self._still_invited(task, step)
        blueprint = self._blueprint(wish, invite)

        async def wanted() -> bool:
            invites = not invite or invite == await self._still_invited(task, step)
            return invites and await self._still_wanted(task)

        try:
            room = await self._host.homeserver.create(blueprint, wish.creation_key, wanted)
        except Permanent:
            if not invite:
                raise
            # Somebody refuses invites, or is unknown: the room may exist without its id being told. If sync shows
            # it, it is adopted; else it is made without invitees, who are then invited one by one.
            self._alone.add(wish.creation_key)
            raise Temporary("a room was refused with its invitees") from None
        state = [
            (room, "m.room.create", "", {"room_version": "11"}, self._host.me),
            (room, "m.room.power_levels", "", dict(wish.power), self._host.me),
            (room, "m.room.name", "", {"name": wish.texts.name}, self._host.me),
            (room, "m.room.topic", "", {"topic": wish.texts.topic}, self._host.me),
            *((room, entry.type, entry.state_key, dict(entry.content), self._host.me) for entry in blueprint.state),
            *self._member(room, self._host.me, "join").state,
        ]
        for user in invite:
            state += self._member(room, user, "invite").state
        if task.session is None:
            return Outcome(tuple(state), desk=room, is_creation=True)

        def note(session: Session, unit: Unit) -> Change[None]:
            change = room_made(session, step.number, room, locked=wish.locked)
            notices = list(change.notices)
            for user in invite:
                change = invited(change.session, user, step.number, now=unit.now, settings=self._settings)
                notices += change.notices
            return Change(change.session, None, tuple(notices))

        return Outcome(tuple(state), note, is_creation=True)

    async def _still_invited(self, task: Task, step: MakeRoom) -> tuple[str, ...]:
        """Whom to invite at the creation: somebody may have been moved, or have gone, since the step was planned."""
        if task.session is None:
            return step.invite
        session = await self._session(task.session)
        return tuple(
            user
            for user in step.invite
            if session is not None and is_wanted(Invite(step.number, step.stage, "", user, ""), session)
        )

    def _blueprint(self, wish: RoomWish, invite: Sequence[str]) -> Blueprint:
        return Blueprint(
            name=wish.texts.name,
            topic=wish.texts.topic,
            power=wish.power,
            state=(
                InitialState("m.room.join_rules", wish.join_rules),
                InitialState("m.room.history_visibility", {"history_visibility": wish.history_visibility}),
                InitialState("m.room.guest_access", {"guest_access": "forbidden"}),
                InitialState(MARKER, dict(wish.marker)),
                *((InitialState(ENCRYPTION, dict(ENCRYPTED)),) if wish.encrypted else ()),
            ),
            invite=tuple(UserId(user) for user in invite),
        )

    async def _invite(self, task: Task, step: Invite) -> Outcome:
        def note(session: Session, unit: Unit) -> Change[None]:
            return invited(session, step.user, step.number, now=unit.now, settings=self._settings)

        try:
            wanted = partial(self._still_wanted, task)
            await self._host.homeserver.invite(RoomId(step.room_id), UserId(step.user), step.reason, wanted)
        except Permanent as refused:
            problem = refused.message
            if step.number == DESK:  # a moderator who cannot be had there counts as one who does not want to be
                left: dict[str, object] = {"membership": "leave"}
                row = (RoomId(step.room_id), "m.room.member", step.user, left, step.user)
                return Outcome((row,), refused=True)

            def failed(session: Session, unit: Unit) -> Change[None]:
                return unreachable(session, step.user, step.number, problem, now=unit.now, settings=self._settings)

            return Outcome(note=failed, refused=True)
        return Outcome(self._member(step.room_id, step.user, "invite").state, note)

    async def _bring_in(self, step: BringIn) -> Outcome:
        """Who cannot be brought in is left an invite, which the next pass sends where there is none."""
        try:
            await self._host.homeserver.bring_in(RoomId(step.room_id), UserId(step.user))
        except Permanent as refused:
            log.warning("somebody has to accept their invite, though members is force_join", why=str(refused))
            return Outcome(note=lambda session, _unit: must_tap(session, step.user, step.number))

        def note(session: Session, unit: Unit) -> Change[None]:
            return brought_in(session, step.user, step.number, now=unit.now, settings=self._settings)

        return Outcome(self._member(step.room_id, step.user, "join").state, note)

    async def _take_out(self, step: Remove | Ban, call: Awaitable[None], membership: str) -> Outcome:
        await call
        return self._member(step.room_id, step.user, membership)

    async def _set_state(self, task: Task, step: SetState) -> Outcome:
        room = RoomId(step.room_id)
        urgency = Urgency.REMOVE if step.stage is Stage.SHUT else Urgency.LOCK
        await self._host.homeserver.set_state(room, step.type, dict(step.content), urgency=urgency)
        state = ((room, step.type, "", dict(step.content), self._host.me),)
        if task.session is None or step.type != "m.room.power_levels" or is_locked(step.content):
            return Outcome(state)
        return Outcome(state, lambda session, unit: unlocked(session, step.number, now=unit.now))

    async def _go(self, task: Task, step: Go) -> Outcome:
        room = RoomId(step.room_id)
        await self._host.homeserver.leave(room)
        if task.session is None:
            return Outcome(desk="" if step.number == DESK else None, gone=room)
        return Outcome(note=lambda session, _unit: room_closed(session, step.number), gone=room)

    def _member(self, room: str, user: str, membership: str) -> Outcome:
        """What the room-state table says from now on of a person, until sync says more."""
        content: dict[str, object] = {"membership": membership}
        row = (RoomId(room), "m.room.member", user, content, self._host.me)
        return Outcome((row,))

"""Whatever people and time do, in whatever order: the session stays one that makes sense."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from plugins.breakout.domain.change import Change
from plugins.breakout.domain.changes import ending, observed, people, preparing, rooms, seats, setup, starting, timing
from plugins.breakout.domain.changes import help as help_changes
from plugins.breakout.domain.changes.setup import Layout
from plugins.breakout.domain.model import MOVES, Door, Mode, OnEnd, Person, Phase, Presence, Session, Settings
from plugins.breakout.domain.moments import advance, next_moment
from plugins.breakout.domain.refusals import Refusal

MODERATORS = ("@m1:x", "@m2:x")
USERS = st.sampled_from([*(f"@p{n}:x" for n in range(9)), MODERATORS[0]])
NUMBERS = st.integers(1, 6)
LENGTHS = st.sampled_from([timedelta(seconds=20), timedelta(minutes=1), timedelta(minutes=20)])
MODES = st.sampled_from(Mode)
PEOPLE_ONLY = st.integers(0, 8).map(lambda n: f"@p{n}:x")


def reachable(start: Phase) -> set[Phase]:
    """The phases that one change may lead to: one move, or an end on the way to the deletion."""
    return {start, *MOVES[start], *(after for step in MOVES[start] for after in MOVES[step])}


class Hall(RuleBasedStateMachine):
    """One main room, its people, and everything that may happen there."""

    session: Session

    @initialize(
        count=st.integers(0, 8),
        rooms=st.integers(1, 4),
        mode=MODES,
        on_end=st.sampled_from(OnEnd),
        door=st.sampled_from(Door),
    )
    def begin(self, count: int, rooms: int, mode: Mode, on_end: OnEnd, door: Door) -> None:
        self.settings = Settings(confirm_above=6, on_end=on_end, door=door)
        self.now = datetime.fromisoformat("2026-03-02T14:00:00+00:00")
        self.rng = Random(1)
        self.made = 0
        self.keys: set[str] = set()
        self.people = {user: Person(user, user, moderator=True) for user in MODERATORS}
        self.people |= {f"@p{n}:x": Person(f"@p{n}:x", f"P{n}") for n in range(count)}
        self.session = self._set_up(None, Layout(count=rooms, mode=mode)).session

    def _set_up(self, session: Session | None, layout: Layout) -> Change[setup.SetUp]:
        self.made += 1
        return setup.set_up(
            session,
            layout,
            main="!main:x",
            session_id=f"s{self.made}",
            by=MODERATORS[0],
            people=self._all(),
            settings=self.settings,
            rng=self.rng,
        )

    def _all(self) -> list[Person]:
        return list(self.people.values())

    def _try(self, decide: Callable[[], Change[object]]) -> None:
        try:
            change = decide()
        except Refusal:
            return
        self._accept(change)

    def _accept(self, change: Change[object]) -> None:
        former, self.session = self.session, change.session
        if former.id == self.session.id:
            assert self.session.phase in reachable(former.phase)
        keys = [notice.key for notice in change.notices]
        assert len(set(keys)) == len(keys)

    @rule(mode=MODES, layout=st.sampled_from([Layout(count=3), Layout(group_size=3), Layout(names=("A", "B"))]))
    def set_up(self, mode: Mode, layout: Layout) -> None:
        asked = Layout(count=layout.count, names=layout.names, group_size=layout.group_size, mode=mode)
        self._try(lambda: self._set_up(self.session, asked))

    @rule(pairs=st.lists(st.tuples(USERS, NUMBERS), min_size=1, max_size=4))
    def assign(self, pairs: list[tuple[str, int]]) -> None:
        known = {room.number for room in self.session.open_rooms}
        wanted = [(user, number) for user, number in pairs if number in known]
        self._try(lambda: seats.assign(self.session, wanted, people=self._all()))

    @rule(first=USERS, second=USERS)
    def swap(self, first: str, second: str) -> None:
        self._try(lambda: seats.swap(self.session, first, second))

    @rule(user=USERS)
    def unassign(self, user: str) -> None:
        self._try(lambda: seats.unassign(self.session, [user]))

    @rule(fill=st.booleans())
    def deal(self, fill: bool) -> None:
        if fill:
            self._try(lambda: seats.fill(self.session, people=self._all(), rng=self.rng))
        else:
            self._try(lambda: seats.shuffle(self.session, people=self._all(), rng=self.rng, really=True))

    @rule(user=USERS, number=NUMBERS, back=st.booleans())
    def choose(self, user: str, number: int, back: bool) -> None:
        if number not in {room.number for room in self.session.open_rooms}:
            return
        if back:
            self._try(lambda: seats.unchoose(self.session, user, number))
        else:
            self._try(lambda: seats.choose(self.session, user, number, people=self._all()))

    @rule(user=USERS, again=st.booleans())
    def pass_or_rejoin(self, user: str, again: bool) -> None:
        if again:
            self._try(
                lambda: seats.rejoin(self.session, user, people=self._all(), now=self.now, settings=self.settings)
            )
        else:
            self._try(lambda: seats.pass_round(self.session, user))

    @rule(name=st.sampled_from(["Gamma", "Delta", "Room 9", "all"]))
    def add_room(self, name: str) -> None:
        self._try(lambda: rooms.add_rooms(self.session, [name], settings=self.settings))

    @rule(number=NUMBERS)
    def remove_room(self, number: int) -> None:
        if number in {room.number for room in self.session.open_rooms}:
            self._try(lambda: rooms.remove_room(self.session, number, now=self.now))

    @rule(by=st.sampled_from(MODERATORS), confirmed=st.booleans())
    def prepare(self, by: str, confirmed: bool) -> None:
        self._try(
            lambda: preparing.prepare(
                self.session,
                by=by,
                people=self._all(),
                now=self.now,
                settings=self.settings,
                rng=self.rng,
                key="p",
                confirmed=confirmed,
            )
        )

    @rule(limit=st.none() | LENGTHS, by=st.sampled_from(MODERATORS))
    def start(self, limit: timedelta | None, by: str) -> None:
        self._try(
            lambda: starting.start(
                self.session,
                by=by,
                people=self._all(),
                now=self.now,
                settings=self.settings,
                rng=self.rng,
                key="q",
                limit=limit,
            )
        )

    @rule(by=st.sampled_from(MODERATORS))
    def confirm(self, by: str) -> None:
        self._try(
            lambda: starting.confirm(
                self.session, by=by, people=self._all(), now=self.now, settings=self.settings, rng=self.rng
            )
        )

    @rule(length=st.none() | LENGTHS)
    def timer(self, length: timedelta | None) -> None:
        self._try(lambda: timing.set_timer(self.session, length, now=self.now, settings=self.settings))

    @rule(length=LENGTHS)
    def extend(self, length: timedelta) -> None:
        self._try(lambda: timing.extend(self.session, length, now=self.now, settings=self.settings))

    @rule(by=st.sampled_from(MODERATORS), notice=st.none() | LENGTHS)
    def end(self, by: str, notice: timedelta | None) -> None:
        self._try(lambda: ending.end(self.session, by=by, now=self.now, settings=self.settings, notice=notice))

    @rule()
    def cancel_end(self) -> None:
        self._try(lambda: ending.cancel_end(self.session, now=self.now, settings=self.settings))

    @rule()
    def delete(self) -> None:
        self._try(lambda: ending.delete(self.session, by=MODERATORS[0], now=self.now, settings=self.settings, key="d"))

    @rule(number=NUMBERS, user=USERS, resolved=st.booleans())
    def ask_help(self, number: int, user: str, resolved: bool) -> None:
        if number not in {room.number for room in self.session.open_rooms}:
            return
        if resolved:
            self._try(lambda: help_changes.resolve(self.session, number, MODERATORS[0]))
        else:
            self._try(
                lambda: help_changes.ask_help(self.session, number, user, "", now=self.now, settings=self.settings)
            )

    @rule(user=PEOPLE_ONLY)
    def join_or_leave_main(self, user: str) -> None:
        if user in self.people:
            del self.people[user]
            self._accept(people.left_main(self.session, user))
        else:
            self.people[user] = Person(user, user)
            self._accept(
                people.joined_main(
                    self.session, self.people[user], people=self._all(), now=self.now, settings=self.settings
                )
            )

    @rule(user=PEOPLE_ONLY)
    def promote_or_demote(self, user: str) -> None:
        if user not in self.people:
            return
        moderator = not self.people[user].moderator
        self.people[user] = Person(user, user, moderator=moderator)
        if moderator:
            self._accept(people.promoted(self.session, user, now=self.now))
        else:
            self._accept(
                people.demoted(
                    self.session, self.people[user], people=self._all(), now=self.now, settings=self.settings
                )
            )

    @rule(number=NUMBERS, lost=st.booleans())
    def room_seen(self, number: int, lost: bool) -> None:
        if number not in {room.number for room in self.session.rooms}:
            return
        room = f"!{self.session.id}-{number}:x"
        if lost:
            self._accept(observed.room_lost(self.session, number, room))
        else:
            self._accept(observed.room_made(self.session, number, room))

    @rule(number=NUMBERS)
    def room_unlocked(self, number: int) -> None:
        if self.session.is_open and number in {room.number for room in self.session.open_rooms}:
            self._accept(observed.unlocked(self.session, number, now=self.now))

    @rule(user=USERS, failed=st.booleans())
    def invite_done(self, user: str, failed: bool) -> None:
        seat = self.session.seats.get(user)
        if seat is None or not self.session.invites:
            return
        if failed:
            change = observed.unreachable(self.session, user, seat.room, "no", now=self.now, settings=self.settings)
        else:
            change = observed.invited(self.session, user, seat.room, now=self.now, settings=self.settings)
        self._accept(change)

    @rule(
        user=USERS,
        number=NUMBERS,
        before=st.sampled_from([None, "invite", "join", "leave"]),
        after=st.sampled_from(["invite", "join", "leave", "ban"]),
        by=st.sampled_from(["self", "bot", "other"]),
    )
    def member_seen(self, user: str, number: int, before: str | None, after: str, by: str) -> None:
        if number not in {room.number for room in self.session.rooms}:
            return
        moderator = user in MODERATORS or (user in self.people and self.people[user].moderator)
        self._accept(
            observed.membership(
                self.session,
                number,
                user,
                before=before,
                after=after,
                by_self=by == "self",
                by_bot=by == "bot",
                moderator=moderator,
                now=self.now,
                capacity=people.capacity(self.session, self._all()),
            )
        )

    @rule(seconds=st.sampled_from([1, 10, 40, 100, 700, 50_000, 2_000_000]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        change = advance(self.session, now=self.now, settings=self.settings)
        self._accept(change)
        again = advance(self.session, now=self.now, settings=self.settings)
        assert again.session is self.session
        assert again.notices == ()
        moment = next_moment(self.session, self.settings)
        assert moment is None or moment > self.now

    @rule()
    def the_alarm_rings(self) -> None:
        moment = next_moment(self.session, self.settings)
        if moment is None:
            return
        self.now = max(self.now, moment)
        former = self.session
        self._accept(advance(self.session, now=self.now, settings=self.settings))
        assert self.session != former

    @invariant()
    def each_seat_is_in_an_open_room(self) -> None:
        if not hasattr(self, "session"):
            return
        known = {room.number for room in self.session.open_rooms}
        for user, seat in self.session.seats.items():
            assert seat.user == user
            assert seat.moved_from != seat.room
            assert seat.room in known or self.session.phase is Phase.DELETED

    @invariant()
    def moves_and_presences_belong_to_a_round(self) -> None:
        if not hasattr(self, "session"):
            return
        active = self.session.phase in (Phase.RUNNING, Phase.CLOSING)
        for seat in self.session.seats.values():
            assert active or seat.moved_from is None
            known = self.session.round > 0 or self.session.is_prepared
            assert known or seat.presence in (Presence.ASSIGNED, Presence.DECLINED)
            assert not (active or self.session.invites) or seat.invite_count >= 1 or seat.presence is Presence.DECLINED

    @invariant()
    def groups_are_not_counted_again_once_rooms_are_there(self) -> None:
        if hasattr(self, "session") and self.session.is_prepared:
            assert self.session.group_size is None

    @invariant()
    def times_fit_the_phase(self) -> None:
        if not hasattr(self, "session"):
            return
        session = self.session
        assert (session.phase is Phase.CLOSING) == (session.closing_at is not None)
        assert session.phase is not Phase.CLOSING or session.ends_at is not None
        assert session.phase in (Phase.RUNNING, Phase.CLOSING) or session.ends_at is None
        assert session.phase is not Phase.RUNNING or session.started_at is not None

    @invariant()
    def room_numbers_and_names_are_never_shared(self) -> None:
        if not hasattr(self, "session"):
            return
        numbers = [room.number for room in self.session.rooms]
        names = [room.name.casefold() for room in self.session.open_rooms]
        assert len(set(numbers)) == len(numbers)
        assert len(set(names)) == len(names)


Hall.TestCase.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWhateverHappensTheSessionMakesSense = Hall.TestCase

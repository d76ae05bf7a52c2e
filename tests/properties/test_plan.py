"""Whatever the rooms are like and wherever a pass breaks off: replanning brings them to what should be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from plugins.breakout.domain.changes import observed as noted
from plugins.breakout.domain.desired import (
    DESK,
    Content,
    Member,
    Observed,
    Options,
    RoomWish,
    SeenRoom,
    Texts,
    desired,
    desk_wish,
    is_brought_in,
    power_levels,
    restricted_to,
)
from plugins.breakout.domain.desired import MainRoom as Main
from plugins.breakout.domain.model import Door, Mode, Phase, Presence, Room, Seat, Session, Settings
from plugins.breakout.domain.plan import (
    INSIDE,
    MOST_AT_CREATION,
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
    plan,
)

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
SETTINGS, OPTIONS = Settings(), Options()
MAIN, BOT = "!main:x", "@bot:x"
MODERATORS = ("@m1:x", "@m2:x")
PUPILS = (*(f"@p{n}:x" for n in range(5)), "@far:y")
STRANGER = "@stranger:z"
EVERYBODY = (*MODERATORS, *PUPILS, STRANGER)
TEXTS = {number: Texts(f"Room {number}", f"Topic {number}", "come", "go") for number in range(6)}
BOUND = 12
"""Passes that are enough for any world: each one that is carried out whole brings it further."""


@dataclass
class World:
    """The homeserver, the session, and what each step does to them."""

    session: Session
    main: Main
    desk: str | None = "!desk:x"
    desk_wanted: bool = True
    rooms: dict[int, SeenRoom] = field(default_factory=dict)
    told: frozenset[int] = frozenset()
    made: int = 0
    options: Options = OPTIONS

    def wishes(self) -> tuple[RoomWish, ...]:
        rooms = desired(self.session, self.main, self.desk, TEXTS, self.options)
        if self.desk is None and not self.desk_wanted:
            return rooms
        return (*rooms, desk_wish(self.desk, "desk-1", self.main, TEXTS[DESK], OPTIONS, wanted=self.desk_wanted))

    def steps(self) -> tuple[Step, ...]:
        return plan(self.wishes(), Observed(dict(self.rooms), self.told), own_server="x")

    def locked(self, number: int) -> bool:
        return bool(self.rooms[number].power["events_default"] == 50)

    def membership(self, number: int, user: str) -> str:
        return self.rooms[number].members.get(user, Member("leave")).membership

    def carry_out(self, step: Step) -> None:
        number = step.number
        match step:
            case MakeRoom():
                assert number not in self.rooms
                self._make(step)
            case SetState(_, _, _, type_, content):
                self._set(number, type_, content)
            case Invite():
                assert self.membership(number, step.user) not in ("join", "ban")
                self._member(number, step.user, "invite")
                self._invited(number, step.user)
            case BringIn():
                assert self.membership(number, step.user) not in ("join", "ban")
                assert step.user.endswith(":x")
                self._member(number, step.user, "join")
                self.session = noted.brought_in(self.session, step.user, number, now=NOW, settings=SETTINGS).session
            case Remove():
                assert self.membership(number, step.user) in INSIDE
                self._member(number, step.user, "leave")
            case Ban():
                self._member(number, step.user, "ban")
            case Unban():
                self._member(number, step.user, "leave")
            case Go():
                assert not any(member.membership in INSIDE for member in self.rooms[number].members.values())
                del self.rooms[number]
                if number == DESK:
                    self.desk = None
                else:
                    self.session = noted.room_closed(self.session, number).session

    def _make(self, step: MakeRoom) -> None:
        self.made += 1
        wish, room_id = step.wish, f"!new{self.made}:x"
        assert len(step.invite) <= MOST_AT_CREATION
        assert all(user.endswith(":x") for user in step.invite)
        invited = {user: Member("invite") for user in step.invite}
        self.rooms[step.number] = SeenRoom(
            invited, wish.power, wish.join_rules, wish.texts.name, wish.texts.topic, wish.encrypted
        )
        if step.number == DESK:
            self.desk = room_id
            return
        self.session = noted.room_made(self.session, step.number, room_id).session
        for user in step.invite:
            self._invited(step.number, user)

    def _set(self, number: int, type_: str, content: Content) -> None:
        room = self.rooms[number]
        match type_:
            case "m.room.encryption":
                room = replace(room, encrypted=True)
            case "m.room.power_levels":
                room = replace(room, power=content)
            case "m.room.join_rules":
                room = replace(room, join_rules=content)
            case "m.room.name":
                room = replace(room, name=content["name"])
            case "m.room.topic":
                room = replace(room, topic=content["topic"])
            case _:
                raise AssertionError(type_)
        self.rooms[number] = room

    def _member(self, number: int, user: str, membership: str) -> None:
        members = {**self.rooms[number].members, user: Member(membership)}
        self.rooms[number] = replace(self.rooms[number], members=members)

    def _invited(self, number: int, user: str) -> None:
        if number != DESK:
            self.session = noted.invited(self.session, user, number, now=NOW, settings=SETTINGS).session


MEMBERS = st.dictionaries(
    st.sampled_from(EVERYBODY),
    st.builds(Member, st.sampled_from(["join", "invite", "leave", "ban", "knock"]), st.booleans()),
    max_size=len(EVERYBODY),
)


@st.composite
def seen_rooms(draw: st.DrawFn) -> SeenRoom:
    """A room in any state."""
    levels = power_levels(BOT, draw(st.sets(st.sampled_from(EVERYBODY))), OPTIONS, locked=draw(st.booleans()))
    rules = draw(st.sampled_from([restricted_to(MAIN, "!desk:x"), restricted_to("!desk:x"), {"join_rule": "public"}]))
    return SeenRoom(
        draw(MEMBERS), draw(st.sampled_from([levels, {}])), rules, draw(st.text(max_size=3)), "old", draw(st.booleans())
    )


@st.composite
def seats(draw: st.DrawFn, numbers: list[int]) -> list[Seat]:
    """Seats as they can be, some on the way from another room."""
    chosen = []
    for user in draw(st.sets(st.sampled_from((*PUPILS, MODERATORS[0])))):
        presence = draw(st.sampled_from(Presence))
        moves = presence in (Presence.ASSIGNED, Presence.INVITED, Presence.UNREACHABLE) and draw(st.booleans())
        room = draw(st.sampled_from(numbers))
        former = draw(st.sampled_from(numbers)) if moves else None
        moved = former if former != room else None
        chosen.append(Seat(user, room, presence=presence, moved_from=moved, needs_invite=draw(st.booleans())))
    return chosen


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Any session over any rooms, the homeserver in any state."""
    phase = draw(st.sampled_from(Phase))
    count = draw(st.integers(1, 4))
    rooms = []
    for number in range(1, count + 1):
        room_id = draw(st.none() | st.just(f"!r{number}:x"))
        removed = number > 1 and draw(st.booleans())
        closed = draw(st.booleans()) if removed or phase is Phase.DELETED else False
        rooms.append(Room(number, f"Room {number}", room_id=room_id, removed=removed, closed=closed))
    open_numbers = [room.number for room in rooms if not room.removed and not room.closed]
    seated = draw(seats(open_numbers)) if open_numbers else []
    session = Session(
        id="s",
        main=MAIN,
        phase=phase,
        mode=draw(st.sampled_from(Mode)),
        rooms=tuple(rooms),
        set_up_by=MODERATORS[0],
        seats={seat.user: seat for seat in seated},
        passed=draw(st.frozensets(st.sampled_from(PUPILS), max_size=2)),
        prepared_at=draw(st.sampled_from([None, NOW])),
        kept=draw(st.booleans()),
        door=draw(st.sampled_from(Door)),
    )
    banned = draw(st.frozensets(st.sampled_from([*PUPILS, STRANGER]), max_size=2)) - session.seats.keys()
    desk = draw(st.sampled_from([None, "!desk:x"]))
    world = World(
        session, Main(MAIN, BOT, frozenset(MODERATORS), banned, draw(st.booleans())), desk, draw(st.booleans())
    )
    world.options = Options(brings_in=draw(st.booleans()))
    for room in rooms:
        if room.room_id is not None and not room.closed:
            world.rooms[room.number] = draw(seen_rooms())
    if desk is not None:
        world.rooms[DESK] = draw(seen_rooms())
    world.told = frozenset(draw(st.sets(st.sampled_from([room.number for room in rooms]))))
    return world


def settle(world: World, cuts: list[int]) -> list[Step]:
    """Passes that break off after so many steps, then whole ones; returns all that was carried out."""
    done: list[Step] = []
    for passes in range(BOUND + len(cuts)):
        steps = world.steps()
        if not steps:
            return done
        if passes < len(cuts):
            steps = steps[: cuts[passes]]
        else:  # the closing messages are out by now
            world.told = frozenset(room.number for room in world.session.rooms)
        for step in steps:
            world.carry_out(step)
            done.append(step)
    assert world.steps() == ()
    return done


CUTS = st.lists(st.integers(0, 12), max_size=5)


@given(world=worlds(), cuts=CUTS)
def test_any_world_comes_to_what_should_be_though_passes_break_off(world: World, cuts: list[int]) -> None:
    settle(world, cuts)
    world.told = frozenset(room.number for room in world.session.rooms)
    settle(world, [])
    assert world.steps() == ()


@given(world=worlds(), cuts=CUTS)
def test_nobody_is_in_two_rooms_at_the_end_except_on_the_way(world: World, cuts: list[int]) -> None:
    world.told = frozenset(room.number for room in world.session.rooms)
    settle(world, cuts)
    for user in (*PUPILS, STRANGER):
        there = {number for number in world.rooms if number != DESK and world.membership(number, user) in INSIDE}
        seat = world.session.seats.get(user)
        mine = {seat.room, seat.moved_from} if seat and world.session.lets_in else set()
        assert there <= mine


@given(world=worlds(), cuts=CUTS)
def test_whoever_waits_for_an_invite_has_one_at_the_end(world: World, cuts: list[int]) -> None:
    settle(world, cuts)
    if world.session.invites:
        for seat in world.session.seats.values():
            by_invite = world.session.door is Door.INVITE or seat.needs_invite
            waits = by_invite and seat.presence is Presence.ASSIGNED and seat.user not in world.session.passed
            assert not waits or world.membership(seat.room, seat.user) in INSIDE


@given(world=worlds(), cuts=CUTS)
def test_whoever_can_be_brought_in_is_in_at_the_end(world: World, cuts: list[int]) -> None:
    world.options = Options(brings_in=True)
    settle(world, cuts)
    if world.session.phase is Phase.RUNNING:
        for seat in world.session.seats.values():
            there = world.membership(seat.room, seat.user)
            assert there != "invite" or seat.user.endswith(":y") or not is_brought_in(world.session, seat)


@given(world=worlds(), cuts=CUTS)
def test_no_moderator_is_removed_from_a_room_that_stays(world: World, cuts: list[int]) -> None:
    stays = {room.number for room in world.session.open_rooms if world.session.phase is not Phase.DELETED}
    if world.desk_wanted:
        stays.add(DESK)
    done = settle(world, cuts)
    assert not any(isinstance(step, Remove | Ban) and step.user in MODERATORS and step.number in stays for step in done)


@given(world=worlds(), cuts=CUTS)
def test_a_room_that_ended_is_locked_and_told_so_before_anybody_is_removed(world: World, cuts: list[int]) -> None:
    world.session = replace(world.session, phase=Phase.ENDED, prepared_at=None, kept=False)
    for _ in range(len(cuts) + 1):
        told = world.told
        for step in world.steps()[: cuts.pop() if cuts else None]:
            if isinstance(step, Remove) and step.number != DESK:
                assert world.locked(step.number)
                assert world.session.room(step.number).removed or step.number in told
            world.carry_out(step)
        world.told |= {1, 2}


@given(world=worlds())
def test_all_rooms_are_locked_before_anything_else_happens(world: World) -> None:
    stages = [step.stage for step in world.steps()]
    assert stages == sorted(stages)
    for step in world.steps():
        if isinstance(step, SetState) and step.type == "m.room.power_levels":
            locks = step.content["events_default"] == 50
            assert step.stage is (Stage.LOCK if locks else Stage.MAKE)


@given(world=worlds(), cuts=CUTS)
def test_a_room_is_open_for_talk_just_while_the_session_runs(world: World, cuts: list[int]) -> None:
    settle(world, cuts)
    for room in world.session.rooms:
        if room.number in world.rooms:
            is_ready = world.session.is_prepared and world.session.door is Door.OPEN and not world.session.kept
            assert world.locked(room.number) is (not (world.session.is_open or is_ready) or room.removed)


@given(world=worlds(), cuts=CUTS)
def test_a_start_after_preparing_takes_one_state_event_a_room_and_none_behind_an_open_door(
    world: World, cuts: list[int]
) -> None:
    world.session = replace(world.session, phase=Phase.SET_UP, prepared_at=NOW, kept=False)
    settle(world, cuts)
    seats = [seat for seat in world.session.seats.values() if seat.presence is not Presence.ASSIGNED]
    ready = replace(world.session, seats={seat.user: replace(seat, moved_from=None) for seat in seats})
    world.session = ready
    settle(world, [])
    world.session = replace(ready, phase=Phase.RUNNING, prepared_at=None, kept=False)
    steps = world.steps()
    locked = ready.open_rooms if ready.door is Door.INVITE else ()
    assert sorted(step.number for step in steps) == [room.number for room in locked]
    assert {step.type for step in steps if isinstance(step, SetState)} <= {"m.room.power_levels"}
    assert all(isinstance(step, SetState) for step in steps)


@given(world=worlds(), cuts=CUTS)
def test_after_the_end_people_stay_by_the_settings_and_nobody_comes(world: World, cuts: list[int]) -> None:
    seats = {user: replace(seat, moved_from=None) for user, seat in world.session.seats.items()}
    world.session = replace(world.session, phase=Phase.ENDED, prepared_at=None, seats=seats)
    world.told = frozenset(room.number for room in world.session.rooms)
    before = {number: room.members for number, room in world.rooms.items()}
    done = settle(world, cuts)
    assert not any(isinstance(step, Invite | MakeRoom) and step.number != DESK for step in done)
    for user in PUPILS:
        for number in world.rooms.keys() - {DESK}:
            was_in = before[number].get(user, Member("leave")).membership in INSIDE
            seat = seats.get(user)
            is_kept = world.session.kept and seat is not None and seat.room == number and user not in world.main.banned
            is_out = user in world.session.passed or (seat is not None and seat.presence is Presence.REMOVED)
            stays = was_in and is_kept and not is_out and not world.session.room(number).removed
            assert (world.membership(number, user) in INSIDE) is stays


@given(world=worlds(), cuts=CUTS)
def test_behind_an_open_door_nobody_but_moderators_is_in_a_room_ahead_of_the_start(
    world: World, cuts: list[int]
) -> None:
    world.session = replace(world.session, phase=Phase.SET_UP, prepared_at=NOW, door=Door.OPEN)
    world.told = frozenset(room.number for room in world.session.rooms)
    settle(world, cuts)
    for number in world.rooms.keys() - {DESK}:
        assert not any(world.membership(number, user) in INSIDE for user in (*PUPILS, STRANGER))


@given(world=worlds())
def test_a_room_is_unlocked_before_people_are_invited_into_it(world: World) -> None:
    invited: set[int] = set()
    for step in world.steps():
        if isinstance(step, Invite):
            invited.add(step.number)
        elif isinstance(step, SetState) and step.type == "m.room.power_levels":
            assert step.number not in invited


@given(world=worlds(), cuts=CUTS)
def test_a_session_that_is_deleted_leaves_nothing_behind(world: World, cuts: list[int]) -> None:
    world.session = replace(world.session, phase=Phase.DELETED)
    world.told = frozenset(room.number for room in world.session.rooms)
    world.desk_wanted = False
    settle(world, cuts)
    assert world.rooms == {}
    assert world.desk is None


@given(world=worlds(), cuts=CUTS)
def test_no_room_is_made_twice(world: World, cuts: list[int]) -> None:
    done = settle(world, cuts)
    made = [step.number for step in done if isinstance(step, MakeRoom)]
    assert len(made) == len(set(made))


@given(world=worlds(), cuts=CUTS)
def test_who_is_banned_from_the_main_room_is_in_no_room(world: World, cuts: list[int]) -> None:
    world.told = frozenset(room.number for room in world.session.rooms)
    settle(world, cuts)
    for number in world.rooms:
        for user in world.main.banned - world.session.seats.keys():
            assert world.membership(number, user) not in INSIDE

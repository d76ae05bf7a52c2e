"""What the homeserver is to be like, room by room."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.matrix.power import Power
from plugins.breakout.domain.desired import (
    MainRoom,
    Observed,
    Options,
    RoomWish,
    Texts,
    desired,
    desk_wish,
    power_levels,
)
from plugins.breakout.domain.model import Mode, Phase, Presence, Room, Seat, Session
from plugins.breakout.domain.plan import MakeRoom, plan, same_power

BOT, MOD, ANN, FAR = "@bot:x", "@mod:x", "@ann:x", "@far:y"
MAIN = MainRoom("!main:x", BOT, frozenset({MOD}))
OPTIONS = Options(call_types=("org.matrix.msc3401.call.member", "m.call.member", "org.example.call"))
TEXTS = Texts("Red · Class", "topic", "come", "go")
ONLY_THE_BOT = [
    "m.room.name",
    "m.room.topic",
    "m.room.avatar",
    "m.room.join_rules",
    "m.room.power_levels",
    "m.room.encryption",
    "m.room.history_visibility",
    "m.room.tombstone",
    "org.breakoutbot.room",
]


def session(phase: Phase = Phase.RUNNING, mode: Mode = Mode.AUTO, **seat: object) -> Session:
    """One room, Ann in it."""
    ann = replace(Seat(ANN, 1, invite_count=1), **seat)  # type: ignore[arg-type]
    return Session("s", MAIN.id, phase, mode, (Room(1, "Red", room_id="!red"),), MOD, seats={ANN: ann})


def wish(of: Session, main: MainRoom = MAIN) -> RoomWish:
    [only] = desired(of, main, "!desk:x", {1: TEXTS}, OPTIONS)
    return only


@pytest.mark.parametrize("version", ["11", "12"])
@pytest.mark.parametrize("locked", [False, True])
def test_who_may_do_what_in_a_room_open_and_locked(version: str, locked: bool) -> None:
    content = dict(power_levels(BOT, [MOD], OPTIONS, locked=locked))
    if version == "12":
        content["users"] = {MOD: 50}
    power = Power.of(content, {"room_version": version}, BOT)
    for type_ in ONLY_THE_BOT:
        assert power.can_send(BOT, type_, state=True)
        assert not power.can_send(MOD, type_, state=True)
    for action in ("invite", "kick", "ban", "redact"):
        assert power.can(MOD, action)
        assert not power.can(ANN, action)
    for type_ in OPTIONS.call_types:
        assert power.can_send(ANN, type_, state=True) is not locked
    for type_ in ("m.room.message", "m.reaction", "m.room.encrypted"):
        assert power.can_send(ANN, type_) is not locked
        assert power.can_send(MOD, type_)
    assert not power.can_send(ANN, "m.room.pinned_events", state=True)


def test_levels_are_the_same_whether_the_room_s_version_lists_its_creator_or_not() -> None:
    wanted = power_levels(BOT, [MOD], OPTIONS, locked=False)
    assert same_power({**wanted, "users": {MOD: 50}}, wanted)
    assert not same_power({**wanted, "users": {BOT: 100}}, wanted)
    assert not same_power(power_levels(BOT, [MOD], OPTIONS, locked=True), wanted)


def test_what_a_homeserver_adds_to_the_levels_makes_no_new_event() -> None:
    wanted = power_levels(BOT, [MOD], OPTIONS, locked=False)
    assert same_power({**wanted, "historical": 100}, wanted)
    assert not same_power({key: content for key, content in wanted.items() if key != "kick"}, wanted)
    assert not same_power({**wanted, "events": {**wanted["events"], "m.room.encrypted": 100}}, wanted)


@pytest.mark.parametrize(
    ("phase", "mode", "rooms"),
    [
        (Phase.RUNNING, Mode.AUTO, ["!desk:x"]),
        (Phase.RUNNING, Mode.CHOOSE, ["!desk:x", "!main:x"]),
        (Phase.CLOSING, Mode.CHOOSE, ["!desk:x", "!main:x"]),
        (Phase.ENDED, Mode.CHOOSE, ["!desk:x"]),
    ],
)
def test_the_desk_is_the_key_and_in_choose_mode_the_main_room_too(phase: Phase, mode: Mode, rooms: list[str]) -> None:
    rules = wish(session(phase, mode)).join_rules
    assert rules["join_rule"] == "restricted"
    assert [rule["room_id"] for rule in rules["allow"]] == rooms


def test_without_a_desk_rooms_are_for_the_invited() -> None:
    [only] = desired(session(), MAIN, None, {1: TEXTS}, OPTIONS)
    assert only.join_rules == {"join_rule": "invite"}


@pytest.mark.parametrize("presence", Presence)
def test_an_invite_goes_out_once_a_seat_and_never_after_a_no(presence: Presence) -> None:
    wanted = wish(session(presence=presence))
    assert wanted.invite == ((ANN,) if presence is Presence.ASSIGNED else ())
    assert (ANN in wanted.may_stay) is (presence is not Presence.REMOVED)


def test_who_passed_is_neither_invited_nor_kept() -> None:
    wanted = wish(replace(session(), passed=frozenset({ANN})))
    assert wanted.invite == ()
    assert ANN not in wanted.may_stay


@pytest.mark.parametrize("phase", [Phase.CLOSING, Phase.ENDED])
def test_nobody_is_invited_into_a_room_that_closes(phase: Phase) -> None:
    assert wish(session(phase)).invite == ()


def test_moderators_stay_in_every_room_until_it_goes() -> None:
    assert wish(session(Phase.ENDED)).may_stay == {BOT, MOD}
    assert wish(session(Phase.DELETED)).may_stay == {BOT}
    removed = replace(session(), rooms=(Room(1, "Red", room_id="!red", removed=True),))
    assert wish(removed).may_stay == {BOT}


@pytest.mark.parametrize("phase", [Phase.SET_UP, Phase.ENDED, Phase.DELETED])
def test_rooms_are_made_at_the_start_and_not_before(phase: Phase) -> None:
    unmade = replace(session(phase), rooms=(Room(1, "Red"),))
    assert desired(unmade, MAIN, None, {1: TEXTS}, OPTIONS) == ()


def test_a_marker_holds_ids_and_nothing_else() -> None:
    marker = wish(session()).marker
    assert marker == {"main": "!main:x", "session": "s", "room": 1, "key": "s-1-1"}


def test_the_desk_is_for_moderators_by_invite() -> None:
    desk = desk_wish(None, "desk-1", MAIN, TEXTS, OPTIONS, wanted=True)
    assert desk.join_rules == {"join_rule": "invite"}
    assert desk.invite == (MOD,)
    [step] = plan([desk], Observed(), own_server="x")
    assert isinstance(step, MakeRoom)
    assert step.invite == (MOD,)


def test_remote_people_and_those_beyond_ten_are_invited_one_by_one() -> None:
    users = [*(f"@p{number}:x" for number in range(12)), FAR]
    crowd = replace(session(), rooms=(Room(1, "Red"),), seats={user: Seat(user, 1, invite_count=1) for user in users})
    [step] = plan([wish(crowd)], Observed(), own_server="x")
    assert isinstance(step, MakeRoom)
    assert step.invite == tuple(users[:10])

"""What people type for each command, and what is understood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from bot.commands.parsers import Named
from bot.commands.read import line_of
from bot.commands.refusals import (
    AmbiguousPerson,
    BadDuration,
    BadNumber,
    HostRefusal,
    Missing,
    TooMuch,
    UnknownPerson,
)
from bot.commands.words import Line
from bot.matrix.events import Message
from bot.matrix.ids import EventId, RoomId, UserId, user_link
from bot.message.doc import Relayed
from plugins.breakout import layouts, parsers
from plugins.breakout.domain.changes.setup import Layout, SeatLine
from plugins.breakout.domain.model import Mode, Session
from plugins.breakout.domain.refusals import AmbiguousRoom, NoSession, NotUnderstood, Refusal, UnknownRoom
from plugins.breakout.parsers import Known
from tests.unit.breakout.example import pupils, set_up

T = TypeVar("T")

ANN, BOB, CLEO, OTHER_BOB = (UserId(f"@{name}:x") for name in ("ann", "bob", "cleo", "bobby"))
NAMED = (Named(ANN, "Ann"), Named(BOB, "Bob Smith"), Named(CLEO, "Go to Cleo"))


def typed(text: str, html: str | None = None, *, path: int = 2) -> Line:
    """What follows the first `path` words of a message."""
    message = Message(EventId("$1"), RoomId("!m:x"), ANN, datetime.now(UTC), "m.text", text, html)
    return line_of(message).after(path)


def pill(user: UserId, name: str) -> str:
    return f'<a href="{user_link(user)}">{name}</a>'


def session(*names: str) -> Session:
    return set_up(Layout(names=names or ("Team Alpha", "Team Beta", "Blue Sky")), pupils(8)).session


def known(*names: str) -> Known:
    return Known(session(*names), NAMED)


HALL = Known(None, NAMED)


def understood(parse: Callable[[Line, Known], T], text: str, about: Known | None = None) -> T:
    return parse(typed(f"!breakout command {text}"), about or known())


# --- setup


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("4", Layout(count=4)),
        ("four", Layout(count=4)),
        ("4 rooms", Layout(count=4)),
        ("Four breakout rooms", Layout(count=4)),
        ("4 groups", Layout(count=4)),
        ("0", Layout(count=0)),
        ("-3", Layout(count=-3)),
        ("12345678901 rooms", Layout(count=12345678901)),
        ("groups of 4", Layout(group_size=4)),
        ("Groups of four", Layout(group_size=4)),
        ("groups of three", Layout(group_size=3)),
        ("pairs", Layout(group_size=2)),
        ("in pairs choose", Layout(group_size=2, mode=Mode.CHOOSE)),
        ("Trios", Layout(group_size=3)),
        ("Pairs, Trios", Layout(names=("Pairs", "Trios"))),
        ("3 Pigs, Wolf", Layout(names=("3 Pigs", "Wolf"))),
        ("rooms 4", Layout(count=4)),
        ("4 people each", Layout(group_size=4)),
        ("4 per room", Layout(group_size=4)),
        ("4 people per group", Layout(group_size=4)),
        ("4 choose", Layout(count=4, mode=Mode.CHOOSE)),
        ("choose 4", Layout(count=4, mode=Mode.CHOOSE)),
        ("4, choose", Layout(count=4, mode=Mode.CHOOSE)),
        ("4 rooms choose max 8", Layout(count=4, mode=Mode.CHOOSE, capacity=8)),
        ("4 max 8 choose", Layout(count=4, mode=Mode.CHOOSE, capacity=8)),
        ("4 choose max 8 people", Layout(count=4, mode=Mode.CHOOSE, capacity=8)),
        ("4 choose max 8 per room", Layout(count=4, mode=Mode.CHOOSE, capacity=8)),
        ("4 here", Layout(count=4, here=True)),
        ("here groups of 3 everyone", Layout(group_size=3, here=True, everyone=True)),
        ("Team Alpha, Team Beta", Layout(names=("Team Alpha", "Team Beta"))),
        ("choose Team Alpha, Team Beta", Layout(names=("Team Alpha", "Team Beta"), mode=Mode.CHOOSE)),
        ("Team Alpha, Team Beta, choose", Layout(names=("Team Alpha", "Team Beta"), mode=Mode.CHOOSE)),
        ("“Team Alpha”, “Team Beta”", Layout(names=("Team Alpha", "Team Beta"))),
        ("Team Alpha,\nTeam Beta", Layout(names=("Team Alpha", "Team Beta"))),
        ("\n4 rooms", Layout(count=4)),
        ("Team Alpha", Layout(names=("Team Alpha",))),
        ("Alpha, Max Power", Layout(names=("Alpha", "Max Power"))),
        ("manual Alpha: @ann", Layout(mode=Mode.MANUAL, lines=(SeatLine("Alpha", (ANN,)),))),
        ("manual", Layout(mode=Mode.MANUAL)),
        ("", Layout()),
    ],
)
def test_setup_takes_what_people_type(text: str, layout: Layout) -> None:
    assert understood(layouts.layout, text, HALL) == layout


def test_setup_takes_the_whole_plan_in_lines() -> None:
    text = "manual\nTeam Alpha: @ann @bob:x\n\nTeam Beta:\n“Team: Gamma”: Go to Cleo"
    assert understood(layouts.layout, text, HALL) == Layout(
        mode=Mode.MANUAL,
        lines=(
            SeatLine("Team Alpha", (ANN, BOB)),
            SeatLine("Team Beta", ()),
            SeatLine("Team: Gamma", (CLEO,)),
        ),
    )


def test_setup_takes_names_and_then_lines() -> None:
    layout = understood(layouts.layout, "manual Team Alpha, Team Beta\nAlpha: @ann", HALL)
    assert layout.names == ("Team Alpha", "Team Beta")
    assert layout.lines == (SeatLine("Alpha", (ANN,)),)


def test_pills_in_lines_are_people() -> None:
    html = f"!breakout setup manual<br>Team Alpha: {pill(ANN, 'Ann')} {pill(BOB, 'Bob')}<br>Team Beta:{pill(CLEO, 'C')}"
    layout = layouts.layout(typed("!breakout setup manual\n…", html), HALL)
    assert layout.lines == (SeatLine("Team Alpha", (ANN, BOB)), SeatLine("Team Beta", (CLEO,)))


@pytest.mark.parametrize(
    ("text", "before", "word"),
    [
        ("3 foo", "3", "foo"),
        ("choose 3 rooms foo bar", "3 rooms", "foo bar"),
        ("groups of 4 foo here", "groups of 4", "foo"),
        ("3 max", "3", "max"),
        ("pairs please", "pairs", "please"),
    ],
)
def test_a_word_that_means_nothing_after_the_rooms_is_named(text: str, before: str, word: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        understood(layouts.layout, text, HALL)
    assert (caught.value.before, caught.value.typed) == (before, word)


@pytest.mark.parametrize("text", ["groups of many", "2.5", "groups of 2.5"])
def test_a_number_that_is_none_is_refused_with_numbers_that_make_sense(text: str) -> None:
    with pytest.raises(BadNumber) as refused:
        understood(layouts.layout, text, HALL)
    assert refused.value.least in (1, 2)


def test_an_unknown_person_in_a_line_refuses_all_of_it() -> None:
    with pytest.raises(UnknownPerson) as refused:
        understood(layouts.layout, "manual\nTeam Alpha: @ann @dora", HALL)
    assert refused.value.typed == "@dora"


# --- seats


@pytest.mark.parametrize(
    ("text", "seats"),
    [
        ("@ann to Alpha", ((ANN, 1),)),
        ("@ann and @bob:x to Team Beta", ((ANN, 1 + 1), (BOB, 2))),
        ("Ann, Bob Smith to 2", ((ANN, 2), (BOB, 2))),
        ("@ann Alpha", ((ANN, 1),)),
        ("@ann 3", ((ANN, 3),)),
        ("@ann → sky", ((ANN, 3),)),
        ("Go to Cleo to Beta", ((CLEO, 2),)),
        ("Alpha: @ann", ((ANN, 1),)),
        ("\nAlpha: @ann @bob\nBlue: Go to Cleo", ((ANN, 1), (BOB, 1), (CLEO, 3))),
        ("@ann to Alpha\n@bob to Beta", ((ANN, 1), (BOB, 2))),
    ],
)
def test_assign_takes_people_and_a_room(text: str, seats: tuple[tuple[str, int], ...]) -> None:
    assert understood(parsers.assign, text).seats == seats


def test_a_room_pill_names_a_room() -> None:
    plan = session()
    made = plan.with_room(replace(plan.room(2), room_id="!beta:x"))
    html = f'!breakout assign {pill(ANN, "Ann")} to <a href="https://matrix.to/#/!beta%3Ax?via=x">Beta</a>'
    assert parsers.assign(typed("!breakout assign Ann to Beta", html), Known(made, NAMED)).seats == ((ANN, 2),)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", Missing),
        ("@ann", Missing),
        ("@ann to", Missing),
        ("@dora to Alpha", UnknownPerson),
        ("@ann to Gamma", UnknownRoom),
        ("@ann to Team", AmbiguousRoom),
    ],
)
def test_assign_refuses_what_it_cannot_read(text: str, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        understood(parsers.assign, text)


def test_without_a_session_assign_says_that_there_are_no_rooms() -> None:
    with pytest.raises(NoSession):
        understood(parsers.assign, "@ann to Alpha", HALL)


def test_two_people_of_one_name_are_asked_about() -> None:
    twins = Known(session(), (Named(BOB, "Bob"), Named(OTHER_BOB, "Bob")))
    with pytest.raises(AmbiguousPerson) as refused:
        understood(parsers.assign, "Bob to Alpha", twins)
    assert set(refused.value.candidates) == {BOB, OTHER_BOB}


@pytest.mark.parametrize("text", ["@ann @bob", "@ann with Bob Smith", "Ann and Bob Smith"])
def test_swap_takes_two_people(text: str) -> None:
    assert understood(parsers.swap, text) == (ANN, BOB)


@pytest.mark.parametrize("text", ["", "@ann", "@ann @bob @cleo", "@ann @ann"])
def test_swap_wants_two(text: str) -> None:
    with pytest.raises(HostRefusal):
        understood(parsers.swap, text)


# --- rooms


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Team Gamma", ("Team Gamma",)),
        ("Team Gamma, Team Delta", ("Team Gamma", "Team Delta")),
        ("Back to Work", ("Back to Work",)),
        ("Ann", ("Ann",)),
    ],
)
def test_add_takes_names_of_rooms(text: str, names: tuple[str, ...]) -> None:
    assert understood(parsers.add, text) == parsers.AddRooms(names)


@pytest.mark.parametrize("text", ["@ann to Alpha", "Ann to Alpha", "Ann in Alpha"])
def test_add_with_a_person_seats_the_person(text: str) -> None:
    assert understood(parsers.add, text) == parsers.Assign(((ANN, 1),))


@pytest.mark.parametrize("text", ["@ann", "Ann", "@ann from Alpha"])
def test_remove_with_a_person_takes_the_seat_away(text: str) -> None:
    assert understood(parsers.remove, text) == parsers.Unassign((ANN,))


@pytest.mark.parametrize("text", ["3", "Blue Sky", "sky", "blue", "“Blue Sky”", "BLUE", "room 3"])
def test_a_room_goes_by_number_name_or_the_beginning_of_one_of_its_words(text: str) -> None:
    assert understood(parsers.remove, text) == parsers.RemoveRoom(3)


def test_an_unknown_room_is_refused_with_the_rooms_that_there_are() -> None:
    with pytest.raises(UnknownRoom) as refused:
        understood(parsers.remove, "Gamma")
    assert refused.value.rooms == ("Team Alpha", "Team Beta", "Blue Sky")


@pytest.mark.parametrize(
    ("text", "renamed"),
    [
        ("Beta to Delta", parsers.Rename(2, "Delta")),
        ("2 to Road to Rome", parsers.Rename(2, "Road to Rome")),
        ("Way to Go to Delta", parsers.Rename(4, "Delta")),
    ],
)
def test_rename_tries_each_to(text: str, renamed: parsers.Rename) -> None:
    rooms = known("Team Alpha", "Team Beta", "Blue Sky", "Way to Go")
    assert understood(parsers.rename, text, rooms) == renamed


@pytest.mark.parametrize("text", ["", "Alpha", "Gamma to Delta", "Alpha to"])
def test_rename_wants_a_room_and_a_name(text: str) -> None:
    with pytest.raises((HostRefusal, Refusal)):
        understood(parsers.rename, text)


# --- texts


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ("Alpha Five more minutes", 1, "Five more minutes"),
        ("Team Alpha Five more", 1, "Five more"),
        ("Alpha: Five more", 1, "Five more"),
        ("Alpha, please wait", 1, "please wait"),
        ("“Blue Sky” look up", 3, "look up"),
        ("“Blue Sky”: look up", 3, "look up"),
        ("Blue Sky is falling", 3, "is falling"),
        ("2 note: read this", 2, "note: read this"),
        ("2: see 10:30", 2, "see 10:30"),
        ("all Stop   now", None, "Stop   now"),
        ("everyone: stop", None, "stop"),
        ("Alpha Line one\nLine two", 1, "Line one\nLine two"),
    ],
)
def test_the_longest_run_that_names_one_room_is_the_room(text: str, number: int | None, words: str) -> None:
    assert understood(parsers.room_text("tell"), text) == parsers.RoomText(number, Relayed(words))


def test_a_whole_name_wins_where_longer_words_fit_several_rooms() -> None:
    rooms = known("Blue", "Blue Sky One", "Blue Sky Two")
    assert understood(parsers.room_text("tell"), "Blue Sky is falling", rooms).number == 1


def test_formatting_of_the_text_is_kept() -> None:
    html = "!breakout tell Alpha <b>Five</b> more"
    asked = parsers.room_text("tell")(typed("!breakout tell Alpha **Five** more", html), known())
    assert asked.text.plain == "Five more"
    assert asked.text.html == "<b>Five</b> more"


@pytest.mark.parametrize("text", ["", "Gamma hello", "Team hello"])
def test_a_text_wants_a_room(text: str) -> None:
    with pytest.raises((HostRefusal, Refusal)):
        understood(parsers.room_text("tell"), text)


# --- time


@pytest.mark.parametrize(
    ("text", "limit"),
    [("", None), ("now", None), ("20m", 20), ("20", 20), ("20 minutes", 20), ("for 1h30", 90), ("an hour", 60)],
)
def test_start_takes_a_time_limit(text: str, limit: int | None) -> None:
    wanted = None if limit is None else timedelta(minutes=limit)
    assert understood(parsers.start, text) == parsers.Start(wanted)


def test_start_confirm_is_a_yes() -> None:
    assert understood(parsers.start, "Confirm") == parsers.Confirmed()


@pytest.mark.parametrize("text", ["1:30", "in 5 minutes", "25h", "-5", "soon"])
def test_start_refuses_what_is_no_time_limit(text: str) -> None:
    with pytest.raises(BadDuration):
        understood(parsers.start, text)


def test_the_timer_is_set_and_taken_off() -> None:
    assert understood(parsers.timer, "15m") == timedelta(minutes=15)
    assert understood(parsers.timer, "off") is None
    with pytest.raises(Missing):
        understood(parsers.timer, "")


def test_extend_takes_a_length() -> None:
    assert understood(parsers.extend, "by 5 minutes") == timedelta(minutes=5)
    with pytest.raises(Missing):
        understood(parsers.extend, "")


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("", parsers.End()),
        ("now", parsers.End(at_once=True)),
        ("2m", parsers.End(timedelta(minutes=2))),
        ("in 90s", parsers.End(timedelta(seconds=90))),
        ("cancel", parsers.Cancelled()),
    ],
)
def test_end_has_four_forms(text: str, asked: parsers.End | parsers.Cancelled) -> None:
    assert understood(parsers.end, text) == asked


def test_a_word_that_belongs_to_nothing_is_refused() -> None:
    assert understood(parsers.only("now"), "NOW") is True
    for text in ("later", "now please"):
        with pytest.raises(TooMuch):
            understood(parsers.only("now"), text)
    with pytest.raises(TooMuch):
        understood(parsers.nothing, "please")

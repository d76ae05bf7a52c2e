"""Lengths of time, numbers, choices and people as they are typed."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.parsers import Named, choice, duration, number, only_people, people
from bot.commands.refusals import (
    AmbiguousPerson,
    BadChoice,
    BadDuration,
    BadNumber,
    Fault,
    HostRefusal,
    Missing,
    UnknownPerson,
)
from bot.matrix.ids import UserId
from tests.unit.test_commands_read import read


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("20m", 1200),
        ("20M", 1200),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("1 h 30 min", 5400),
        ("1h30", 5400),
        ("1 hour and 30 minutes", 5400),
        ("1:30:00", 5400),
        ("0:00:30", 30),
        ("20", 1200),
        ("twenty", 1200),
        ("20 min", 1200),
        ("20 min.", 1200),
        ("2 minutes", 120),
        ("ten mins", 600),
        ("an hour", 3600),
        ("half an hour", 1800),
        ("a minute", 60),
        ("1.5h", 5400),
        ("1,5 h", 5400),
        ("24h", 86400),
        (" 5\u00a0m ", 300),
    ],
)
def test_a_length_of_time_is_read(text: str, seconds: int) -> None:
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("abc", Fault.UNREADABLE),
        ("20x", Fault.UNREADABLE),
        ("m", Fault.UNREADABLE),
        ("20m please", Fault.UNREADABLE),
        ("1:75:00", Fault.UNREADABLE),
        ("1h m", Fault.UNREADABLE),
        ("²m", Fault.UNREADABLE),
        ("inf", Fault.UNREADABLE),
        ("0", Fault.NOT_POSITIVE),
        ("0m", Fault.NOT_POSITIVE),
        ("0.1s", Fault.NOT_POSITIVE),
        ("-5m", Fault.NOT_POSITIVE),
        ("-5", Fault.NOT_POSITIVE),
        ("10000h", Fault.TOO_LONG),
        ("24h1s", Fault.TOO_LONG),
        ("9" * 5000, Fault.TOO_LONG),
        ("1:30", Fault.TWO_READINGS),
    ],
)
def test_no_length_of_time_is_refused_with_its_fault(text: str, fault: Fault) -> None:
    with pytest.raises(BadDuration) as refused:
        duration(text)
    assert refused.value.fault is fault
    assert refused.value.typed == text


@pytest.mark.parametrize(("text", "readings"), [("1:30", ("1h30m", "1m30s")), ("20:00", ("20h", "20m"))])
def test_both_readings_are_named_and_can_be_typed(text: str, readings: tuple[str, str]) -> None:
    with pytest.raises(BadDuration) as refused:
        duration(text)
    assert refused.value.readings == readings
    assert all(duration(reading) for reading in readings)


def test_nothing_is_no_length_of_time() -> None:
    with pytest.raises(Missing):
        duration(" ")


def test_the_longest_time_can_be_set() -> None:
    with pytest.raises(BadDuration):
        duration("13h", most=timedelta(hours=12))


@given(st.text(st.characters(codec=None)) | st.text("0123456789:., hmsan-"))
def test_every_text_is_a_length_of_time_or_refused(text: str) -> None:
    with suppress(HostRefusal):
        assert timedelta() < duration(text) <= timedelta(hours=24)


@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_the_forms_of_one_time_agree(hours: int, minutes: int, seconds: int) -> None:
    time = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if time:
        assert duration(f"{hours}h{minutes}m{seconds}s") == time
        assert duration(f"{hours}:{minutes:02}:{seconds:02}") == time


@pytest.mark.parametrize(("text", "expected"), [("4", 4), ("four", 4), ("Twenty", 20), ("007", 7)])
def test_numbers_are_digits_or_words(text: str, expected: int) -> None:
    assert number(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "4.5", "x", "21", "²", "1" * 5000])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(BadNumber):
        number(text, most=20)


def test_a_choice_may_be_shortened() -> None:
    options = ("auto", "manual", "many")
    assert choice("AUTO", options) == "auto"
    assert choice("a", options) == "auto"
    assert choice("manu", options) == "manual"
    for text in ("", "man", "other"):
        with pytest.raises(BadChoice):
            choice(text, options)


def named(localpart: str, name: str, server: str = "example.org") -> Named:
    return Named(UserId(f"@{localpart}:{server}"), name)


ANN = named("ann", "Ann Smith")
ANNA = named("anna", "Ann")
BOB = named("bob", "Bob")
BOB2 = named("rob", "bob")
NEIL = named("neil", "O’Neil, Pat")
DUP = named("dup", "Dee")
DUP2 = named("dup", "Dee Two", "other.example")
PEOPLE = (ANN, ANNA, BOB, BOB2, NEIL, DUP, DUP2)


@pytest.mark.parametrize(
    ("text", "expected", "rest"),
    [
        ("@ann:example.org", [ANN], ""),
        ("@ann", [ANN], ""),
        ("@ANNA to Alpha", [ANNA], "to Alpha"),
        ("Ann Smith", [ANN], ""),
        ("ann smith, @bob and rob", [ANN, BOB, BOB2], ""),
        ("@Ann Smith Alpha", [ANN], "Alpha"),
        ('"Ann Smith" Alpha', [ANN], "Alpha"),
        ("anna", [ANNA], ""),
        ("o'neil, pat to Beta", [NEIL], "to Beta"),
        ("@bob @bob @bob", [BOB], ""),
        ("@dup:other.example: x", [DUP2], "x"),
        ("Dee Two Dee", [DUP2, DUP], ""),
    ],
)
def test_people_are_found_by_each_of_their_names(text: str, expected: list[Named], rest: str) -> None:
    found, remaining = people(read(text).words, PEOPLE)
    assert found == tuple(person.user for person in expected)
    assert " ".join(word.text for word in remaining) == rest


def test_a_pill_names_a_person_whatever_it_shows() -> None:
    line = read(
        "",
        '<a href="https://matrix.to/#/%40ann%3Aexample.org">B</a>, <a href="matrix:u/rob:example.org">x</a>',
    )
    assert only_people(line.words, PEOPLE) == (ANN.user, BOB2.user)


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("bob", ("@bob:example.org", "@rob:example.org")),
        ("Ann", ("@ann:example.org", "@anna:example.org")),
        ("@dup", ("@dup:example.org", "@dup:other.example")),
        ("@ann @dup", ("@dup:example.org", "@dup:other.example")),
    ],
)
def test_an_ambiguous_name_lists_who_is_called_so(text: str, candidates: tuple[str, ...]) -> None:
    with pytest.raises(AmbiguousPerson) as refused:
        people(read(text).words, PEOPLE)
    assert refused.value.candidates == candidates


@pytest.mark.parametrize("text", ["zoe", "@zoe:example.org", "@ann @zoe", "@ann @zoe:example.org", ", zoe"])
def test_an_unknown_person_refuses_all(text: str) -> None:
    with pytest.raises(UnknownPerson):
        people(read(text).words, PEOPLE)


def test_an_unknown_name_lists_those_that_come_close() -> None:
    with pytest.raises(UnknownPerson) as refused:
        only_people(read("@ann Smyth").words, (ANN, named("s", "Smith"), BOB))
    assert refused.value.typed == "Smyth"
    assert refused.value.candidates == ("Smith",)


@pytest.mark.parametrize("text", ["bo", "@bo", "Bo:"])
def test_an_unknown_name_lists_all_that_begin_so(text: str) -> None:
    with pytest.raises(UnknownPerson) as refused:
        only_people(read(text).words, (BOB, ANN, named("bobby", "Bobby"), named("x", "Dr. Bosch")))
    assert set(refused.value.candidates) == {"Bob", "Bobby", "Dr. Bosch"}


def test_where_no_name_comes_close_a_few_are_listed_all_and_many_are_not() -> None:
    few = (BOB, ANN)
    with pytest.raises(UnknownPerson) as refused:
        only_people(read("@zed").words, few)
    assert (refused.value.candidates, refused.value.everybody) == ((), ("Bob", "Ann Smith"))
    with pytest.raises(UnknownPerson) as refused:
        only_people(read("@zed").words, [named(f"p{number}", f"P{number}") for number in range(20)])
    assert (refused.value.candidates, refused.value.everybody) == ((), ())


def test_names_do_not_run_over_the_end_of_a_line() -> None:
    found, rest = people(read("@anna\nSmith").words, (*PEOPLE, named("x", "@anna Smith")))
    assert found == (ANNA.user,)
    assert [word.text for word in rest] == ["Smith"]


@pytest.mark.parametrize("text", ["", ",", "and"])
def test_nobody_at_all_is_asked_back(text: str) -> None:
    with pytest.raises(Missing):
        people(read(text).words, PEOPLE)


TEXTS = st.text(st.characters(codec=None), max_size=20)


@given(TEXTS, st.lists(st.builds(named, st.text("ab", min_size=1), TEXTS)))
def test_every_line_names_people_or_is_refused(text: str, names: list[Named]) -> None:
    with suppress(HostRefusal):
        found, _ = people(read(text).words, names)
        assert set(found) <= {person.user for person in names}

"""A line finds its command, and a line that is not ours is left to others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.bind import bind
from bot.commands.match import Matched, Registry, Unknown
from bot.commands.read import line_of
from bot.commands.refusals import BadNumber, Missing, TooMuch
from bot.commands.words import Line
from bot.errors import ConfigError
from bot.loader import Loaded
from bot.matrix.ids import RoomId
from bot.plugin import Command, Host, NoConfig, Plugin, Rest, Role, Standing
from tests.unit.test_commands_read import message, read


async def bare(call: Any) -> None:
    """Say what comes next."""


async def parsed(call: Any, value: Any) -> None:
    """Do it."""


async def bound(call: Any, who: str, times: int = 1, text: Rest = "hello") -> None:
    """Greet someone."""


def taken(line: Line, subject: Any) -> str:
    return line.rest


@asynccontextmanager
async def lifespan(_host: Host) -> AsyncIterator[None]:
    yield


def plugin(*commands: Command, name: str = "rooms", synonyms: dict[str, str] | None = None) -> Loaded:
    declared = Plugin(name, "", NoConfig, lifespan, names=lambda _: synonyms or {})
    declared.commands.extend(commands)
    return Loaded(declared, NoConfig())


def command(path: str, *aliases: str, **declared: Any) -> Command:
    declared = {"handler": parsed, "parse": taken} | declared
    return Command(path=tuple(path.split()), aliases=tuple(tuple(a.split()) for a in aliases), **declared)


BARE = command("rooms", handler=bare, parse=None)
SETUP = command("rooms setup", "rooms create", role=Role.MODERATOR)
START = command("rooms start", "rooms open")
TIMER = command("rooms timer", examples=("rooms timer 20m",))
TIMER_OFF = command("rooms timer off", handler=bare, parse=None)
STATUS = command("rooms status")
SECRET = command("rooms starts", hidden=True)
HELP = command("help", where=frozenset({"small"}))
REGISTRY = Registry([plugin(BARE, SETUP, START, TIMER, TIMER_OFF, STATUS, SECRET, HELP, synonyms={"ro": "rooms"})])


def match(text: str, html: str | None = None) -> Matched | Unknown | None:
    return REGISTRY.match(read(text, html))


@pytest.mark.parametrize(
    ("text", "expected", "rest"),
    [
        ("!rooms setup 4", SETUP, "4"),
        ("!ROOMS Setup 4", SETUP, "4"),
        ("!rooms create A, B", SETUP, "A, B"),
        ("!ro open", START, ""),
        ("! rooms start 20m", START, "20m"),
        ("\uff01rooms\u00a0start\n20m", START, "20m"),
        ("!rooms start20m", START, "20m"),
        ("!rooms timer 15m", TIMER, "15m"),
        ("!rooms timer15m", TIMER, "15m"),
        ("!rooms timer off", TIMER_OFF, ""),
        ("!rooms timer off.", TIMER_OFF, ""),
        ("!rooms start.", START, ""),
        ("!rooms setup, 4", SETUP, "4"),
        ("!rooms setup: A, B", SETUP, "A, B"),
        ("!rooms: timer; 15m", TIMER, "15m"),
        ("!rooms timer, off!", TIMER_OFF, ""),
        ("!rooms", BARE, ""),
        ("!help I am “stuck”", HELP, "I am “stuck”"),
    ],
)
def test_the_longest_path_counts(text: str, expected: Command, rest: str) -> None:
    found = match(text)
    assert isinstance(found, Matched)
    assert found.command is expected
    assert found.line.rest == rest
    assert found.plugin == "rooms"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!",
        "rooms setup",
        "!weather",
        "!room setup",
        "!helpme",
        '"!rooms" x',
        "hi !rooms",
        "!4",
        "!!rooms",
    ],
)
def test_what_is_not_ours_is_left_to_others(text: str) -> None:
    assert match(text) is None


@pytest.mark.parametrize(
    ("text", "typed", "nearest"),
    [
        ("!rooms setpu 4", "rooms setpu", (SETUP,)),
        ("!ro strat 20m", "rooms strat", (START, STATUS)),
        ("!ro statr", "rooms statr", (START, STATUS)),
        ("!rooms timre off", "rooms timre", (TIMER_OFF,)),
        ("!rooms juggle", "rooms juggle", ()),
        ('!rooms "setup"', "rooms setup", (SETUP,)),
        ("!rooms timer off now", None, ()),
    ],
)
def test_an_unknown_word_after_ours_is_answered_with_the_nearest(
    text: str, typed: str | None, nearest: tuple[Command, ...]
) -> None:
    found = match(text)
    if typed is None:
        assert isinstance(found, Matched)
        return
    assert isinstance(found, Unknown)
    assert found.typed == typed
    assert found.nearest(Standing(Role.MODERATOR, "main", RoomId("!r:example.org"))) == nearest


def test_nobody_is_pointed_to_what_he_may_not_run() -> None:
    found = match("!rooms setpu")
    assert isinstance(found, Unknown)
    assert SETUP not in found.nearest(Standing(Role.ANYONE, "main", RoomId("!r:example.org")))


def test_a_group_with_a_parser_of_its_own_takes_what_is_no_command() -> None:
    natural = command("rooms")
    found = Registry([plugin(natural, SETUP)]).match(read("!rooms 4 please"))
    assert isinstance(found, Matched)
    assert (found.command, found.line.rest) == (natural, "4 please")


def test_a_group_without_a_bare_command_is_unknown_too() -> None:
    found = Registry([plugin(SETUP)]).match(read("!rooms"))
    assert isinstance(found, Unknown)
    assert found.typed == "rooms"


def test_the_sign_may_be_another_one() -> None:
    registry = Registry([plugin(SETUP)], prefix="?")
    assert isinstance(registry.match(read("? rooms setup")), Matched)
    assert registry.match(read("!rooms setup")) is None


def test_a_path_is_declared_once() -> None:
    with pytest.raises(ConfigError, match="both declare help"):
        Registry([plugin(HELP), plugin(HELP, name="other")])


@pytest.mark.parametrize("synonyms", [{"x": "nothing"}, {"help": "rooms"}])
def test_a_synonym_stands_for_a_command_and_is_none(synonyms: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Registry([plugin(SETUP, HELP, synonyms=synonyms)])


@given(st.text(st.characters(codec=None)).map("!rooms ".__add__) | st.text(st.characters(codec=None)))
def test_no_line_is_too_strange_to_be_matched(text: str) -> None:
    found = REGISTRY.match(line_of(message(text)))
    if isinstance(found, Unknown):
        found.nearest(Standing(Role.MODERATOR, "main", RoomId("!r:example.org")))


GREET = command("greet", handler=bound, parse=None, examples=("greet bob",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bob", {"who": "bob", "times": 1, "text": "hello"}),
        ("bob two", {"who": "bob", "times": 2, "text": "hello"}),
        ("bob 3 good  “day”", {"who": "bob", "times": 3, "text": "good  “day”"}),
    ],
)
def test_arguments_come_from_the_signature(text: str, expected: dict[str, Any]) -> None:
    assert bind(GREET, read(text)) == expected


def test_what_does_not_fit_the_signature_is_refused() -> None:
    with pytest.raises(Missing) as missing:
        bind(GREET, read(""))
    assert (missing.value.what, missing.value.example) == ("who", "greet bob")
    with pytest.raises(BadNumber):
        bind(GREET, read("bob often"))
    with pytest.raises(TooMuch) as too_much:
        bind(TIMER_OFF, read("right now"))
    assert too_much.value.typed == "right now"


def test_a_signature_that_cannot_be_bound_fails_at_the_start() -> None:
    with pytest.raises(TypeError, match="needs a parser"):
        Registry([plugin(command("x", handler=parsed, parse=None))])

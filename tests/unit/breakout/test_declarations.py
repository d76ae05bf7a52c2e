"""What each command declares holds: its examples are understood, its refusals have words, its page is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.commands.bind import bind
from bot.commands.match import Matched, Registry
from bot.commands.parsers import Named
from bot.commands.read import line_of
from bot.loader import load_one
from bot.matrix.events import Message
from bot.matrix.ids import EventId, RoomId, UserId
from bot.plugin import Command
from plugins.breakout.commands_page import page
from plugins.breakout.domain import refusals
from plugins.breakout.domain.changes.setup import Layout
from plugins.breakout.domain.phases import WORKS_IN
from plugins.breakout.parsers import Known
from plugins.breakout.phases import OF_PARTICIPANTS, PHASES, WORKS, outcome
from plugins.breakout.plugin import plugin
from plugins.breakout.views.refusals import worded
from tests.unit.breakout.example import pupils, set_up

LOADED = load_one("breakout", {})
NAMED = tuple(Named(UserId(f"@{name}:x"), name.capitalize()) for name in ("ann", "bob"))
NAMES = ("Team Alpha", "Team Beta", "Gamma")


@dataclass(frozen=True)
class Subject:
    known: Known


SUBJECT = Subject(Known(set_up(Layout(names=NAMES), pupils(6)).session, NAMED))


def all_refusals() -> set[type[refusals.Refusal]]:
    return {kind for kind in vars(refusals).values() if isinstance(kind, type) and issubclass(kind, refusals.Refusal)}


def typed(text: str) -> Matched:
    message = Message(EventId("$1"), RoomId("!m:x"), UserId("@ann:x"), datetime.now(UTC), "m.text", text)
    found = Registry([LOADED]).match(line_of(message))
    assert isinstance(found, Matched), text
    return found


@pytest.mark.parametrize("example", [example for command in plugin.commands for example in command.examples])
def test_each_example_is_understood(example: str) -> None:
    found = typed(f"!{example}")
    assert example in found.command.examples
    if found.command.parse is None:
        bind(found.command, found.line)
    else:
        found.command.parse(found.line, SUBJECT)


@pytest.mark.parametrize("command", plugin.commands, ids=lambda command: " ".join(command.path))
def test_each_command_says_in_a_sentence_what_it_does(command: Command) -> None:
    assert command.summary.endswith((".", ":"))
    assert command.examples
    assert command.section


def test_each_refusal_has_words() -> None:
    assert all_refusals() - {refusals.Refusal} == worded()


@pytest.mark.parametrize("command", WORKS_IN)
def test_each_command_works_or_is_refused_in_a_sentence_in_each_phase(command: str) -> None:
    said = {phase: outcome(command, phase) for phase in PHASES}
    assert {phase for phase, words in said.items() if words == WORKS} == WORKS_IN[command]
    assert all(said.values())
    assert ("a moderator begins" if command in OF_PARTICIPANTS else "!breakout setup 4") in outcome(command, None)


def test_the_page_of_the_commands_is_the_newest() -> None:
    written = Path(__file__).parents[3] / "docs" / "commands.md"
    assert written.read_text(encoding="utf-8") == page(), "write it anew: python -m plugins.breakout.commands_page"

"""Where commands work, and how their parsers get what they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from bot.commands.words import Line
from bot.plugin import Call
from plugins.breakout.parsers import Known
from plugins.breakout.subject import AT_DESK, BREAKOUT, MAIN, Plug, Subject

T = TypeVar("T")

ANYWHERE = (MAIN, AT_DESK, BREAKOUT)
IN_MAIN = (MAIN,)
IN_BREAKOUT = (BREAKOUT,)


def knowing(parse: Callable[[Line, Known], T]) -> Callable[[Line, Any], T]:
    """The parser as the host calls it, with what it needs of the subject."""
    return lambda line, subject: parse(line, subject.known)


def it(call: Call[Plug]) -> Subject:
    """What the command is about."""
    subject: Subject = call.subject
    return subject

"""What each command does in each phase, as a table for the documentation: made of the rules, not beside them."""

from __future__ import annotations

from collections.abc import Iterator

from bot.message.render import render
from bot.plugin import Role
from plugins.breakout.domain.model import Mode, Phase, Room, Session
from plugins.breakout.domain.phases import WORKS_IN, require
from plugins.breakout.domain.refusals import AlreadyRunning, NothingToCancel, Refusal
from plugins.breakout.views import explain

PHASES = (Phase.SET_UP, Phase.RUNNING, Phase.CLOSING, Phase.ENDED)
COMMANDS = ("setup", "checkin", *WORKS_IN)
WORKS = "works"

OF_PARTICIPANTS = frozenset({"choose", "pass", "rejoin", "back", "help"})
"""Their refusals are told as a participant reads them."""

_TYPED = {
    "back": "!back",
    "help": "!help",
    "prepare confirm": "prepare confirm (once prepare has asked)",
    "start confirm": "start confirm (once start has asked)",
    "delete confirm": "delete confirm (once delete has asked)",
    "shuffle": "shuffle (running: shuffle now)",
}


def outcome(command: str, phase: Phase | None) -> str:
    """`works`, or the sentence with which the command is refused; None is the time before any `setup`."""
    session = None if phase is None else Session("s", "!main", phase, Mode.AUTO, (Room(1, "Room 1"),), "@ann")
    try:
        _require(session, command)
    except Refusal as refusal:
        role = Role.ANYONE if command in OF_PARTICIPANTS else Role.MODERATOR
        said = explain(refusal, "!breakout", {}, role)
        return "" if said is None else str(render(said)["body"])
    return WORKS


def _require(session: Session | None, command: str) -> None:
    """As the changes do it."""
    match command:
        case "checkin":
            return
        case "setup":
            if session is not None and session.phase in (Phase.RUNNING, Phase.CLOSING):
                raise AlreadyRunning(command, session.phase)
        case "end cancel":
            if require(session, "end").phase is not Phase.CLOSING:
                raise NothingToCancel
        case _:
            require(session, command)


def markdown() -> str:
    """The table, one line a command, the refusals as notes below it."""
    notes: dict[str, int] = {}
    lines = [
        f"| command | nothing set up | {' | '.join(PHASES)} |",
        "|---|---|---|---|---|---|",
        *(_line(command, notes) for command in COMMANDS),
        "",
        *(f"{number}. {sentence}" for sentence, number in notes.items()),
    ]
    return "\n".join(lines) + "\n"


def _line(command: str, notes: dict[str, int]) -> str:
    return f"| `{_TYPED.get(command, command)}` | {' | '.join(_cells(command, notes))} |"


def _cells(command: str, notes: dict[str, int]) -> Iterator[str]:
    for phase in (None, *PHASES):
        said = outcome(command, phase)
        yield said if said == WORKS else f"({notes.setdefault(said, len(notes) + 1)})"

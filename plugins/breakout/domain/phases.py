"""What a command does in each phase: the one table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from plugins.breakout.domain.model import Phase, Session
from plugins.breakout.domain.refusals import AlreadyRunning, NoSession, NothingRunning, WrongPhase

_SET_UP, _RUNNING, _CLOSING, _ENDED = Phase.SET_UP, Phase.RUNNING, Phase.CLOSING, Phase.ENDED

WORKS_IN: Mapping[str, frozenset[Phase]] = MappingProxyType(
    {
        command: frozenset(phases)
        for command, phases in {
            "assign": (_SET_UP, _RUNNING, _ENDED),
            "swap": (_SET_UP, _RUNNING, _ENDED),
            "unassign": (_SET_UP, _RUNNING, _ENDED),
            "shuffle": (_SET_UP, _RUNNING, _ENDED),
            "fill": (_SET_UP, _RUNNING, _ENDED),
            "add": (_SET_UP, _RUNNING, _ENDED),
            "remove": (_SET_UP, _RUNNING, _ENDED),
            "rename": (_SET_UP, _RUNNING, _ENDED),
            "task": (_SET_UP, _RUNNING, _ENDED),
            "choose": (_SET_UP, _RUNNING, _ENDED),
            "pass": (_SET_UP, _RUNNING, _ENDED),
            "rejoin": (_SET_UP, _RUNNING, _ENDED),
            "back": (_RUNNING, _CLOSING),
            "prepare": (_SET_UP, _ENDED),
            "start": (_SET_UP, _ENDED),
            "timer": (_RUNNING,),
            "extend": (_RUNNING, _CLOSING),
            "end": (_RUNNING, _CLOSING),
            "end cancel": (_CLOSING,),
            "delete": (_SET_UP, _RUNNING, _CLOSING, _ENDED),
            "prepare confirm": (_SET_UP, _ENDED),
            "start confirm": (_SET_UP, _ENDED),
            "delete confirm": (_SET_UP, _RUNNING, _CLOSING, _ENDED),
            "status": (_SET_UP, _RUNNING, _CLOSING, _ENDED),
            "broadcast": (_RUNNING, _CLOSING),
            "tell": (_RUNNING, _CLOSING),
            "visit": (_RUNNING, _CLOSING),
            "queue": (_RUNNING, _CLOSING),
            "help": (_RUNNING, _CLOSING),
            "claim": (_RUNNING, _CLOSING),
            "resolve": (_RUNNING, _CLOSING),
        }.items()
    }
)
"""`setup` and `checkin` are not here: they need no session (`setup` is refused while one runs or closes)."""


def require(session: Session | None, command: str) -> Session:
    """The session, if `command` works in its phase.

    Raises `NoSession` (also with only a check-in), `AlreadyRunning`, `NothingRunning` or `WrongPhase`.
    """
    if session is None or session.phase is Phase.DELETED or not session.open_rooms:
        raise NoSession(command)
    allowed = WORKS_IN[command]
    if session.phase in allowed:
        return session
    if command in ("prepare", "prepare confirm", "start", "start confirm"):
        raise AlreadyRunning(command, session.phase)
    if Phase.SET_UP not in allowed and session.phase in (Phase.SET_UP, Phase.ENDED):
        raise NothingRunning(command)
    raise WrongPhase(command, session.phase)


def is_running(session: Session) -> bool:
    """Whether people are at it: before that, and while the rooms close, nobody is told of changes."""
    return session.phase is Phase.RUNNING

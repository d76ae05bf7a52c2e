"""The host's words for what it refuses: one sentence that says what was wrong, and what works."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches

from bot.commands.refusals import (
    AmbiguousPerson,
    BadChoice,
    BadDuration,
    BadNumber,
    Fault,
    HostRefusal,
    Missing,
    NotPermitted,
    TooMuch,
    UnknownCommand,
    UnknownPerson,
    WrongPlace,
)
from bot.matrix.ids import RoomId
from bot.message.doc import Doc, Para, doc
from bot.message.sentence import Catalogue
from bot.plugin import Command

catalogue = Catalogue()
say = catalogue.say

_LONG = 60
_NEAR = 0.7
"""How like a word of the command's own something must be, to be taken for it."""

_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)


def path_of(command: Command, prefix: str) -> str:
    """The bare command as it is typed."""
    return prefix + " ".join(command.path)


def example_of(command: Command, prefix: str) -> str:
    """A line that works: the first example, else the first usage."""
    if command.examples:
        return prefix + command.examples[0]
    return f"{path_of(command, prefix)} {next(iter(command.usage), '')}".strip()


def skipped() -> Doc:
    """What those are told whose commands came while the bot was away for long."""
    return doc(say("I was away and skipped what was asked of me meanwhile. Please repeat it."))


def skipped_key(room: RoomId, now: datetime) -> str:
    """Under which `skipped` is said: once a room, however much was skipped there."""
    return f"skipped:{room}:{now:%Y%m%dT%H%M}"


def unreadable() -> Doc:
    """What somebody is told whose message cannot be decrypted."""
    return doc(
        say("I cannot decrypt this message: your app has not sent me its key."),
        say("Please send it again. If that does not help, restart the app, or use another one."),
    )


def broken(reference: str) -> Doc:
    """What is said of an unknown error; the log has the same reference."""
    return doc(say("Something broke. Reference {reference}", reference=reference))


def explain(refusal: HostRefusal, prefix: str, command: Command | None = None) -> Doc:
    """The sentence of a refusal of the host's own; `command` is the one that was typed, where it is known."""
    beyond = _beyond(refusal, command, prefix) if command else None
    return doc(beyond or _sentence(refusal, prefix))


def _beyond(refusal: HostRefusal, command: Command, prefix: str) -> Para | None:
    """Where something was typed that the command does not take: what it takes; None for other refusals."""
    match refusal:
        case TooMuch(typed) | BadDuration(typed, Fault.UNREADABLE) if word := _meant(command, typed):
            line = f"{path_of(command, prefix)} {word}"
            return say("I do not understand “{typed}”. Did you mean `{line}`?", typed=_short(typed), line=line)
        case TooMuch(typed):
            return say(
                "I do not understand “{typed}” here: the command ends before it, such as `{example}`.",
                typed=_short(typed),
                example=example_of(command, prefix),
            )
        case _:
            return None


def _meant(command: Command, typed: str) -> str | None:
    """The word of the command's own that was perhaps meant by what was typed, or by its beginning."""
    words = [usage for usage in command.usage if usage.isalpha()]
    for text in (typed, *typed.split()[:1]):
        if close := get_close_matches(text.casefold(), words, 1, _NEAR):
            return close[0]
    return None


def _sentence(refusal: HostRefusal, prefix: str) -> Para:
    match refusal:
        case NotPermitted(command):
            return say("Only a moderator can use `{command}`.", command=path_of(command, prefix))
        case WrongPlace(command):
            return say(
                "`{command}` does not work here, only in: {places}.",
                command=path_of(command, prefix),
                places=_list(sorted(command.where)),
            )
        case UnknownCommand(typed, Command() as nearest, Command() as other):
            return say(
                "There is no command `{typed}`. Did you mean `{nearest}`, or `{other}`?",
                typed=prefix + _short(typed),
                nearest=example_of(nearest, prefix),
                other=example_of(other, prefix),
            )
        case UnknownCommand(typed, None):
            return say("There is no command `{typed}`.", typed=prefix + _short(typed))
        case UnknownCommand(typed, Command(path=(*_, "help")) as lists):
            return say(
                "There is no command `{typed}`. `{help}` lists those that there are.",
                typed=prefix + _short(typed),
                help=example_of(lists, prefix),
            )
        case UnknownCommand(typed, Command() as nearest):
            return say(
                "There is no command `{typed}`. Did you mean `{nearest}`?",
                typed=prefix + _short(typed),
                nearest=example_of(nearest, prefix),
            )
        case TooMuch(typed):
            return say("I do not understand “{typed}” here: the command ends before it.", typed=_short(typed))
        case Missing(what, example):
            if not example:
                return say("Please say {what}.", what=what)
            return say("Please say {what}: `{example}`.", what=what, example=prefix + example)
        case _:
            return _argument(refusal)


def _argument(refusal: HostRefusal) -> Para:
    match refusal:
        case BadDuration():
            return _duration(refusal)
        case UnknownPerson() | AmbiguousPerson():
            return _person(refusal)
        case BadNumber(typed, least, None):
            return say("“{typed}” is no whole number from {least} on, such as `4`.", typed=_short(typed), least=least)
        case BadNumber(typed, least, int() as most):
            return say(
                "“{typed}” is no whole number from {least} to {most}.", typed=_short(typed), least=least, most=most
            )
        case BadChoice(typed, options):
            return say("“{typed}” is none of these: {options}.", typed=_short(typed), options=_list(options))
        case _:
            return say("That does not work.")


def _duration(refusal: BadDuration) -> Para:
    typed = _short(refusal.typed)
    match refusal.fault:
        case Fault.UNREADABLE:
            return say("“{typed}” is no length of time. `90s`, `20m` and `1h30m` are.", typed=typed)
        case Fault.NOT_POSITIVE:
            return say("“{typed}” is too short. `90s`, `20m` and `1h30m` work.", typed=typed)
        case Fault.TOO_LONG:
            most = _length(refusal.most or timedelta())
            return say("“{typed}” is too long: `{most}` is the most.", typed=typed, most=most)
        case Fault.TWO_READINGS:
            first, second = refusal.readings
            return say(
                "“{typed}” can be read in two ways. Please type `{first}` or `{second}`.",
                typed=typed,
                first=first,
                second=second,
            )


def _person(refusal: UnknownPerson | AmbiguousPerson) -> Para:
    typed, candidates = _short(refusal.typed), _list(refusal.candidates)
    if isinstance(refusal, AmbiguousPerson):
        return say(
            "Several people here are called “{typed}”. Please type the one that you mean: {candidates}.",
            typed=typed,
            candidates=candidates,
        )
    if candidates:
        return say("I am not sure who “{typed}” is. Did you mean: {candidates}?", typed=typed, candidates=candidates)
    if refusal.everybody:
        return say("Nobody here is called “{typed}”. Here are: {names}.", typed=typed, names=_list(refusal.everybody))
    return say(
        "Nobody here is called “{typed}”. Please choose a member of the room from those that your app shows after `@`.",
        typed=typed,
    )


def _length(time: timedelta) -> str:
    hours, rest = divmod(time, _HOUR)
    minutes = rest // _MINUTE
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or not hours else "")


def _list(things: Sequence[str]) -> str:
    return ", ".join(things)


def _short(typed: str) -> str:
    return typed if len(typed) <= _LONG else typed[:_LONG] + "…"

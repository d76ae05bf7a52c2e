"""Help, made of the commands' own declarations."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import groupby
from typing import Any

from bot.commands.match import permitted
from bot.commands.refusals import UnknownCommand
from bot.commands.sentences import catalogue, example_of, path_of
from bot.message.doc import Block, Bullets, Code, Doc, Inline, Para, Strong, Text, doc
from bot.message.sentence import Say
from bot.plugin import Command, Plugin, Role

FEW = 10
"""So many commands are listed with a line each, whoever reads them on a phone."""


def overview(
    commands: Iterable[Command],
    role: Role,
    place: str,
    prefix: str = "!",
    say: Say = catalogue.say,
) -> Doc:
    """One line for each command that the asker may run here, by section, in the order of declaration.

    Where that is too long for a phone, the leading commands come first, and a line for each section names the
    others. Summaries are templates of `say`, so a plugin passes its own catalogue's.
    """
    shown = [command for command in commands if permitted(command, role, place) and not command.hidden]
    leading = sorted((command for command in shown if command.leads), key=lambda command: command.leads)
    if leading and len(shown) > FEW:
        return _in_short(shown, leading, prefix, say)
    blocks: list[Block] = []
    for section, members in _sections(shown):
        if section:
            blocks.append(_title(section, say))
        blocks.append(Bullets(tuple(_entry(command, prefix, say) for command in members)))
    return doc(blocks)


def _in_short(shown: Sequence[Command], leading: Sequence[Command], prefix: str, say: Say) -> Doc:
    rest = [command for command in shown if not command.leads]
    lines = [
        Para((*_title(section, say).parts, Text(": "), *_names(members, prefix)))
        for section, members in _sections(rest)
    ]
    about = next((command for command in shown if len(command.path) > 1 and command.path[-1] == "help"), None)
    how = []
    if about is not None:
        typed = f"{path_of(about, prefix)} {leading[0].path[-1]}"
        how = [catalogue.say("`{typed}` says all about one.", typed=typed)]
    first = Bullets(tuple(_entry(command, prefix, say) for command in leading))
    return doc(first, catalogue.say("More:"), Bullets(tuple(lines)), how)


def _names(commands: Iterable[Command], prefix: str) -> list[Inline]:
    """The commands as a list; those of several words by what follows the first, which all of them share."""
    parts: list[Inline] = []
    for command in commands:
        name = " ".join(command.path[1:]) or path_of(command, prefix)
        parts += [Text(", "), Code(name)]
    return parts[1:]


def _title(section: str, say: Say) -> Para:
    return Para(tuple(Strong(part.text) for part in say(section).parts if isinstance(part, Text)))


def one(command: Command, prefix: str = "!", say: Say = catalogue.say) -> Doc:
    """All about one command: what it does, its forms, its examples, its other names."""
    blocks: list[Block] = [say(paragraph) for paragraph in _paragraphs(command)]
    if command.examples:
        blocks.append(catalogue.say("For example:"))
        blocks.append(_lines(prefix + example for example in command.examples))
    elif command.usage:
        blocks.append(_lines(f"{path_of(command, prefix)} {usage}".strip() for usage in command.usage))
    if command.aliases:
        aliases = ", ".join(prefix + " ".join(alias) for alias in command.aliases)
        blocks.append(catalogue.say("Also: {aliases}", aliases=aliases))
    head = Para((Code(path_of(command, prefix)),))
    return doc(head, blocks)


def find(commands: Iterable[Command], typed: str, prefix: str = "!") -> Command:
    """The command of these words, with or without the first word and the sign; raises `UnknownCommand`."""
    by_name: dict[str, Command] = {}
    for command in commands:
        for path in (command.path, *command.aliases):
            for name in (path, path[1:]):
                if name:
                    by_name.setdefault(" ".join(name).casefold(), command)
    wanted = " ".join(typed.casefold().split()).removeprefix(prefix).rstrip(".!?")
    if wanted in by_name:
        return by_name[wanted]
    close = get_close_matches(wanted, by_name, 1)
    raise UnknownCommand(typed, by_name[close[0]] if close else None)


def markdown(plugins: Iterable[Plugin[Any]], prefix: str = "!") -> str:
    """The commands of these plugins as a chapter of the documentation."""
    lines: list[str] = []
    for plugin in plugins:
        lines += [f"## {plugin.name}", "", plugin.summary, ""]
        for section, members in _sections([command for command in plugin.commands if not command.hidden]):
            lines += [f"### {section}", ""] if section else []
            for command in members:
                lines += _markdown(command, prefix)
    return "\n".join(lines).rstrip() + "\n"


def _markdown(command: Command, prefix: str) -> list[str]:
    path = path_of(command, prefix)
    lines = [f"#### `{path}`", ""]
    for paragraph in _paragraphs(command):
        lines += [paragraph, ""]
    who = {Role.ANYONE: "everybody", Role.MODERATOR: "moderators"}[command.role]
    facts = {
        "Who": who,
        "Where": ", ".join(sorted(command.where)) or "everywhere",
        "Forms": _codes(f"{path} {usage}".strip() for usage in command.usage),
        "Examples": _codes(prefix + example for example in command.examples),
        "Also": _codes(prefix + " ".join(alias) for alias in command.aliases),
    }
    return [*lines, *(f"- {name}: {fact}" for name, fact in facts.items() if fact), ""]


def _codes(lines: Iterable[str]) -> str:
    return ", ".join(f"`{line}`" for line in lines)


def _sections(commands: Sequence[Command]) -> Iterable[tuple[str, list[Command]]]:
    order = list(dict.fromkeys(command.section for command in commands))
    ordered = sorted(commands, key=lambda command: order.index(command.section))
    return [(section, list(members)) for section, members in groupby(ordered, lambda c: c.section)]


def _entry(command: Command, prefix: str, say: Say) -> Para:
    summary = say(command.summary).parts if command.summary else ()
    return Para((Code(example_of(command, prefix)), *((Text(" — "), *summary) if summary else ())))


def _lines(lines: Iterable[str]) -> Bullets:
    return Bullets(tuple(Para((Code(line),)) for line in lines))


def _paragraphs(command: Command) -> list[str]:
    text = inspect.cleandoc(command.handler.__doc__ or "")
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph]

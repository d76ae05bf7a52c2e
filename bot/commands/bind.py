"""Arguments of trivial commands, taken from the signatures of their handlers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, get_type_hints

from bot.commands.parsers import number
from bot.commands.refusals import Missing, TooMuch
from bot.commands.words import Line
from bot.plugin import Command, Rest


def parameters(command: Command) -> Sequence[inspect.Parameter]:
    """What the handler takes after the call, with annotations resolved.

    Raises `TypeError` where a command without `parse` takes anything but `str`, `int` and, last, `Rest`.
    """
    taken = list(inspect.signature(command.handler).parameters.values())[1:]
    if command.parse is not None:
        return taken
    hints = get_type_hints(command.handler, include_extras=True)
    taken = [parameter.replace(annotation=hints.get(parameter.name, str)) for parameter in taken]
    for place, parameter in enumerate(taken, start=1):
        if parameter.annotation not in (str, int, Rest) or (parameter.annotation == Rest and place < len(taken)):
            raise TypeError(f"{' '.join(command.path)}: {parameter.name} needs a parser of its own")
    return taken


def bind(command: Command, line: Line) -> dict[str, Any]:
    """A value for each parameter of the handler of a command without `parse`, by name.

    Raises `Missing`, `BadNumber` or `TooMuch`.
    """
    values: dict[str, Any] = {}
    for parameter in parameters(command):
        if not line.words:
            if parameter.default is inspect.Parameter.empty:
                raise Missing(parameter.name, next(iter(command.examples), ""))
            values[parameter.name] = parameter.default
        elif parameter.annotation == Rest:
            values[parameter.name] = line.rest
            line = line.after(len(line.words))
        else:
            text = line.words[0].text
            values[parameter.name] = number(text) if parameter.annotation is int else text
            line = line.after(1)
    if line.words:
        raise TooMuch(line.rest)
    return values

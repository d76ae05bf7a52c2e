"""Which declared command a line is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from bot.commands.bind import parameters
from bot.commands.words import Line, Word
from bot.errors import ConfigError
from bot.loader import Loaded
from bot.plugin import Command, Plugin, Role, Standing

Path = tuple[str, ...]

SURE, SHORTEST_GUESS = 0.85, 6
"""How like one of ours a first word must be, and how long, to be taken for it."""

_TRAILING = ",;:.!?"
_MOST_NEAR, _AS_NEAR = 4, 0.1
"""So many names are compared, and what is so little further away is about as near."""

_GLUED = re.compile(r"([^\W\d]+)(\d.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Matched:
    """A declared command; `line` is what stands after its path."""

    plugin: str
    command: Command
    line: Line


@dataclass(frozen=True, slots=True)
class Unknown:
    """The first words are a plugin's, and what follows them is no command of it."""

    plugin: str
    path: Path
    """The words that are known, as declared."""
    line: Line
    """What follows them."""
    known: Mapping[str, Command]
    """What might follow them."""

    @property
    def typed(self) -> str:
        """The known words and the first unknown one, without the sign that ends a sentence."""
        return " ".join((*self.path, *(word.text.rstrip(_TRAILING) or word.text for word in self.line.words[:1])))

    def nearest(self, standing: Standing) -> tuple[Command, ...]:
        """The commands that were perhaps meant, of those that the asker may run in this place; else `help`.

        The likeliest first, and a second one where it is about as likely.
        """
        known = {
            name: c for name, c in self.known.items() if not c.hidden and permitted(c, standing.role, standing.place)
        }
        longest = max((name.count(" ") + 1 for name in known), default=0)
        for length in range(min(longest, len(self.line.words)), 0, -1):
            if close := _close(" ".join(word.fold for word in self.line.words[:length]), known):
                return close
        return (known["help"],) if "help" in known else ()


def _close(typed: str, known: Mapping[str, Command]) -> tuple[Command, ...]:
    """The command whose name is nearest, and the next one where it is about as near; none where none is near."""
    names = get_close_matches(typed, known, _MOST_NEAR)
    if not names:
        return ()
    best, *others = names
    least = SequenceMatcher(None, best, typed).ratio() - _AS_NEAR
    also = (known[name] for name in others if SequenceMatcher(None, name, typed).ratio() >= least)
    return (known[best], *[command for command in also if command is not known[best]][:1])


def permitted(command: Command, role: Role, place: str) -> bool:
    """Whether somebody of this role may run the command in this kind of place."""
    return role >= command.role and (not command.where or place in command.where)


class Registry:
    """All commands by their paths and aliases, of which the longest counts."""

    def __init__(self, plugins: Iterable[Loaded], prefix: str = "!") -> None:
        """Take the commands of each plugin, and its synonyms for their first words.

        Raises `ConfigError` where two claim one path, or a synonym stands for nothing or is a command itself,
        and `TypeError` where a handler's signature cannot be bound.
        """
        self.prefix = prefix
        self._commands: dict[Path, tuple[Plugin[Any], Command]] = {}
        self._synonyms: dict[str, str] = {}
        for loaded in plugins:
            for command in loaded.plugin.commands:
                parameters(command)
                for path in (command.path, *command.aliases):
                    self._claim(_folded(path), loaded.plugin, command)
            self._rename(loaded.plugin, loaded.synonyms)
        self._groups = {path[:length] for path in self._commands for length in range(1, len(path))}
        self._first = {path[0] for path in self._commands}
        self._longest = max(map(len, self._commands), default=0)
        if shadowed := self._first & {synonym for synonym, word in self._synonyms.items() if synonym != word}:
            raise ConfigError(f"{', '.join(sorted(shadowed))}: a synonym, and a command itself")

    def match(self, line: Line) -> Matched | Unknown | None:
        """The command of the line; None where its first word is none of ours: another bot may answer it."""
        words = _without_sign(line.words, self.prefix)
        if not words or words[0].quoted:
            return None
        typed = words[0].fold.rstrip(_TRAILING)
        first = self._synonyms.get(typed, typed)
        if first not in self._first:
            return self._misspelled(first, Line(line.text, words, line.html))
        words = (replace(words[0], text=first), *words[1:])
        for length in range(min(self._longest, len(words)), 0, -1):
            for candidate in _candidates(words, length):
                path = tuple(word.fold.rstrip(_TRAILING) or word.fold for word in candidate[:length])
                if path in self._commands and not any(word.quoted for word in candidate[:length]):
                    return self._found(path, Line(line.text, candidate[length:], line.html))
        return self._unknown((first,), Line(line.text, words[1:], line.html))

    def _misspelled(self, first: str, line: Line) -> Unknown | None:
        """A first word that is nearly one of ours; None for what is more likely meant for another bot."""
        is_word = len(first) >= SHORTEST_GUESS and first.isalpha()
        if not is_word or not (close := get_close_matches(first, self._first, 1, SURE)):
            return None
        plugin, command = next(entry for path, entry in self._commands.items() if path[0] == close[0])
        command = self._commands.get((close[0],), (plugin, command))[1]
        return Unknown(plugin.name, (), line, {first: command})

    def _claim(self, path: Path, plugin: Plugin[Any], command: Command) -> None:
        if path in self._commands:
            other, _ = self._commands[path]
            raise ConfigError(f"the plugins {other.name} and {plugin.name} both declare {' '.join(path)}")
        self._commands[path] = plugin, command

    def _rename(self, plugin: Plugin[Any], synonyms: Mapping[str, str]) -> None:
        declared = {path[0] for path, (owner, _) in self._commands.items() if owner is plugin}
        for synonym, word in synonyms.items():
            if word.casefold() not in declared:
                raise ConfigError(f"the plugin {plugin.name} declares no command {word} for {synonym} to stand for")
            self._synonyms[synonym.casefold()] = word.casefold()

    def _found(self, path: Path, line: Line) -> Matched | Unknown:
        plugin, command = self._commands[path]
        if path in self._groups and line.words and not parameters(command):
            return self._unknown(path, line)
        return Matched(plugin.name, command, line)

    def _unknown(self, path: Path, line: Line) -> Unknown:
        under = {
            other: entry
            for other, entry in self._commands.items()
            if other[: len(path)] == path and len(other) > len(path)
        }
        plugin, _ = next(iter(under.values()))
        known = {" ".join(other[len(path) :]): command for other, (_, command) in under.items()}
        return Unknown(plugin.name, path, line, known)


def _folded(path: Path) -> Path:
    return tuple(word.casefold() for word in path)


def _without_sign(words: tuple[Word, ...], sign: str) -> tuple[Word, ...]:
    """The words without the sign before the first, from which a space may part it; none without a sign."""
    if not words or not words[0].text.startswith(sign):
        return ()
    if words[0].text == sign:
        return words[1:]
    first = words[0]
    return (replace(first, text=first.text[len(sign) :], start=first.start + len(sign)), *words[1:])


def _candidates(words: tuple[Word, ...], length: int) -> tuple[tuple[Word, ...], ...]:
    """The words as typed, and with digits parted from the last of the first `length` ("start20m")."""
    last = words[length - 1]
    glued = _GLUED.fullmatch(last.text)
    if glued is None or length == 1:
        return (words,)
    middle = last.start + glued.end(1)
    parted = (replace(last, text=glued[1], end=middle), replace(last, text=glued[2], start=middle))
    return words, (*words[: length - 1], *parted, *words[length:])

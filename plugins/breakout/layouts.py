"""From the words after `setup` to the rooms and seats that they ask for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bot.commands.parsers import number, only_people
from bot.commands.refusals import HostRefusal, Missing
from bot.commands.words import Line, Word
from plugins.breakout.domain.changes.setup import Layout, SeatLine
from plugins.breakout.domain.model import Door, Mode
from plugins.breakout.domain.refusals import NotUnderstood
from plugins.breakout.parsers import Known, before_colon, rows

_GROUPS = re.compile(
    r"(?:(?:in\s+)?(?:groups?|teams?|rooms?)\s+of\s+(?P<of>\S+)"
    r"|(?P<each>\S+)\s+(?:people\s+|persons?\s+)?(?:each|per\s+(?:room|group|team)))(?:\s+people)?"
)
_ROOMS = re.compile(r"(?P<count>\S+)\s+(?:breakout\s+)?(?:rooms?|groups?|teams?)|(?:breakout\s+)?rooms\s+(?P<last>\S+)")
_NO_SIZE = re.compile(r"(?:in\s+)?(?:groups|teams)(?:\s+of)?|(?:group|team|rooms?)\s+of")
"""Groups by size, and the size is missing."""

_SIZES = {"pairs": 2, "twos": 2, "trios": 3, "triples": 3, "threes": 3, "fours": 4, "fives": 5, "sixes": 6}
"""Groups by the word for their size: `setup pairs`, `setup in threes`."""

_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")
_LONGEST_NUMBER = 12
_PER_ROOM = frozenset({"people", "persons", "seats", "each", "per", "room", "group", "team"})


def layout(line: Line, known: Known) -> Layout:
    """`4`, `four rooms`, `groups of 4`, names with commas; mode and options at either end; seat lines below."""
    lines: list[Sequence[Word]] = []
    head: list[Word] = []
    options: dict[str, Any] = {}
    for row in rows(line.words):
        if any(word.user is not None for word in row) or before_colon(row)[0] is not None:
            words = list(row)
            options |= {} if lines else _taken_options(words)
            lines.append(words)
        else:
            head += row
    options |= _taken_options(head)
    count, names, size = _rooms_asked_for(head)
    seat_lines = tuple(_seat_line(words, known) for words in lines)
    return Layout(count=count, names=names, group_size=size, lines=seat_lines, **options)


def _taken_options(words: list[Word]) -> dict[str, Any]:
    """Take mode, door, `here`, `everyone` and `max 8` off both ends of `words`."""
    found: dict[str, Any] = {}
    while words:
        if capacity := _capacity(words):
            place, found["capacity"] = capacity
            del words[place]
        elif (option := _option(words[-1])) is not None:
            found |= option
            words.pop()
        elif (option := _option(words[0])) is not None:
            found |= option
            words.pop(0)
        else:
            break
    return found


def _capacity(words: Sequence[Word]) -> tuple[slice, int] | None:
    """Where `max 8` or `max 8 people per room` stands at one of the ends, and its number."""
    end = len(words)
    while end and words[end - 1].fold in _PER_ROOM:
        end -= 1
    for start, stop in ((end - 2, len(words)), (0, 2)):
        if start >= 0 and len(words) > start + 1 and words[start].fold == "max":
            count = _count_or_none(words[start + 1].fold.strip(",."))
            if count is not None:
                return slice(start, stop), count
    return None


def _option(word: Word) -> dict[str, Any] | None:
    text = word.fold.strip(",")
    if word.quoted:
        return None
    if text in tuple(Mode):
        return {"mode": Mode(text)}
    if text in tuple(Door):
        return {"door": Door(text)}
    if text in ("here", "everyone"):
        return {text: True}
    return {} if text == "mode" else None


Asked = tuple[int | None, tuple[str, ...], int | None]
"""How many rooms, which, or groups of how many."""


def _rooms_asked_for(words: Sequence[Word]) -> Asked:
    """What the words ask for; a line break parts names as a comma does.

    Raises `NotUnderstood` where words follow that neither belong to it nor make names of it.
    """
    if not words:
        return None, (), None
    if (asked := _counted(words)) is not None:
        return asked
    lines = [_joined(row).strip(" .,") for row in rows(words)]
    names = tuple(name.strip() for line in lines for name in line.split(","))
    if len(names) == 1:
        _require_understood(words)
    return None, names, None


def _counted(words: Sequence[Word]) -> Asked | None:
    """Rooms by number or groups by size; None where the words are something else. Raises `Missing` without the size."""
    low = _low(words)
    if _NO_SIZE.fullmatch(low):
        raise Missing("how many people to a group", "breakout setup groups of 4")
    if (groups := _GROUPS.fullmatch(low)) and (groups["of"] or _count_or_none(groups["each"]) is not None):
        return None, (), _count(groups["of"] or groups["each"])
    if (size := _SIZES.get(low.removeprefix("in "))) is not None:
        return None, (), size
    if (rooms := _ROOMS.fullmatch(low)) and (count := _count_or_none(rooms["count"] or rooms["last"])) is not None:
        return count, (), None
    if (count := _count_or_none(low)) is not None:
        return count, (), None
    return None


def _low(words: Sequence[Word]) -> str:
    return " ".join(word.fold for word in words).strip(" .,")


def _require_understood(words: Sequence[Word]) -> None:
    for length in range(len(words) - 1, 0, -1):
        before = words[:length]
        is_clear = length > 1 or _NUMBER.fullmatch(_low(before)) or _low(before) in _SIZES
        if is_clear and _counted(before) is not None:
            raise NotUnderstood(_joined(words[length:]), _joined(before))


def _joined(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _count_or_none(text: str) -> int | None:
    """A number of any size, in digits or words; None for what is none. `2.5` is refused here."""
    if _NUMBER.fullmatch(text):
        return _count(text)
    try:
        return number(text)
    except HostRefusal:
        return None


def _count(text: str) -> int:
    """The same, where a number must stand. Too small and too large ones are the rules' to refuse, with the limits."""
    return int(text[:_LONGEST_NUMBER]) if _WHOLE.fullmatch(text) else number(text)


def _seat_line(row: Sequence[Word], known: Known) -> SeatLine:
    room, rest = before_colon(row)
    if room is None:
        raise Missing("which room", "breakout setup manual\nTeam Alpha: @ann @bob")
    return SeatLine(room, only_people(rest, known.named) if rest else ())

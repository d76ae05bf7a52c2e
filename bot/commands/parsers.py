"""The parsers that commands share: lengths of time, numbers, choices, people."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from unicodedata import normalize

from bot.commands.read import evened
from bot.commands.refusals import (
    AmbiguousPerson,
    BadChoice,
    BadDuration,
    BadNumber,
    Fault,
    Missing,
    UnknownPerson,
)
from bot.commands.words import Word
from bot.matrix.ids import UserId, localpart_of

LONGEST = timedelta(hours=24)
"""The longest time that `duration` takes, unless told otherwise."""

_NUMBER_WORDS = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *(
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ),
)
_NUMBERS = {word: number for number, word in enumerate(_NUMBER_WORDS, start=1)}
_DIGITS = re.compile(r"[+-]?\d{1,9}")
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_AMOUNT = re.compile(
    r"\s*(?:and\s+|,\s*)?(?P<number>\d{1,9}(?:[.,]\d{1,3})?|half\s+an?|an?|[a-z]+)"
    r"\s*(?P<unit>h|m|s|hours?|hrs?|minutes?|mins?|seconds?|secs?)(?![a-z])"
)
_BARE_END = re.compile(r"\s*(\d{1,2})")
_CLOCK = re.compile(r"(\d{1,3}):([0-5]?\d)(?::([0-5]\d))?")
_MOST_CANDIDATES = 5
_FEW = 10
_BETWEEN = frozenset({",", ";", ":", "and", "&", "+"})


def duration(text: str, *, most: timedelta = LONGEST) -> timedelta:
    """A length of time: `90s`, `20m`, `1h30m`, `1 h 30 min`, `1:30:00`, "an hour"; a bare number is minutes.

    Raises `BadDuration`; `1:30` is refused with both readings.
    """
    typed = " ".join(text.split())
    if not typed:
        raise Missing("how long")
    low = typed.casefold()
    exact = _seconds(low.lstrip("-").rstrip(".").strip(), typed)
    if exact is None:
        raise BadDuration(typed)
    seconds = round(exact)
    if seconds <= 0 or low.startswith("-"):
        raise BadDuration(typed, Fault.NOT_POSITIVE)
    if seconds > most.total_seconds():
        raise BadDuration(typed, Fault.TOO_LONG, most=most)
    return timedelta(seconds=seconds)


def _seconds(text: str, typed: str) -> float | None:
    if text.isdecimal() or text in _NUMBERS:
        return 60.0 * _whole(text)
    if clock := _CLOCK.fullmatch(text):
        first, second, third = clock.groups()
        if third is None:
            raise BadDuration(typed, Fault.TWO_READINGS, _readings(int(first), int(second)))
        return 3600.0 * int(first) + 60 * int(second) + int(third)
    total, position, unit = 0.0, 0, ""
    while amount := _AMOUNT.match(text, position):
        if (count := _count(amount["number"])) is None:
            return None
        unit = amount["unit"][0]
        total += count * _SECONDS[unit]
        position = amount.end()
    if unit == "h" and (rest := _BARE_END.fullmatch(text, position)):  # 1h30
        return total + 60 * int(rest[1])
    return total if position and position == len(text) else None


def _readings(first: int, second: int) -> tuple[str, str]:
    rest = f"{second:d}" if second else ""
    return f"{first}h{rest and rest + 'm'}", f"{first}m{rest and rest + 's'}"


def _count(text: str) -> float | None:
    if text.startswith("half"):
        return 0.5
    if text in ("a", "an"):
        return 1
    if text in _NUMBERS:
        return _NUMBERS[text]
    return float(text.replace(",", ".")) if text[0].isdecimal() else None


def _whole(text: str) -> int:
    """A number of any length, where all the very long ones are alike."""
    return _NUMBERS.get(text) or int(text[:12])


def number(text: str, *, least: int = 1, most: int | None = None) -> int:
    """A whole number in digits, or one in words up to twenty; raises `BadNumber`."""
    found = _NUMBERS.get(text.casefold())
    if found is None and _DIGITS.fullmatch(text):
        found = int(text)
    if found is None or found < least or (most is not None and found > most):
        raise BadNumber(text, least, most)
    return found


def choice(text: str, options: Sequence[str]) -> str:
    """The one of `options` that was typed, in full or as a beginning of one only; raises `BadChoice`."""
    typed = text.casefold()
    exact = [option for option in options if option.casefold() == typed]
    fitting = exact or [option for option in options if typed and option.casefold().startswith(typed)]
    if len(fitting) != 1:
        raise BadChoice(text, tuple(options))
    return fitting[0]


@dataclass(frozen=True, slots=True)
class Named:
    """A person who can be named in a command."""

    user: UserId
    display_name: str


def people(words: Sequence[Word], names: Sequence[Named]) -> tuple[tuple[UserId, ...], tuple[Word, ...]]:
    """The people with whom `words` begin, each once, and the words that follow.

    A person is named by pill, full id, localpart (with or without `@`) or display name, the longest run of
    words first. The first must be a person, and whatever looks like one (a pill, an `@`) one of `names`.
    Raises `UnknownPerson`, `AmbiguousPerson`, or `Missing` without words.
    """
    if not words:
        raise Missing("who")
    directory = _Directory(names)
    found: dict[UserId, None] = {}
    position = _skipped(words, 0)
    while position < len(words):
        user, length = directory.leading(words[position:])
        if user is None:
            if not found or words[position].user or words[position].text.startswith("@"):
                raise directory.unknown(words[position])
            break
        found[user] = None
        position = _skipped(words, position + length)
    if not found:
        raise Missing("who")
    return tuple(found), tuple(words[position:])


def only_people(words: Sequence[Word], names: Sequence[Named]) -> tuple[UserId, ...]:
    """As `people`, where nothing else may follow."""
    found, rest = people(words, names)
    if rest:
        raise _Directory(names).unknown(rest[0])
    return found


def _skipped(words: Sequence[Word], position: int) -> int:
    """Where the next name begins; clients put a colon behind a pill at the beginning of a line."""
    while position < len(words) and not words[position].quoted and words[position].fold in _BETWEEN:
        position += 1
    return position


class _Directory:
    """Everybody by each of their names."""

    def __init__(self, names: Sequence[Named]) -> None:
        self.users = {named.user: named.display_name or named.user for named in names}
        self.by_name: defaultdict[str, list[UserId]] = defaultdict(list)
        self.by_localpart: defaultdict[str, list[UserId]] = defaultdict(list)
        for named in names:
            self.by_localpart[_key(localpart_of(named.user))].append(named.user)
            self.by_name[_key(named.display_name)].append(named.user)
        self.by_name.pop("", None)
        self.longest = max((key.count(" ") + 1 for key in self.by_name), default=1)

    def leading(self, words: Sequence[Word]) -> tuple[UserId | None, int]:
        """The person whose name is the longest beginning of `words`, and how many words it takes."""
        first = words[0]
        if first.user is not None:
            return (first.user if first.user in self.users else None), 1
        for length in range(1 if first.quoted else min(self.longest, len(words)), 0, -1):
            run = words[:length]
            if any(word.user or word.row != first.row for word in run):
                continue
            if (user := self._one(" ".join(word.text for word in run))) is not None:
                return user, length
        return None, 0

    def unknown(self, word: Word) -> UnknownPerson:
        """Nobody is called so; with the names that begin so or come close, else all names where they are few."""
        known, typed = [*self.by_name, *self.by_localpart], _bare(word.text)
        begun = [key for key in known if typed and any(part.startswith(typed) for part in (key, *key.split()))]
        close = dict.fromkeys([*begun, *get_close_matches(typed, known, _MOST_CANDIDATES)])
        users = [user for key in close for user in self.by_name.get(key) or self.by_localpart[key]]
        candidates = tuple(dict.fromkeys(self.users[user] for user in users))
        everybody = tuple(self.users.values()) if len(self.users) <= _FEW else ()
        return UnknownPerson(word.text.rstrip(",;:"), candidates[:_MOST_CANDIDATES], everybody)

    def _one(self, typed: str) -> UserId | None:
        bare = _bare(typed)
        if bare not in self.by_name and bare not in self.by_localpart:
            bare = bare.rstrip(".!?")
        by_localpart = self.by_localpart.get(bare, [])
        if typed.startswith("@") and by_localpart:
            fitting = by_localpart
        else:
            fitting = list(dict.fromkeys(self.by_name.get(bare, []) + by_localpart))
        if len(fitting) > 1:
            raise AmbiguousPerson(typed, tuple(sorted(fitting)))
        return fitting[0] if fitting else None


def _key(name: str) -> str:
    """A name as it is compared: without case, spaces and quotes evened out."""
    return " ".join(evened(normalize("NFKC", name)).casefold().split())


def _bare(typed: str) -> str:
    return _key(typed).removeprefix("@").rstrip(",;:")

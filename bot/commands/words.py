"""A typed line as words with their places, pills resolved to ids."""

from __future__ import annotations

from dataclasses import dataclass

from bot.matrix.ids import RoomId, UserId

_SENTENCE_ENDS = ".!?"
"""Phones write a full stop where somebody types two spaces."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a line: `line.text[start:end]`, quotes included; `text` is without them.

    Dashes and quotes are normalised in `text`; letters keep their case (compare with `.fold`).
    """

    text: str
    start: int
    end: int
    user: UserId | None = None
    """The person, where the word is a pill or a full user id."""
    room: RoomId | None = None
    """The room, where the word is a room pill."""
    quoted: bool = False
    row: int = 0
    """The line of the message in which it stands, from 0."""

    @property
    def fold(self) -> str:
        """For comparison, without case and, where it is not quoted, without the sign that ends a sentence."""
        low = self.text.casefold()
        return low if self.quoted else low.rstrip(_SENTENCE_ENDS) or low


@dataclass(frozen=True, slots=True)
class Line:
    """What somebody typed: the quote of a reply is off, each pill stands as its id in `text`; may have line breaks."""

    text: str
    words: tuple[Word, ...]
    html: str | None = None
    """The message's `formatted_body`, where it has one, for relaying."""

    def after(self, count: int) -> Line:
        """The line without its first `count` words; places keep counting from the whole text."""
        return Line(self.text, self.words[count:], self.html)

    @property
    def rest(self) -> str:
        """The text from the first word on, as typed."""
        return self.text[self.words[0].start :].strip() if self.words else ""

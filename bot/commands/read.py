"""From a message as a client sent it to a line of words."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser

from bot.commands.words import Line, Word
from bot.matrix.events import Message
from bot.matrix.ids import RoomId, UserId, linked_id, user_id
from bot.message.allowed import cleaned, scrubbed

_DOUBLE_QUOTES = "“”„‟«»″＂"
_SINGLE_QUOTES = "‘’‚‛‹›′＇"
_HYPHENS = "\u2010\u2011\u2012\u2013\u2212\uff0d"
_UNSEEN = "\u00ad\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
"""Marks without width that phones, browsers and copied texts put between words."""

_EVEN = str.maketrans(
    dict.fromkeys(_DOUBLE_QUOTES, '"')
    | dict.fromkeys(_SINGLE_QUOTES, "'")
    | dict.fromkeys(_HYPHENS, "-")
    | dict.fromkeys(_UNSEEN, " ")
    | {"！": "!"}
)
"""What phones write for what people mean; each character becomes one, so that places stay the same."""

_LONG_DASHES = str.maketrans(dict.fromkeys("\u2014\u2015", "--"))

_WORD = re.compile(
    r'"(?P<double>[^"\n]*)"(?=[\s,;:.!?)]|$)'
    r"|'(?P<single>[^\n]{1,100}?)'(?=[\s,;:.!?)]|$)"
    r"|\S(?:(?!(?<=[,;:(])[\"'])\S)*"
)
_USER = re.compile(r"@[^\s:]+:(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)(?::\d{1,5})?")
_TRAILING = ",;:.!?)"

_BREAKING = frozenset(
    {
        "blockquote",
        "caption",
        "details",
        "div",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "pre",
    }
    | {"summary", "table", "td", "th", "tr", "ul"}
)
_VOID = frozenset({"br", "hr", "img"})


def line_of(message: Message) -> Line:
    """What the sender typed, without the quote of a reply; never raises.

    Read from `formatted_body` where there is one, since only that has the ids of pills, else from `body`.
    """
    if message.html is not None:
        html = cleaned(message.html)
        reader = _Reader(html)
        if not reader.text.isspace() and reader.text:
            return Line(reader.text, tuple(_words(reader.text, reader.pills)), html)
    text = scrubbed(message.body if message.reply_to is None else _without_quote(message.body))
    return Line(text, tuple(_words(text, [])))


def evened(text: str) -> str:
    """The text with the quotes, hyphens and spaces of plain keyboards; each character stays in its place."""
    return text.translate(_EVEN)


def html_after(line: Line, start: int) -> str | None:
    """The part of the message's HTML that follows the place `start` of `line.text`, tags balanced.

    None where the message has none. It is somebody's own: send it as `Relayed`, which cleans it.
    """
    if line.html is None:
        return None
    return "".join(_Reader(line.html, start).kept).strip() or None


def _without_quote(body: str) -> str:
    lines = body.split("\n")
    while lines and lines[0].startswith(">"):
        del lines[0]
    return "\n".join(lines)


Pill = tuple[int, int, UserId | RoomId]
"""Where in the text a pill stands, and whom it names."""


class _Reader(HTMLParser):
    """Reads well-formed HTML as text with the places of its pills, and keeps the HTML from one place on."""

    def __init__(self, html: str, keep_from: int | None = None) -> None:
        super().__init__(convert_charrefs=True)
        self.pills: list[Pill] = []
        self.kept: list[str] = []
        self._texts: list[str] = []
        self._length = 0
        self._open: list[str] = []
        self._in_pill = False
        self._keep_from = keep_from
        self._keeping = False
        self.feed(html)
        self.close()
        self.text = "".join(self._texts).rstrip("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        named = linked_id(given.get("href") or "") if tag == "a" else None
        if tag in _BREAKING:
            self._end_line()
        elif tag == "br":
            self._advance("\n")
        elif tag == "img":
            self._advance(given.get("alt") or "")
        elif named is not None:
            self.pills.append((self._length, self._length + len(named), named))
            self._advance(named)
            self._in_pill = True
        self._keep(self.get_starttag_text() or "")
        if tag not in _VOID:
            self._open.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        self._keep(f"</{tag}>")
        if self._open:
            self._open.pop()
        if tag == "a":
            self._in_pill = False
        if tag in _BREAKING:
            self._end_line()

    def handle_data(self, data: str) -> None:
        if self._in_pill:
            self._keep(escape(data, quote=False))
            return
        for number, piece in enumerate(data.split("\n")):
            if number:  # no client wraps lines: whoever sends a bare line break had one typed
                self._end_line()
                self._keep("\n")
            if piece.strip() or not self._at_line_start():
                cut = self._advance(piece)
                self._keep(escape(piece[cut:], quote=False))

    def _advance(self, text: str) -> int:
        """Add to the text; return how much of it stands before the place from which HTML is kept."""
        cut = 0
        if not self._keeping and self._keep_from is not None and self._length + len(text) > self._keep_from:
            self._keeping = True
            self.kept.extend(self._open)
            cut = max(0, self._keep_from - self._length)
        self._texts.append(text)
        self._length += len(text)
        return cut

    def _keep(self, html: str) -> None:
        if self._keeping:
            self.kept.append(html)

    def _at_line_start(self) -> bool:
        return self._length == 0 or self._texts[-1].endswith("\n")

    def _end_line(self) -> None:
        if not self._at_line_start():
            self._advance("\n")


def _words(text: str, pills: list[Pill]) -> Iterator[Word]:
    breaks = [match.start() for match in re.finditer("\n", text)]
    even = evened(text)
    position = 0
    for start, end, named in [*pills, (len(text), len(text), None)]:
        for match in _WORD.finditer(even, position, start):
            yield from _typed(match, bisect_left(breaks, match.start()))
        if named is not None:
            yield _named(named, start, end, bisect_left(breaks, start))
        position = end


def _typed(match: re.Match[str], row: int) -> Iterator[Word]:
    """One word, or a person's id and the punctuation behind it."""
    inner = match["double"] if match["double"] is not None else match["single"]
    start, end = match.span()
    if inner is not None:
        yield Word(inner.translate(_LONG_DASHES).strip(), start, end, quoted=True, row=row)
        return
    core = match[0].rstrip(_TRAILING)
    named = _id_of(core)
    if named is None:
        yield Word(match[0].translate(_LONG_DASHES), start, end, row=row)
        return
    yield _named(named, start, start + len(core), row)
    if core != match[0]:
        yield Word(match[0][len(core) :], start + len(core), end, row=row)


def _id_of(word: str) -> UserId | RoomId | None:
    if not _USER.fullmatch(word):
        return linked_id(word)
    try:
        return user_id(word)
    except ValueError:
        return None


def _named(named: UserId | RoomId, start: int, end: int, row: int) -> Word:
    if named.startswith("@"):
        return Word(named, start, end, user=UserId(named), row=row)
    return Word(named, start, end, room=RoomId(named), row=row)

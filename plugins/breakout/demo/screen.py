"""Shows the conversation as it happens: rooms side by side on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from bot.testing.raw import Json, Seen

MAIN = "main room"
DESK = "desk"

_COLOURS = ("cyan", "magenta", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_yellow", "bright_blue")
_PICTURE = (150, 46)
"""Columns and lines of the picture."""

_CAME, _LEFT, _SAID = "came in", "left", "said"


@dataclass
class Line:
    """One line of a room: what somebody said, or who came and went."""

    at: int
    kind: str
    who: list[str]
    text: str = ""
    reactions: Counter[str] = field(default_factory=Counter)


@dataclass
class Pane:
    """A room as people see it, drawn from the bottom up in whatever space there is."""

    title: str
    bot: str
    lines: list[Line] = field(default_factory=list)
    people: set[str] = field(default_factory=set)

    def add(self, line: Line) -> None:
        """Put a line where its time wants it; those who come or go at once share one."""
        last = self.lines[-1] if self.lines else None
        if last is not None and line.kind != _SAID and last.kind == line.kind and not line.text and not last.text:
            last.who += [who for who in line.who if who not in last.who]
            return
        place = len(self.lines)
        while place and self.lines[place - 1].at > line.at:
            place -= 1
        self.lines.insert(place, line)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or 10
        rows: list[Text] = []
        for line in reversed(self.lines):
            rows[:0] = self._drawn(line).wrap(console, options.max_width)
            if len(rows) >= height:
                break
        yield Text("\n").join(rows[-height:])

    def _drawn(self, line: Line) -> Text:
        if line.kind != _SAID:
            return Text(f"{', '.join(line.who)} {line.kind}{line.text}", "dim italic")
        name = line.who[0]
        drawn = Text(name, f"bold {_colour(name, self.bot)}").append(": ", "dim")
        drawn.append(line.text, "bold" if line.text.startswith("!") else "")
        if line.reactions:
            taps = " ".join(key if count == 1 else f"{key} {count}" for key, count in line.reactions.items())
            drawn.append(f"  {taps}")
        return drawn


def _colour(name: str, bot: str) -> str:
    return "green" if name == bot else _COLOURS[sum(map(ord, name)) % len(_COLOURS)]


class Screen(Protocol):
    """Where the demo is shown."""

    def act(self, caption: str) -> None:
        """Say what happens now."""

    def news(self, pane: Pane, line: Line) -> None:
        """Show a new line."""

    def opened(self, pane: Pane) -> None:
        """Show a new room."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class PlainScreen:
    """Lines, one below the other, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._since = time.monotonic()

    def act(self, caption: str) -> None:
        self._print(f"\n{time.monotonic() - self._since:5.1f} s  == {caption}")

    def news(self, pane: Pane, line: Line) -> None:
        text = f"{line.who[0]}: {line.text}" if line.kind == _SAID else f"{line.who[0]} {line.kind}{line.text}"
        indented = text.strip().replace("\n", "\n         ")
        self._print(f"         [{pane.title}] {indented}")

    def opened(self, pane: Pane) -> None:
        self._print(f"         [{pane.title}] is there")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveScreen:
    """The main room and the desk above, the breakout rooms side by side below, the caption on top.

    `picture`: the file to draw it into as each act ends, as long as all rooms are in use.
    """

    def __init__(self, console: Console, picture: Path | None = None) -> None:
        self._picture = picture
        self._caption = Text("Putting up a homeserver …")
        self._since = time.monotonic()
        self._above: dict[str, Pane] = {}
        self._below: dict[str, Pane] = {}
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=6)

    def act(self, caption: str) -> None:
        if self._picture is not None and self._below and all(pane.people for pane in self._below.values()):
            self._picture.write_text(self.picture(), "utf-8")
        self._caption = Text(caption, "bold")

    def news(self, pane: Pane, line: Line) -> None:
        """Drawn with the next picture."""

    def opened(self, pane: Pane) -> None:
        (self._above if pane.title in (MAIN, DESK) else self._below)[pane.title] = pane

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.refresh()
        self._live.stop()

    def picture(self) -> str:
        """What is on the screen now, as an SVG that loads no font from elsewhere."""
        console = Console(record=True, file=io.StringIO(), width=_PICTURE[0], height=_PICTURE[1])
        console.print(self._draw(), height=_PICTURE[1])
        return re.sub(r"@font-face {.*?}\s*", "", console.export_svg(title="scripts/demo"), flags=re.DOTALL)

    def _draw(self) -> Layout:
        seconds = Text(f"{time.monotonic() - self._since:.0f} s", "dim")
        caption = Panel(self._caption, title="Breakout rooms · a session on this machine", subtitle=seconds)
        caption.title_align, caption.subtitle_align, caption.border_style = "left", "right", "green"
        whole = Layout()
        whole.split_column(Layout(caption, size=3), *filter(None, (_row(self._above), _row(self._below))))
        return whole


def _row(panes: Mapping[str, Pane]) -> Layout | None:
    if not panes:
        return None
    row = Layout()
    drawn = []
    for _, pane in sorted(panes.items(), key=lambda item: (item[0] != MAIN, item[0])):
        who = f"{len(pane.people)} here" if pane.people else "nobody here"
        panel = Panel(pane, title=Text(pane.title, "bold"), subtitle=Text(who, "dim"), title_align="left")
        panel.subtitle_align = "right"
        panel.border_style = "white" if pane.people else "bright_black"
        drawn.append(Layout(panel, ratio=3 if pane.title == MAIN else 2))
    row.split_row(*drawn)
    return row


class Tape:
    """Takes in what everybody's client hears, each event once, and puts it into the rooms' panes."""

    def __init__(self, screen: Screen, names: Mapping[str, str], bot: str) -> None:
        self.panes: dict[str, Pane] = {}
        self._screen = screen
        self._names = names
        self._bot = bot
        self._taken: set[str] = set()
        self._lines: dict[str, Line] = {}
        self._waiting: dict[str, list[Seen]] = {}

    def open(self, room: str, title: str) -> None:
        """Give a room its pane."""
        if room in self.panes:
            return
        self.panes[room] = pane = Pane(title, self._bot)
        self._screen.opened(pane)
        for seen in self._waiting.pop(room, []):
            self._put(pane, seen)

    def take(self, seen: Seen) -> None:
        """Show an event, unless somebody else has heard it before."""
        if not seen.event_id or seen.event_id in self._taken:
            return
        self._taken.add(seen.event_id)
        if (pane := self.panes.get(seen.room)) is None:
            self._waiting.setdefault(seen.room, []).append(seen)
        else:
            self._put(pane, seen)

    def deserted(self, room: str) -> None:
        """Note that nobody is in a room any more: the last one to leave tells nobody."""
        if (pane := self.panes.get(room)) is not None:
            pane.people.clear()

    def _put(self, pane: Pane, seen: Seen) -> None:
        match seen.type:
            case "m.room.message":
                self._message(pane, seen)
            case "m.reaction":
                relation: Json = seen.content.get("m.relates_to", {})
                if line := self._lines.get(relation.get("event_id", "")):
                    line.reactions[_shown(str(relation.get("key", "")))] += 1
            case "m.room.member":
                self._member(pane, seen)

    def _message(self, pane: Pane, seen: Seen) -> None:
        relation: Json = seen.content.get("m.relates_to", {})
        edited = self._lines.get(relation.get("event_id", ""))
        if relation.get("rel_type") == "m.replace" and edited is not None:
            edited.text = _shown(seen.body)
            return
        self._add(pane, seen, Line(_at(seen), _SAID, [self._name(seen.sender)], _shown(seen.body)))

    def _member(self, pane: Pane, seen: Seen) -> None:
        user = seen.state_key or ""
        here = seen.content.get("membership") == "join"
        before = seen.event.get("unsigned", {}).get("prev_content", {}).get("membership")
        if here and user not in pane.people:
            pane.people.add(user)
            self._add(pane, seen, Line(_at(seen), _CAME, [self._name(user)]))
        elif not here and user in pane.people:
            pane.people.discard(user)
            self._add(pane, seen, Line(_at(seen), _LEFT, [self._name(user)]))
        elif not here and before == "invite" and user == seen.sender:
            self._add(pane, seen, Line(_at(seen), "declined", [self._name(user)], " the invitation"))

    def _add(self, pane: Pane, seen: Seen, line: Line) -> None:
        self._lines[seen.event_id] = line
        pane.add(line)
        self._screen.news(pane, line)

    def _name(self, user: str) -> str:
        return self._names.get(user, user)


def _shown(text: str) -> str:
    """The words without the addresses of links, which clients show as names, and without blank lines.

    Without variation selectors too: terminals disagree on how wide they make what stands before.
    """
    words = re.sub(r" \(https://matrix\.to/\S+\)|: https://matrix\.to/\S+", "", text.replace("\ufe0f", ""))
    return re.sub(r"\n\s*\n", "\n", words)


def _at(seen: Seen) -> int:
    return int(seen.event.get("origin_server_ts", 0))

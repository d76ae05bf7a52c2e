"""Writes docs/commands.md, from the commands' own declarations and the table of the phases."""

from __future__ import annotations

from pathlib import Path

from bot.commands.help import markdown
from plugins.breakout import phases
from plugins.breakout.plugin import plugin

HEAD = """# Commands

<!-- Written by `python -m plugins.breakout.commands_page`, from the commands themselves. -->

Case, curly quotes, long dashes, stray spaces, line breaks and a full stop at the end do not matter.
`!bo` is short for `!breakout`.
People go by mention, user id, localpart or display name; rooms by number, name, or the beginning of a word of it.
A tap on a number, ✅, 🔁, 🙋 and so on does what the command beside it does.

What cannot be done is answered by a sentence that says why and what works. People who are no moderators get such a
sentence once a minute: a second one within the minute is left out, so that nobody can fill the room with them.
A command that works is always answered, and moderators always get the sentence.

"""

TABLE = """
## When a command works

"""


def page() -> str:
    """The whole page."""
    return HEAD + markdown([plugin]) + TABLE + phases.markdown()


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "commands.md").write_text(page(), encoding="utf-8")

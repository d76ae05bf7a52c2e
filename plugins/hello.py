"""The documentation's example of a plugin: it greets, and keeps count."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.message.doc import Doc, doc
from bot.message.sentence import Catalogue
from bot.plugin import Call, Host, NoConfig, Plugin, Rest

catalogue = Catalogue()


@asynccontextmanager
async def lifespan(_host: Host) -> AsyncIterator[Counter[str]]:
    """What it yields is the state of the plugin; what follows the yield is its end."""
    yield Counter()


plugin = Plugin("hello", "Counts greetings.", NoConfig, lifespan)


@plugin.command("hello", usage=("", "NAME"), examples=("hello", "hello big world"))
async def hello(call: Call[Counter[str]], whom: Rest = "world") -> Doc:
    """Greet someone, and keep count."""
    call.state[whom] += 1
    times = call.state[whom]
    return doc(catalogue.say_n("Hello {whom}!", "Hello {whom}, for the {count}. time!", times, whom=whom))

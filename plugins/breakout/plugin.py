"""The plugin put together: its declaration, with the commands and events that add themselves to it."""

from plugins.breakout import commands, events  # noqa: F401 - importing them declares them
from plugins.breakout.declaration import plugin

__all__ = ["plugin"]

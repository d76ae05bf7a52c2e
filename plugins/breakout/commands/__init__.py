"""The commands, by theme: each one declaration, which parses, authorises, helps, documents and is tested."""

from plugins.breakout.commands import (  # noqa: F401 - importing them declares them, in the order of the help
    general,
    helping,
    participants,
    running,
    seating,
    setting_up,
    talking,
)

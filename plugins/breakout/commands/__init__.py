"""The commands, by theme: each one declaration, which parses, authorises, helps, documents and is tested."""

# isort: off
from plugins.breakout.commands import (  # noqa: F401 - importing them declares them, in the order of the help
    setting_up,
    running,
    seating,
    talking,
    helping,
    participants,
    general,
)

"""How often we ask for news: at once while little happens, seldom while much does, so that one answer tells of much.

Where somebody waits for it, a homeserver puts an answer to `/sync` together for each event that it makes, which costs
Synapse half as much as the event. In a burst (a start, everybody moving) most of these events are our own.
"""

from __future__ import annotations

AT_ONCE = 0.25
"""An answer within so many seconds had news waiting, or nearly."""

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.2
"""Seconds by which somebody is heard later in a burst, at most."""


class Rhythm:
    """Answers that came at once, in a row, make the pause before the next question longer; one that waited ends it."""

    def __init__(self) -> None:
        self.pause = 0.0
        """Seconds to wait before the next question."""

    def answered(self, seconds: float) -> None:
        """A question was answered after so long."""
        self.pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self.pause)) if seconds < AT_ONCE else 0.0

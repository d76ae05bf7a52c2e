"""What came of one command, as the one line of the log that tells all of it, and nothing that people wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from bot.commands.match import Matched, Unknown
from bot.matrix.ids import RoomId
from bot.metrics import Metrics
from bot.plugin import Standing

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Deed:
    """One command on its way; who carries it out notes here what becomes of it."""

    found: Matched | Unknown
    room: RoomId
    standing: Standing
    outcome: str = "done"
    """`done`, `refused`, `failed` (by an unknown error), or `unanswered` (a refusal too soon after the last one)."""
    refusal: str = ""
    """The kind of the refusal."""
    reference: str = ""
    """What the asker was told to name to the admins, where something broke."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What the plugin says of its subject."""

    @property
    def command(self) -> str:
        """The declared command; what was typed is in no log."""
        return " ".join(self.found.command.path) if isinstance(self.found, Matched) else "unknown"

    def note(self, metrics: Metrics, seconds: float) -> None:
        """Count it and write the line."""
        metrics.commands.labels(self.command, self.outcome).inc()
        told = {"refusal": self.refusal, "reference": self.reference}
        log.info(
            "command",
            command=self.command,
            outcome=self.outcome,
            **{name: value for name, value in told.items() if value},
            role=self.standing.role.name.lower(),
            place=self.standing.place,
            room=self.room,
            **self.about,
            ms=round(seconds * 1000),
        )

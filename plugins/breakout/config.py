"""The settings of breakout rooms."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator

from bot.commands.parsers import duration
from bot.commands.refusals import HostRefusal
from bot.plugin import PluginConfig
from plugins.breakout.domain.model import Door, LateJoiners, Mode, OnEnd, Settings


def _length(value: object) -> object:
    """`90s`, `20m`, `14 days` or a number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return timedelta(seconds=value)
    if not isinstance(value, str):
        return value
    text = value.strip().casefold()
    number, _, unit = text.partition("d")
    if unit in ("", "ay", "ays") and text != number and number.strip().isdecimal():
        return timedelta(days=int(number))
    if text in ("0", "0s"):
        return timedelta()
    try:
        return duration(text, most=timedelta(days=365))
    except HostRefusal:
        raise ValueError('must be a length of time such as "90s", "5m" or "14 days"') from None


Length = Annotated[timedelta, BeforeValidator(_length), Field(ge=timedelta())]
Positive = Annotated[timedelta, BeforeValidator(_length), Field(gt=timedelta())]


class BreakoutConfig(PluginConfig):
    """Settings below `plugins.breakout`."""

    names: tuple[str, ...] = Field(
        ("breakout", "bo"), min_length=1, description="The words that commands begin with; the first one is shown."
    )
    moderator_power_level: int = Field(50, description="The power level in the main room from which on one moderates.")
    ignore_users: tuple[str, ...] = Field(
        (), description="Patterns of user ids that are neither seated nor answered: other bots, bridges."
    )
    mode: Mode = Field(Mode.AUTO, description="How people come to their seats unless `setup` says otherwise.")
    door: Door = Field(
        Door.INVITE,
        description="How people come into their rooms unless `setup` says otherwise: `invite`, or `open`: members of "
        "the main room walk in by a link, one message says who goes where, and nobody is invited.",
    )
    max_rooms: int = Field(20, ge=1, le=100, description="The most rooms of one session.")
    confirm_above: int = Field(50, ge=0, description="Above this many people `start` asks first.")
    closing_notice: Length = Field(timedelta(seconds=60), description="From the notice to the end.")
    long_closing_notice: Length = Field(timedelta(minutes=2), description="The same for rounds of 15 minutes and more.")
    warnings: tuple[Positive, ...] = Field(
        (timedelta(minutes=5), timedelta(minutes=1)), description="How long before the end the rooms are warned."
    )
    max_duration: Positive = Field(timedelta(hours=12), description="A session ends by itself after this.")
    delete_after: Positive = Field(timedelta(days=14), description="Ended rooms are deleted after this.")
    on_end: OnEnd = Field(
        OnEnd.REMOVE,
        description="What becomes of people at the end: `remove` takes them out of the rooms, `keep` leaves them there "
        "to read, and the next start opens the rooms again.",
    )
    late_joiners: LateJoiners | None = Field(
        None,
        description="People who join the main room while a session runs: `smallest` seats them, `ask` asks the "
        "moderators, `stay` does nothing. Empty: smallest in auto mode, ask in manual mode.",
    )
    help_reminder: Positive = Field(
        timedelta(minutes=3), description="An unanswered help request is repeated after this."
    )
    help_cooldown: Length = Field(timedelta(seconds=10), description="How long one waits between two requests.")
    board_interval: Length = Field(timedelta(seconds=5), description="The board is edited at most this often.")
    not_in_after: Positive = Field(
        timedelta(seconds=90), description="Who has not come this long after the start is mentioned once."
    )
    move_grace: Positive = Field(
        timedelta(seconds=60), description="How long somebody who is moved may stay in the old room."
    )
    clock_patience: Positive = Field(
        timedelta(seconds=60), description="The clock of a time limit begins at the latest this long after `start`."
    )
    confirm_within: Positive = Field(timedelta(minutes=2), description="How long a question waits for its ✅.")
    here_for: Positive = Field(
        timedelta(minutes=15), description="Who wrote in the main room this recently counts as here."
    )
    timezone: str = Field("UTC", description="The time zone of the times that the bot says, such as Europe/Berlin.")
    history_visibility: Literal["invited", "joined", "shared"] = Field(
        "invited", description="What newcomers of a breakout room can read of what was said before."
    )
    encryption: Literal["auto", "always", "never"] = Field(
        "auto", description="Whether breakout rooms and the desk are encrypted; `auto`: where the main room is."
    )
    members: Literal["invite", "force_join"] = Field(
        "invite",
        description="How people come into their rooms: by an invite that they accept, or, where the bot is an admin of "
        "its Synapse, at once and without a tap (`force_join`; people of other servers are invited). `check` says "
        "whether it is one.",
    )
    call_event_types: tuple[str, ...] = Field(
        ("org.matrix.msc3401.call.member", "m.call.member"),
        description="State events by which people take part in calls; participants may send them while a room is open.",
    )

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("must be the name of a time zone such as Europe/Berlin") from None
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the times that the bot says."""
        return ZoneInfo(self.timezone)

    def settings(self) -> Settings:
        """What the rules need of it."""
        shared = Settings.__dataclass_fields__.keys() & type(self).model_fields.keys()
        return Settings(**{name: getattr(self, name) for name in shared})

"""All that a plugin author imports: the declaration of a plugin, its commands, and what the host hands to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Generic, Protocol, TypeAlias, TypeVar

from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict

from bot.clock import Clock
from bot.commands.words import Line
from bot.matrix.events import Message, Reaction
from bot.matrix.ids import EventId, RoomId, UserId
from bot.matrix.ports import Homeserver, Limits, Urgency
from bot.message.doc import Doc

if TYPE_CHECKING:
    from bot.store.connection import Connection
    from bot.store.database import Database
    from bot.store.roomstate import RoomStates

S = TypeVar("S")

Rest = Annotated[str, "the rest of the line"]
"""An argument that takes the remaining words of the line, as typed."""

Original: TypeAlias = tuple[RoomId, EventId]
"""A message of somebody and its room: ids alone can be named in other rooms too."""


class PluginConfig(BaseModel):
    """The base of a plugin's settings: unknown keys are refused, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoConfig(PluginConfig):
    """For a plugin without settings."""


class Role(IntEnum):
    """Who may run a command; a higher role may run what a lower one may."""

    ANYONE = 0
    MODERATOR = 1


@dataclass(frozen=True, slots=True)
class Standing:
    """What an asker is where he asks. `place` is one of the plugin's own words for kinds of rooms."""

    role: Role
    place: str
    home: RoomId
    """The room whose power levels decided (the main room of a breakout room, say)."""
    in_thread: bool = False
    """Answers go into a thread at the command, so that they do not fill the room."""


@dataclass(frozen=True, slots=True)
class Tick:
    """An outcome that needs no words: the command gets a ✅."""


Outcome = Doc | Tick | None


class Outbox(Protocol):
    """What is said once: stored in the transaction of the change that caused it, sent from there, in order per room.

    `key` names a message for ever: a second `say` with a known key does nothing. Rows of one `group` wake
    `wake` (a key of the plugin's reconciler) when all of them are sent or refused.
    """

    async def say(
        self,
        key: str,
        room: RoomId,
        doc: Doc,
        *,
        urgency: Urgency = Urgency.MESSAGE,
        reply_to: EventId | None = None,
        thread: EventId | None = None,
        group: str = "",
        wake: str = "",
        origin: Original | None = None,
        not_before: datetime | None = None,
        held: bool = False,
    ) -> None:
        """Say `doc` in `room`. `origin` is a relayed message: redacting that one redacts this one.

        `held`: not before `release` of its group, for what must follow a step on the homeserver.
        """
        ...

    async def release(self, group: str) -> None:
        """Let the held messages of `group` go."""
        ...

    async def relay(
        self,
        key: str,
        room: RoomId,
        type_: str,
        content: Mapping[str, Any],
        *,
        urgency: Urgency = Urgency.MESSAGE,
        group: str = "",
        wake: str = "",
        origin: Original,
    ) -> None:
        """Send a copy of an event's own content (an image, a file, a poll); mentions are emptied by the caller."""
        ...

    async def edit(self, key: str, doc: Doc, *, not_before: datetime | None = None) -> None:
        """Let the message of `key` read `doc`; of several unsent edits only the last is sent, unchanged text never."""
        ...

    async def react(self, room: RoomId, target: EventId, emoji: str) -> None:
        """React once with `emoji`."""
        ...

    async def withdraw(self, key: str) -> None:
        """Redact the message of `key`, or drop it while it is unsent."""
        ...

    async def sent(self, key: str) -> Sent | None:
        """What became of a message; None for an unknown key."""
        ...

    async def group(self, group: str) -> Sequence[Sent]:
        """What became of each message of a group."""
        ...

    async def said_before(self, key: str, room: RoomId) -> None:
        """Take this as said by a former life of which the store knows nothing; nothing for a known key."""
        ...

    async def drop(self, key: str) -> None:
        """Let the message of `key` stay as the room reads it: what is unsent of it, edits too, never goes out."""
        ...

    async def drop_room(self, room: RoomId) -> None:
        """Forget what is unsent for a room that is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """The fate of one outbox row: `event` once it is sent, `refused` where it never will be."""

    key: str
    room: RoomId
    event: EventId | None
    refused: str | None

    @property
    def settled(self) -> bool:
        """Whether it will not change any more."""
        return self.event is not None or self.refused is not None


class Alarms(Protocol):
    """Ring me at this moment: rows in the store, one per key."""

    async def ring(self, key: str, at: datetime | None) -> None:
        """Wake the plugin's reconciler for `key` at `at`; None takes the alarm back. The last call for a key counts."""
        ...


@dataclass(frozen=True, slots=True)
class Unit:
    """One transaction and what may be done in it: no network call happens inside."""

    connection: Connection
    now: datetime
    rooms: RoomStates
    """The room-state table: members, power, any state content."""
    outbox: Outbox
    alarms: Alarms
    wake: Callable[[str], None]
    """Ask, after the commit, for a pass of the plugin's reconciler over this key."""
    is_current: Callable[[], Awaitable[bool]]
    """Whether every event that came in was handled: else the room-state table is ahead of what handlers noted."""


@dataclass(frozen=True, slots=True)
class Host:
    """What a plugin's lifespan is given."""

    config: Any
    """The plugin's own settings, of the type that it declared."""
    me: UserId
    prefix: str
    """The sign before each command, for texts that show one (`!`)."""
    homeserver: Homeserver
    limits: Limits
    database: Database
    clock: Clock
    unit: Callable[[], AbstractAsyncContextManager[Unit]]
    """Opens a transaction outside of a command (the reconciler's)."""
    caught_up: Callable[[], Awaitable[None]]
    """Returns when every event that came in was handled."""
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    """Where a plugin registers its metrics, each named `⟨plugin⟩_…`; labels with few values, never an id or a name."""


@dataclass(frozen=True, slots=True)
class Call(Generic[S]):
    """A permitted command, on its way to its handler."""

    state: S
    """What the plugin's lifespan yields."""
    unit: Unit
    message: Message
    line: Line
    """The arguments: what stands after the command's path."""
    standing: Standing
    subject: Any
    """What the plugin's `subject` loaded for this call (a session and its names, say); None without one."""


@dataclass(frozen=True, slots=True)
class ReactionAdded:
    """Somebody reacted to a message of this plugin; `key` is its outbox key."""

    reaction: Reaction
    key: str


@dataclass(frozen=True, slots=True)
class ReactionRemoved:
    """Somebody took a reaction to a message of this plugin back; `by` did (perhaps a moderator)."""

    reaction: Reaction
    key: str
    by: UserId


@dataclass(frozen=True, slots=True)
class Joined:
    """The bot has come into a room by an invite of `inviter`."""

    room: RoomId
    inviter: UserId
    at: datetime


Parse = Callable[[Line, Any], Any]
"""`(words, subject) -> command value`; raises one of the plugin's refusals. Pure."""


@dataclass(frozen=True, slots=True)
class Command:
    """One declaration: parses, authorises, helps, documents, and is tested."""

    path: tuple[str, ...]
    handler: Callable[..., Awaitable[Outcome]]
    aliases: tuple[tuple[str, ...], ...] = ()
    role: Role = Role.ANYONE
    where: frozenset[str] = frozenset()
    """The places where it works; empty: everywhere."""
    usage: tuple[str, ...] = ()
    """What stands after the path, one form each: "4", "Team Alpha, Team Beta"."""
    examples: tuple[str, ...] = ()
    """Whole lines without the prefix; a test parses each."""
    parse: Parse | None = None
    """None: bound from the handler's signature (`Rest`, `str`, `int`)."""
    section: str = ""
    hidden: bool = False
    leads: int = 0
    """Its place among the few with which a long help begins; 0: it is not one of them."""

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]


Lifespan = Callable[[Host], AbstractAsyncContextManager[S] | AsyncIterator[S]]


@dataclass(slots=True)
class Plugin(Generic[S]):
    """The whole declaration of a plugin.

    What `lifespan` yields is its typed state; leaving the lifespan is stopping.
    """

    name: str
    summary: str
    config: type[PluginConfig]
    lifespan: Callable[[Host], AbstractAsyncContextManager[S]]
    names: Callable[[Any], Mapping[str, str]] | None = None
    """From the plugin's settings: other first words, each with the declared one it stands for ({"bo": "breakout"})."""
    standing: Callable[[S, Unit, RoomId, UserId], Awaitable[Standing | None]] | None = None
    """Default: moderator from power level 50 on in the room itself, place "room". None: this one is not answered."""
    subject: Callable[[S, Unit, Message, Standing], Awaitable[Any]] | None = None
    describe: Callable[[Any], Mapping[str, str]] | None = None
    """What of a subject the log line of its command says: ids and kinds, never what people wrote or are called."""
    explain: Callable[[Exception, S, Unit, Standing], Awaitable[Doc | None]] | None = None
    """The sentence of a known refusal, for an asker who stands so; None for an unknown error.

    Also asked for the host's own refusals (`bot.commands.refusals`), where None means the host's wording."""
    migrations: str | None = None
    """The package that holds the plugin's Alembic versions."""
    commands: list[Command] = field(default_factory=list)
    handlers: dict[type, Callable[[S, Unit, Any], Awaitable[None]]] = field(default_factory=dict)
    reconcile: Callable[[S, str], Awaitable[datetime | None]] | None = None
    start_keys: Callable[[S, Unit], Awaitable[Sequence[str]]] | None = None
    """The reconciler's keys to look at when the process starts."""
    at_scrape: Callable[[S], Awaitable[None]] | None = None
    """Brings the metrics up to date that are read from the store; called before each scrape."""
    needs_admin: Callable[[Any], str] | None = None
    """From the plugin's settings: the one that works only where the bot's account is an admin of the homeserver, as it
    is written ("members: force_join"); "" for none. `check` looks whether the account is one."""
    put_back: Callable[[S, Unit], Awaitable[None]] | None = None
    """Called once, before anything else, where the store was put back from a backup: the plugin's tables are as they
    were on that day, and the homeserver has moved on."""

    def command(
        self,
        path: str,
        *,
        aliases: Sequence[str] = (),
        role: Role = Role.ANYONE,
        where: Sequence[str] = (),
        usage: Sequence[str] = (),
        examples: Sequence[str] = (),
        parse: Parse | None = None,
        section: str = "",
        hidden: bool = False,
        leads: int = 0,
    ) -> Callable[[Callable[..., Awaitable[Outcome]]], Callable[..., Awaitable[Outcome]]]:
        """Declare a command; its docstring is its help."""

        def declare(handler: Callable[..., Awaitable[Outcome]]) -> Callable[..., Awaitable[Outcome]]:
            self.commands.append(
                Command(
                    path=tuple(path.split()),
                    handler=handler,
                    aliases=tuple(tuple(alias.split()) for alias in aliases),
                    role=role,
                    where=frozenset(where),
                    usage=tuple(usage),
                    examples=tuple(examples),
                    parse=parse,
                    section=section,
                    hidden=hidden,
                    leads=leads,
                )
            )
            return handler

        return declare

    def on(
        self, event: type
    ) -> Callable[[Callable[[S, Unit, Any], Awaitable[None]]], Callable[[S, Unit, Any], Awaitable[None]]]:
        """Declare the handler of an event type.

        One of `Message` (that is no command), `StateChange`, `ReactionAdded`, `ReactionRemoved`, `Joined`,
        `Departed`. It runs in the transaction that marks the event as done.
        """

        def declare(
            handler: Callable[[S, Unit, Any], Awaitable[None]],
        ) -> Callable[[S, Unit, Any], Awaitable[None]]:
            self.handlers[event] = handler
            return handler

        return declare

    def reconciler(
        self, work: Callable[[S, str], Awaitable[datetime | None]]
    ) -> Callable[[S, str], Awaitable[datetime | None]]:
        """Declare the one worker per key: it makes things so and returns when to look again (None: when woken).

        Woken by `Unit.wake`, alarms, settled outbox groups and the start of the process (`start_keys`).
        """
        self.reconcile = work
        return work

"""Sends what the outbox holds, in order per room, each row with its key as transaction id."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from types import MappingProxyType

import structlog

from bot.errors import Outdated, Permanent
from bot.matrix.ids import EventId, RoomId
from bot.matrix.ports import Speaker, Urgency
from bot.metrics import Metrics
from bot.store.connection import Connection
from bot.store.database import Database
from bot.store.inbox import Inbox
from bot.store.outbox import Mail, is_unsettled, next_due, rooms_with_unsent, settle, waits_for
from bot.unit import Transaction, Transactions

log = structlog.get_logger(__name__)

LANES: Mapping[str, tuple[Urgency, ...]] = MappingProxyType(
    {
        "answers": (Urgency.ANSWER,),
        "calls": (Urgency.LOCK, Urgency.INVITE),
        "queue": (Urgency.MESSAGE, Urgency.REMOVE),
        "extras": (Urgency.CLEAN_UP,),
    }
)
"""The lanes of a room by name, each with what goes in it."""

HEAD_START = 1.0
"""Seconds that a message waits for an answer, at most: one that hangs holds nothing up."""


class Sender:
    """A room has a lane for each degree of haste: what waits for the homeserver's limits keeps nothing urgent back."""

    def __init__(self, speaker: Speaker, database: Database, transactions: Transactions, metrics: Metrics) -> None:
        self._speaker, self._database, self._transactions, self._metrics = speaker, database, transactions, metrics
        self._answered: defaultdict[RoomId, int] = defaultdict(int)
        """The row of each room's newest answer that was sent, or never will be."""
        self._answer = asyncio.Condition()

    @staticmethod
    def lanes(room: RoomId, urgency: Urgency | None = None) -> tuple[str, ...]:
        """The reconciler's keys for a room, or for what is so urgent there."""
        return tuple(f"{name} {room}" for name, goes in LANES.items() if urgency is None or urgency in goes)

    @staticmethod
    async def rooms_with_mail(connection: Connection) -> Sequence[RoomId]:
        """The rooms for which something is unsent."""
        return await rooms_with_unsent(connection)

    async def send(self, lane: str) -> datetime | None:
        """Send all that is due in a lane; returns when the next row is due."""
        name, _, room = lane.partition(" ")
        sent: tuple[Mail, EventId | None, str] | None = None
        while True:
            took = None
            async with self._transactions.open() as transaction:
                if sent is not None:
                    took = await _settle(transaction, *sent)
                mail, later = await next_due(transaction.connection, RoomId(room), transaction.now, LANES[name])
            if sent is not None and name == "answers":
                await self._note_answer(sent[0])
            if took is not None:
                self._metrics.answer_seconds.observe(took)
            if mail is None:
                return later
            await self._let_answer_go(mail)
            try:
                sent = mail, *await self._deliver(mail)
            except Outdated:
                sent = None

    async def _let_answer_go(self, mail: Mail) -> None:
        """An answer is read before what comes of it (a board, say), though Synapse takes longer over a reply."""
        if mail.after > self._answered[mail.room]:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEAD_START), self._answer:
                    await self._answer.wait_for(lambda: mail.after <= self._answered[mail.room])

    async def _note_answer(self, mail: Mail) -> None:
        async with self._answer:
            self._answered[mail.room] = max(self._answered[mail.room], mail.seq)
            self._answer.notify_all()

    async def _deliver(self, mail: Mail) -> tuple[EventId | None, str]:
        """The event that the mail is now, or why it is refused; neither where it was a redaction.

        Raises `Outdated` where it is dropped before its turn comes, which may take minutes.
        """
        urgency = Urgency(mail.urgency)

        async def wanted() -> bool:
            async with self._database.read() as connection:
                return await is_unsettled(connection, mail)

        try:
            if mail.redacts is not None:
                await self._speaker.redact(mail.room, mail.redacts, mail.transaction_id, urgency=urgency)
                return None, ""
            event = await self._speaker.send(
                mail.room, mail.type, mail.content, mail.transaction_id, urgency=urgency, wanted=wanted
            )
        except Permanent as error:
            log.warning("the homeserver refuses a message", room=mail.room, key=mail.key, why=error.errcode)
            return None, error.errcode
        return event, ""


async def _settle(transaction: Transaction, mail: Mail, event: EventId | None, refused: str) -> float | None:
    """Note what became of a mail; returns how many seconds an answer took."""
    for owner, key in await settle(transaction.connection, mail.seq, transaction.now, event, refused):
        transaction.wake(owner, key)
    if await waits_for(transaction.connection, mail):  # in another lane
        transaction.can_send(mail.room)
    asked_at = await Inbox(transaction.connection).received(mail.answers) if event and mail.answers else None
    return None if asked_at is None else (transaction.now - asked_at).total_seconds()

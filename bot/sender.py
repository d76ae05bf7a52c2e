"""Sends what the outbox holds, in order per room, each row with its key as transaction id."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.errors import Permanent
from bot.matrix.ids import EventId, RoomId
from bot.matrix.ports import Speaker, Urgency
from bot.metrics import Metrics
from bot.store.inbox import Inbox
from bot.store.outbox import Mail, next_due, rooms_with_unsent, settle
from bot.unit import Transactions

log = structlog.get_logger(__name__)


class Sender:
    """One room has two lanes: answers never wait behind what is queued."""

    def __init__(self, speaker: Speaker, transactions: Transactions, metrics: Metrics) -> None:
        self._speaker, self._transactions, self._metrics = speaker, transactions, metrics

    @staticmethod
    def lanes(room: RoomId) -> tuple[str, str]:
        """The reconciler's keys for a room."""
        return f"answers {room}", f"queue {room}"

    @staticmethod
    async def rooms_with_mail(connection: AsyncConnection) -> Sequence[RoomId]:
        """The rooms for which something is unsent."""
        return await rooms_with_unsent(connection)

    async def send(self, lane: str) -> datetime | None:
        """Send all that is due in a lane; returns when the next row is due."""
        name, _, room = lane.partition(" ")
        while True:
            async with self._transactions.open() as transaction:
                mail, later = await next_due(
                    transaction.connection, RoomId(room), transaction.now, answers=name == "answers"
                )
            if mail is None:
                return later
            await self._send_one(mail)

    async def _send_one(self, mail: Mail) -> None:
        event: EventId | None = None
        refused = ""
        try:
            event = await self._deliver(mail)
        except Permanent as error:
            refused = error.errcode
            log.warning("the homeserver refuses a message", room=mail.room, key=mail.key, why=error.errcode)
        async with self._transactions.open() as transaction:
            woken = await settle(transaction.connection, mail.seq, transaction.now, event, refused)
            for owner, key in woken:
                transaction.wake(owner, key)
            if mail.urgency == Urgency.ANSWER:  # its reactions wait for it in the other lane
                transaction.can_send(mail.room)
            asked_at = await Inbox(transaction.connection).received(mail.answers) if event and mail.answers else None
        if asked_at is not None:
            self._metrics.answer_seconds.observe((transaction.now - asked_at).total_seconds())

    async def _deliver(self, mail: Mail) -> EventId | None:
        urgency = Urgency(mail.urgency)
        if mail.redacts is not None:
            await self._speaker.redact(mail.room, mail.redacts, mail.transaction_id, urgency=urgency)
            return None
        return await self._speaker.send(mail.room, mail.type, mail.content, mail.transaction_id, urgency=urgency)

"""What is said once is sent once, in order, in its newest wording, or never."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.matrix.ids import EventId, RoomId
from bot.matrix.ports import Urgency
from bot.message.doc import Doc, Para, Text, doc
from bot.store.connection import Connection
from bot.store.database import Database
from bot.store.outbox import (
    KEPT,
    Mail,
    OutboxRows,
    copies_of,
    is_unsettled,
    key_of,
    next_due,
    rooms_with_unsent,
    settle,
    settle_echo,
)
from tests.unit.store import open_store

NOW = datetime(2026, 11, 23, 14, tzinfo=UTC)
ROOM = RoomId("!room:example.org")
OTHER = RoomId("!other:example.org")


def says(text: str, *keycaps: str) -> Doc:
    return Doc(doc(Para((Text(text),))).blocks, keycaps=keycaps)


class Post:
    """An outbox, and a homeserver that takes everything."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.woken: list[str] = []
        self.outbox = OutboxRows(connection, "test", NOW, self.woken.append)
        self.numbers = count(1)

    async def next(
        self, room: RoomId = ROOM, *, answers: bool = False, now: datetime = NOW
    ) -> tuple[Mail | None, datetime | None]:
        urgencies = [urgency for urgency in Urgency if (urgency is Urgency.ANSWER) is answers]
        return await next_due(self.connection, room, now, urgencies)

    async def taken(self, *, answers: bool = False, now: datetime = NOW) -> Mail:
        mail, _ = await self.next(answers=answers, now=now)
        assert mail is not None
        return mail

    async def settled(self, mail: Mail, *, refused: str = "") -> EventId | None:
        event = None if refused else EventId(f"${next(self.numbers)}")
        for _, key in await settle(self.connection, mail.seq, NOW, event, refused):
            self.woken.append(key)
        return event

    async def send_all(self, *, answers: bool = False, now: datetime = NOW) -> Sequence[Mail]:
        found: list[Mail] = []
        while (mail := (await self.next(answers=answers, now=now))[0]) is not None:
            found.append(mail)
            await self.settled(mail)
        return found


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_store(tmp_path) as database:
        yield database


@pytest.fixture
async def post(database: Database) -> AsyncIterator[Post]:
    async with database.write() as connection:
        yield Post(connection)


def bodies(mails: Sequence[Mail]) -> list[str]:
    return [mail.content["body"] for mail in mails]


async def test_a_key_is_said_once_for_ever(post: Post) -> None:
    await post.outbox.say("hello", ROOM, says("one"))
    await post.outbox.say("hello", ROOM, says("two"))
    assert bodies(await post.send_all()) == ["one"]
    await post.outbox.say("hello", ROOM, says("three"))
    assert await post.send_all() == []


async def test_two_owners_may_use_the_same_key(post: Post) -> None:
    await post.outbox.say("hello", ROOM, says("one"))
    await OutboxRows(post.connection, "other", NOW, post.woken.append).say("hello", ROOM, says("two"))
    assert [mail.transaction_id for mail in await post.send_all()] == ["test:hello", "other:hello"]


async def test_an_attempt_is_repeated_with_the_same_transaction_id(post: Post) -> None:
    await post.outbox.say("hello", ROOM, says("one"))
    assert await post.taken() == await post.taken()


async def test_answers_have_a_lane_of_their_own(post: Post) -> None:
    await post.outbox.say("news", ROOM, says("news"))
    await post.outbox.say("answer", ROOM, says("answer"), urgency=Urgency.ANSWER)
    assert bodies(await post.send_all(answers=True)) == ["answer"]
    assert bodies(await post.send_all()) == ["news"]


async def test_what_is_for_later_holds_nothing_up(post: Post) -> None:
    later = NOW + timedelta(minutes=1)
    await post.outbox.say("later", ROOM, says("later", "1️⃣"), not_before=later)
    await post.outbox.say("now", ROOM, says("now"))
    assert bodies(await post.send_all()) == ["now"]
    assert await post.next() == (None, later)
    assert [mail.key for mail in await post.send_all(now=later)] == ["later", "later:keycap:1️⃣"]


async def test_what_is_held_waits_for_its_release(post: Post) -> None:
    await post.outbox.say("closing", ROOM, says("closing"), group="end", held=True)
    assert await post.next(now=NOW + timedelta(days=365)) == (None, None)
    await post.outbox.release("end")
    assert bodies(await post.send_all()) == ["closing"]


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.sampled_from([Urgency.LOCK, Urgency.MESSAGE, Urgency.CLEAN_UP]), st.integers(0, 2)), max_size=12
    )
)
async def test_a_room_reads_what_is_due_by_urgency_and_then_as_it_was_said(rows: list[tuple[Urgency, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(Path(folder)) as database, database.write() as connection:
            post = Post(connection)
            for number, (urgency, minutes) in enumerate(rows):
                moment = NOW + timedelta(minutes=minutes)
                await post.outbox.say(f"{number}", ROOM, says(f"{number}"), urgency=urgency, not_before=moment)
            for minutes in range(3):
                due = [(urgency, n) for n, (urgency, after) in enumerate(rows) if after == minutes]
                sent = await post.send_all(now=NOW + timedelta(minutes=minutes))
                assert bodies(sent) == [f"{n}" for _, n in sorted(due)]


async def test_keycaps_follow_all_that_is_to_be_said_and_point_at_their_message(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("board", "1️⃣", "2️⃣"))
    await post.outbox.say("next", ROOM, says("next"))
    board, after, one, two = await post.send_all()
    assert [board.key, after.key, one.key, two.key] == ["board", "next", "board:keycap:1️⃣", "board:keycap:2️⃣"]
    assert one.content["m.relates_to"] == {"rel_type": "m.annotation", "event_id": "$1", "key": "1️⃣"}
    assert two.content["m.relates_to"]["event_id"] == "$1"


async def test_keycaps_of_a_refused_message_are_dropped(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("board", "1️⃣"))
    await post.settled(await post.taken(), refused="M_FORBIDDEN")
    assert await post.next() == (None, None)
    assert await rooms_with_unsent(post.connection) == []


async def test_a_reply_in_a_thread_says_so(post: Post) -> None:
    await post.outbox.say("reply", ROOM, says("yes"), reply_to=EventId("$asked"), thread=EventId("$root"))
    assert (await post.taken()).content["m.relates_to"] == {
        "rel_type": "m.thread",
        "event_id": "$root",
        "is_falling_back": False,
        "m.in_reply_to": {"event_id": "$asked"},
    }


async def test_a_reaction_is_given_once(post: Post) -> None:
    for _ in range(2):
        await post.outbox.react(ROOM, EventId("$asked"), "✅")
    [mail] = await post.send_all(answers=True)
    assert (mail.type, mail.content["m.relates_to"]["key"]) == ("m.reaction", "✅")


# --- edits


async def test_an_edit_replaces_the_message(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("one"))
    await post.outbox.edit("board", says("two"))
    said, edit = await post.send_all()
    assert edit.content["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$1"}
    assert edit.content["m.new_content"]["body"] == "two"
    assert edit.content["body"] == "* two"
    assert edit.transaction_id != said.transaction_id


async def test_of_several_unsent_edits_only_the_last_is_sent(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("one"))
    await post.send_all()
    for text in ("two", "three", "four"):
        await post.outbox.edit("board", says(text))
    assert bodies(await post.send_all()) == ["* four"]


@pytest.mark.parametrize("unsent", [[], ["two"]])
async def test_an_edit_to_what_the_room_reads_already_is_dropped(post: Post, unsent: list[str]) -> None:
    await post.outbox.say("board", ROOM, says("one"))
    await post.send_all()
    for text in (*unsent, "one"):
        await post.outbox.edit("board", says(text))
    assert await post.send_all() == []


async def test_an_edit_that_is_on_its_way_is_followed_and_not_taken_back(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("one"))
    await post.send_all()
    await post.outbox.edit("board", says("two"))
    under_way = await post.taken()
    await post.outbox.edit("board", says("one"))
    assert (await post.taken()).transaction_id == under_way.transaction_id
    await post.settled(under_way)
    [back] = await post.send_all()
    assert back.content["m.new_content"]["body"] == "one"
    assert back.transaction_id != under_way.transaction_id


async def test_each_edit_has_a_transaction_id_of_its_own(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("0"))
    ids = []
    for number in range(1, 6):
        await post.outbox.edit("board", says(f"{number}"))
        ids += [mail.transaction_id for mail in await post.send_all()]
    assert len(set(ids)) == 6


async def test_a_stream_of_edits_does_not_put_the_next_one_off(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("0"))
    await post.send_all()
    for second in range(10):
        await post.outbox.edit("board", says(f"{second}"), not_before=NOW + timedelta(seconds=second + 5))
    assert await post.next() == (None, NOW + timedelta(seconds=6))
    assert bodies(await post.send_all(now=NOW + timedelta(seconds=6))) == ["* 9"]


async def test_an_edit_of_nothing_does_nothing(post: Post) -> None:
    await post.outbox.edit("unknown", says("one"))
    assert await post.next() == (None, None)


# --- taking back


async def test_what_is_withdrawn_before_it_was_tried_is_never_sent(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("one", "1️⃣"))
    await post.outbox.withdraw("board")
    assert await post.send_all() == []
    sent = await post.outbox.sent("board")
    assert sent is not None
    assert sent.refused == "withdrawn"


async def test_what_is_dropped_stays_as_the_room_reads_it(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("one", "1️⃣"))
    await post.settled(await post.taken())
    await post.outbox.edit("board", says("two"))
    await post.outbox.drop("board")
    await post.outbox.say("unsent", ROOM, says("three"))
    await post.outbox.drop("unsent")
    assert await post.send_all() == []


async def test_what_is_dropped_while_it_waits_for_its_turn_stays_behind(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("one", "1️⃣"))
    waiting = await post.taken()
    assert await is_unsettled(post.connection, waiting)
    await post.outbox.drop("board")
    assert not await is_unsettled(post.connection, waiting)
    assert await post.send_all() == []


@pytest.mark.parametrize("by_sync", [False, True])
async def test_what_is_dropped_on_its_way_is_known_when_it_has_arrived(post: Post, *, by_sync: bool) -> None:
    await post.outbox.say("board", ROOM, says("one"))
    under_way = await post.taken()
    await post.outbox.drop("board")
    if by_sync:
        await settle_echo(post.connection, under_way.transaction_id, EventId("$1"), NOW)
    else:
        await post.settled(under_way)
    assert await key_of(post.connection, EventId("$1")) == ("test", "board")


async def test_what_was_sent_is_redacted_once_when_withdrawn(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("one"))
    await post.send_all()
    await post.outbox.edit("board", says("two"))
    for _ in range(2):
        await post.outbox.withdraw("board")
    [mail] = await post.send_all()
    assert (mail.type, mail.redacts) == ("m.room.redaction", "$1")


@pytest.mark.parametrize("urgency", [Urgency.ANSWER, Urgency.MESSAGE])
async def test_what_is_withdrawn_on_its_way_is_redacted_after_it_has_arrived(post: Post, urgency: Urgency) -> None:
    answers = urgency is Urgency.ANSWER
    await post.outbox.say("board", ROOM, says("one"), urgency=urgency)
    under_way = await post.taken(answers=answers)
    await post.outbox.withdraw("board")
    event = await post.settled(under_way)
    [mail] = await post.send_all(answers=answers)
    assert mail.redacts == event


async def test_a_refused_message_needs_no_redaction(post: Post) -> None:
    await post.outbox.say("board", ROOM, says("one"))
    under_way = await post.taken()
    await post.outbox.withdraw("board")
    await post.settled(under_way, refused="M_FORBIDDEN")
    assert await post.send_all() == []


async def test_a_long_message_is_one_to_those_who_speak_of_it(post: Post) -> None:
    await post.outbox.say("long", ROOM, says("word " * 20_000, "👀"), origin=(ROOM, EventId("$origin")))
    *parts, keycap = await post.send_all()
    assert len(parts) > 1
    assert keycap.content["m.relates_to"]["event_id"] == f"${len(parts)}"
    assert {await key_of(post.connection, EventId(f"${n + 1}")) for n in range(len(parts))} == {("test", "long")}
    assert await copies_of(post.connection, (ROOM, EventId("$origin"))) == [("test", "long")]
    await post.outbox.withdraw("long")
    assert [mail.redacts for mail in await post.send_all()] == [f"${n + 1}" for n in range(len(parts))]


# --- groups


async def test_a_group_wakes_once_all_of_it_is_sent_or_refused(post: Post) -> None:
    for room in (ROOM, OTHER):
        await post.outbox.say(f"all {room}", room, says("all"), group="all", wake="session")
    mail, _ = await post.next(OTHER)
    assert mail is not None
    await post.settled(mail, refused="M_FORBIDDEN")
    assert post.woken == []
    await post.send_all()
    assert post.woken == ["session"]
    assert [(sent.event, sent.refused) for sent in await post.outbox.group("all")] == [
        ("$1", None),
        (None, "M_FORBIDDEN"),
    ]


@pytest.mark.parametrize("how", ["room", "message"])
async def test_a_group_wakes_when_its_last_message_will_never_be_sent(post: Post, how: str) -> None:
    for room in (ROOM, OTHER):
        await post.outbox.say(f"all {room}", room, says("all"), group="all", wake="session")
    await post.send_all()
    await (post.outbox.drop_room(OTHER) if how == "room" else post.outbox.withdraw(f"all {OTHER}"))
    assert post.woken == ["session"]
    assert await rooms_with_unsent(post.connection) == []


async def test_a_message_without_a_group_wakes_by_itself(post: Post) -> None:
    await post.outbox.say("question", ROOM, says("sure?"), wake="session")
    await post.send_all()
    assert post.woken == ["session"]


async def test_a_copy_is_found_by_what_it_was_copied_from(post: Post) -> None:
    content = {"msgtype": "m.image", "body": "cat.png", "url": "mxc://example.org/cat"}
    await post.outbox.relay("copy", ROOM, "m.room.message", content, origin=(ROOM, EventId("$cat")))
    assert [mail.content for mail in await post.send_all()] == [content]
    assert await copies_of(post.connection, (ROOM, EventId("$cat"))) == [("test", "copy")]


async def test_old_texts_are_forgotten_but_not_that_they_were_said(post: Post) -> None:
    await post.outbox.say("old", ROOM, says("secret"))
    await post.send_all()
    post.outbox = OutboxRows(post.connection, "test", later := NOW + KEPT + timedelta(seconds=1), post.woken.append)
    await post.outbox.say("new", ROOM, says("new"))
    await settle(post.connection, (await post.taken(now=later)).seq, later, EventId("$new"))
    rows = await post.connection.exec_driver_sql("SELECT key FROM outbox WHERE content LIKE '%secret%'")
    assert rows.all() == []
    await post.outbox.say("old", ROOM, says("secret"))
    await post.outbox.edit("old", says("edited"))
    assert bodies(await post.send_all(now=later)) == ["* edited"]


async def test_what_a_former_life_said_is_not_said_again(post: Post) -> None:
    await post.outbox.said_before("hello", ROOM)
    await post.outbox.say("hello", ROOM, says("hello"))
    await post.outbox.edit("hello", says("hello there"))
    assert await post.send_all() == []
    sent = await post.outbox.sent("hello")
    assert sent is not None
    assert sent.settled

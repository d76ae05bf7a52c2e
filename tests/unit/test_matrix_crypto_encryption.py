"""Who gets the keys of a room, when, and by how many requests; and what comes late."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from bot.errors import Permanent, RateLimited, Temporary
from bot.matrix.client import NioHomeserver
from bot.matrix.crypto.encryption import KEY_MAY_TAKE, MOST_WAITING, UNREACHABLE_FOR, Encryption
from bot.matrix.crypto.machine import MEGOLM, OLM, Machine, NoKeyError
from bot.matrix.events import RawEvent
from bot.matrix.http import Answer
from bot.matrix.ids import EventId, RoomId, UserId
from bot.matrix.ports import Urgency
from bot.testing.clock import FakeClock

ROOM = RoomId("!room:here")
BOT, ANN, BOB, FAR = UserId("@bot:here"), UserId("@ann:here"), UserId("@bob:here"), UserId("@far:away")
CLEO = UserId("@cleo:here")
TEXT = {"msgtype": "m.text", "body": "hello"}


class Person(Machine):
    """Somebody's device, with what it was told and can read."""

    def __init__(self, user: UserId, folder: Path, server: Server) -> None:
        super().__init__(user, "PHONE", folder, "pickle")
        server.publish(self)

    def hears(self, server: Server, raw: RawEvent) -> str:
        """What an event says."""
        for told in server.inbox.pop((self.user, self.device), []):
            self.receive(told)
        return str(self.decrypt(ROOM, raw)[1]["body"])


class Server:
    """As much of a homeserver as keys need."""

    def __init__(self) -> None:
        self.devices: dict[str, dict[str, Any]] = defaultdict(dict)
        self.one_time: dict[tuple[str, str], dict[str, Any]] = {}
        self.inbox: dict[tuple[str, str], list[RawEvent]] = defaultdict(list)
        self.members: dict[str, list[str]] = defaultdict(list)
        self.settings: dict[str, Mapping[str, Any]] = {}
        self.events: dict[str, RawEvent] = {}
        self.unreachable: set[str] = set()
        self.sent: list[tuple[RawEvent, str]] = []
        """Events, each with its transaction id."""
        self.asked: Counter[str] = Counter()
        self.failing: dict[str, BaseException] = {}
        self.meanwhile: dict[str, Callable[[], Awaitable[object]]] = {}
        """What happens while a request of this kind is under way."""

    def publish(self, machine: Machine) -> None:
        body = machine.to_publish(one_time_keys=0, has_fallback=True)
        machine.published()
        self.devices[machine.user][machine.device] = body["device_keys"]
        self.one_time[machine.user, machine.device] = dict(body["one_time_keys"])

    async def ask(self, method: str, where: str, body: Any = None, query: Any = None, **_: Any) -> Answer:
        parts = [unquote(part) for part in where.split("/")[4:]]
        kind = parts[-1]
        if parts[0] == "rooms":
            kind = parts[2]
        elif parts[0] == "sendToDevice":
            kind = parts[0]
        self.asked[kind] += 1
        if (happening := self.meanwhile.pop(kind, None)) is not None:
            await happening()
        if (failure := self.failing.pop(kind, None)) is not None:
            raise failure
        return Answer(getattr(self, f"_{kind}")(parts, body or {}))

    def _state(self, parts: Sequence[str], _body: Any) -> Any:
        if parts[1] not in self.settings:
            raise Permanent(404, "M_NOT_FOUND", "no such state")
        return self.settings[parts[1]]

    def _event(self, parts: Sequence[str], _body: Any) -> Any:
        return self.events[parts[3]]

    def _relations(self, _parts: Sequence[str], _body: Any) -> Any:
        return {"chunk": []}

    def _members(self, parts: Sequence[str], _body: Any) -> Any:
        return {"chunk": [_member(user) for user in self.members[parts[1]]]}

    def _query(self, _parts: Sequence[str], body: Any) -> Any:
        wanted = [user for user in body["device_keys"] if user.partition(":")[2] not in self.unreachable]
        return {"device_keys": {u: self.devices[u] for u in wanted}, "failures": {s: {} for s in self.unreachable}}

    def _claim(self, _parts: Sequence[str], body: Any) -> Any:
        found: dict[str, dict[str, Any]] = defaultdict(dict)
        for user, devices in body["one_time_keys"].items():
            for device in devices:
                if keys := self.one_time.get((user, device)):
                    found[user][device] = dict([keys.popitem()])
        return {"one_time_keys": found, "failures": {}}

    def _sendToDevice(self, parts: Sequence[str], body: Any) -> Any:  # noqa: N802 - named as in the path
        for user, devices in body["messages"].items():
            for device, content in devices.items():
                self.inbox[user, device].append({"type": parts[1], "sender": BOT, "content": content})
        return {}

    def _send(self, parts: Sequence[str], body: Any) -> Any:
        self.sent.append(({"type": parts[3], "sender": BOT, "event_id": "$1", "content": body}, parts[4]))
        return {"event_id": "$1"}

    def _upload(self, _parts: Sequence[str], body: Any) -> Any:
        self.devices[BOT]["BOT"] = body.get("device_keys")
        return {"one_time_key_counts": {"signed_curve25519": 50}}


def _member(user: str, membership: str = "join") -> dict[str, Any]:
    return {"type": "m.room.member", "state_key": user, "event_id": f"${user}", "content": {"membership": membership}}


class Account(NioHomeserver):
    """The bot's account on it; the HTTP between them left out."""

    def __init__(self, server: Server, clock: FakeClock, machine: Machine) -> None:
        super().__init__(server.ask, BOT, clock, machine)


class World:
    """The bot's keys at work on a server, and people."""

    def __init__(self, folder: Path, device: type[Machine] = Machine) -> None:
        self.folder, self.clock, self.server = folder, FakeClock(), Server()
        self.machine = device(BOT, "BOT", folder / "bot", "pickle")
        self.encryption = Encryption(self.machine, self.server.ask, self.clock)
        self.people: dict[UserId, Person] = {}
        self.server.settings[ROOM] = {"algorithm": MEGOLM}

    def person(self, user: UserId) -> Person:
        self.people[user] = Person(user, self.folder / user, self.server)
        self.server.members[ROOM].append(user)
        return self.people[user]

    def close(self) -> None:
        for machine in (self.machine, *self.people.values()):
            machine.close()

    async def says(self, room: RoomId = ROOM) -> RawEvent:
        type_, content = await self.encryption.sealed(room, "m.room.message", TEXT)
        return {"type": type_, "sender": BOT, "event_id": "$1", "content": content}

    async def syncs(self, since: str = "s", **answer: Any) -> Sequence[tuple[RoomId, RawEvent]]:
        counts = {"device_one_time_keys_count": {"signed_curve25519": 50}}
        late = await self.encryption.take_in(since, counts | answer)
        await self.encryption.settled()
        return late

    async def sees(self, *events: RawEvent, limited: bool = False) -> None:
        await self.syncs(rooms={"join": {ROOM: {"timeline": {"events": list(events), "limited": limited}}}})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


async def test_everybody_in_the_room_reads_it(world: World) -> None:
    ann, bob = world.person(ANN), world.person(BOB)
    raw = await world.says()
    assert raw["type"] == "m.room.encrypted"
    assert ann.hears(world.server, raw) == bob.hears(world.server, raw) == "hello"


async def test_a_second_message_costs_no_request(world: World) -> None:
    world.person(ANN)
    await world.says()
    before = world.server.asked.total()
    await world.says()
    assert world.server.asked.total() == before


async def test_members_are_asked_for_again_when_one_comes_or_a_gap_may_hide_one(world: World) -> None:
    world.person(ANN)
    await world.says()
    await world.sees(_member(BOB))
    bob = world.person(BOB)
    session = world.machine.outbound(ROOM, {}).id
    assert bob.hears(world.server, await world.says()) == "hello"
    assert world.machine.outbound(ROOM, {}).id == session
    await world.sees({"type": "m.room.message", "event_id": "$x", "content": {}})
    await world.says()
    assert world.server.asked["members"] == 2
    await world.sees(limited=True)
    await world.says()
    assert world.server.asked["members"] == 3


async def test_who_has_gone_cannot_read_on(world: World) -> None:
    ann, bob = world.person(ANN), world.person(BOB)
    ann.hears(world.server, await world.says())
    bob.hears(world.server, await world.says())
    world.server.members[ROOM].remove(BOB)
    await world.sees(_member(BOB, "leave"))
    raw = await world.says()
    assert ann.hears(world.server, raw) == "hello"
    assert (BOB, "PHONE") not in world.server.inbox


async def test_whom_we_remove_ourselves_cannot_read_on_though_sync_has_not_told_it(world: World) -> None:
    world.person(ANN)
    bob = world.person(BOB)
    bob.hears(world.server, await world.says())
    world.server.members[ROOM].remove(BOB)
    world.encryption.members_change(ROOM)
    with pytest.raises(NoKeyError):
        bob.hears(world.server, await world.says())


async def test_a_room_that_we_left_leaves_no_keys(world: World) -> None:
    world.person(ANN)
    raw = await world.says()
    assert world.machine.decrypt(ROOM, raw)
    await world.syncs(rooms={"leave": {ROOM: {}}})
    for machine in (world.machine, again := Machine(BOT, "BOT", world.folder / "bot", "pickle")):
        with pytest.raises(NoKeyError):
            machine.decrypt(ROOM, raw)
    again.close()


async def test_a_new_device_is_found_when_sync_tells_of_it(world: World) -> None:
    world.person(ANN)
    await world.says()
    laptop = Machine(ANN, "LAPTOP", world.folder / "laptop", "pickle")
    world.server.publish(laptop)
    await world.syncs(device_lists={"changed": [ANN]})
    await world.says()
    assert world.server.inbox[ANN, "LAPTOP"]
    laptop.close()


async def test_a_change_while_the_devices_are_asked_for_is_not_lost(world: World) -> None:
    world.person(ANN)
    world.server.meanwhile["query"] = lambda: world.syncs(device_lists={"changed": [ANN]})
    await world.says()
    await world.says()
    assert world.server.asked["query"] == 2


async def test_many_rooms_at_once_ask_for_devices_together(world: World) -> None:
    rooms = [RoomId(f"!{number}:here") for number in range(20)]
    for number, room in enumerate(rooms):
        world.server.settings[room] = {"algorithm": MEGOLM}
        world.server.members[room] = [f"@p{number}-{n}:here" for n in range(10)]
    await asyncio.gather(*(world.says(room) for room in rooms))
    assert world.server.asked["query"] <= 2


async def test_a_server_that_is_slow_to_tell_devices_holds_up_no_room_that_is_not_theirs(world: World) -> None:
    ann, far = world.person(ANN), world.person(FAR)
    other = RoomId("!other:here")
    world.server.settings[other], world.server.members[other] = {"algorithm": MEGOLM}, [ANN]
    await world.says()
    await world.says(other)
    await world.syncs(device_lists={"changed": [FAR]})
    gate = asyncio.Event()
    world.server.meanwhile["query"] = gate.wait
    slow = asyncio.create_task(world.says())
    while world.server.asked["query"] < 2:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    in_time = asyncio.create_task(world.says(other))
    await asyncio.wait({in_time}, timeout=1)
    assert in_time.done()
    gate.set()
    raw = await slow
    assert {ann.hears(world.server, raw), far.hears(world.server, raw)} == {"hello"}


async def test_who_waited_for_a_query_that_failed_asks_again(world: World) -> None:
    world.person(ANN)
    other = RoomId("!other:here")
    world.server.settings[other], world.server.members[other] = {"algorithm": MEGOLM}, [ANN]
    gate = asyncio.Event()
    world.server.meanwhile["query"], world.server.failing["query"] = gate.wait, Temporary("502")
    first = asyncio.create_task(world.says())
    while not world.server.asked["query"]:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    second = asyncio.create_task(world.says(other))
    while world.server.asked["members"] < 2:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    gate.set()
    with pytest.raises(Temporary):
        await first
    await second
    assert len(world.server.inbox[ANN, "PHONE"]) == 1


async def test_who_joins_while_the_members_are_asked_for_reads_the_next_message(world: World) -> None:
    world.person(ANN)
    before = {"chunk": [_member(ANN)]}

    async def joins() -> None:
        world.server._members = lambda *_: before  # type: ignore[method-assign]
        world.person(BOB)
        await world.sees(_member(BOB))

    # The room is known, so that the sync reaches it.
    await world.says()
    await world.sees(_member(ANN))
    world.server.meanwhile["members"] = joins
    await world.says()
    del world.server._members
    raw = await world.says()
    assert world.people[BOB].hears(world.server, raw) == "hello"


async def test_a_server_that_does_not_answer_delays_one_message_only(world: World) -> None:
    ann = world.person(ANN)
    world.server.members[ROOM].append(FAR)
    world.server.unreachable.add("away")
    assert ann.hears(world.server, await world.says()) == "hello"
    await world.says()
    assert world.server.asked["query"] == 1
    world.clock.advance(UNREACHABLE_FOR + timedelta(seconds=1))
    world.server.unreachable.clear()
    far = Person(FAR, world.folder / FAR, world.server)
    assert far.hears(world.server, await world.says()) == "hello"
    far.close()


async def test_a_device_without_one_time_keys_holds_up_nobody(world: World) -> None:
    ann, _bob = world.person(ANN), world.person(BOB)
    keys = world.server.one_time.pop((BOB, "PHONE"))
    assert ann.hears(world.server, await world.says()) == "hello"
    await world.says()
    assert world.server.asked["claim"] == 1
    world.server.one_time[BOB, "PHONE"] = keys
    world.clock.advance(UNREACHABLE_FOR + timedelta(seconds=1))
    assert world.people[BOB].hears(world.server, await world.says()) == "hello"


@pytest.mark.parametrize("kind", ["state", "members", "query", "claim", "sendToDevice"])
@pytest.mark.parametrize("failure", [Temporary("the test says so"), asyncio.CancelledError()])
async def test_whatever_fails_on_the_way_the_next_message_gets_through(
    world: World, kind: str, failure: BaseException
) -> None:
    ann = world.person(ANN)
    world.server.failing[kind] = failure
    with pytest.raises(type(failure)):
        await world.says()
    assert ann.hears(world.server, await world.says()) == "hello"


class Interrupted(Machine):
    """A device whose owner is interrupted while the devices of others are noted, once."""

    interrupted = False

    def learn(self, answer: Mapping[str, Any], asked: Iterable[UserId]) -> None:
        if not self.interrupted:
            self.interrupted = True
            raise asyncio.CancelledError
        super().learn(answer, asked)


async def test_devices_whose_noting_was_interrupted_are_asked_for_again(tmp_path: Path) -> None:
    world = World(tmp_path, Interrupted)
    ann = world.person(ANN)
    with pytest.raises(asyncio.CancelledError):
        await world.says()
    assert ann.hears(world.server, await world.says()) == "hello"
    world.close()


async def test_five_at_once_in_one_room_share_the_key_once(world: World) -> None:
    world.person(ANN)
    await asyncio.gather(*(world.says() for _ in range(5)))
    assert world.server.asked["sendToDevice"] == 1


async def test_an_open_room_stays_open_and_a_closed_one_closed(world: World) -> None:
    world.server.settings.clear()
    assert await world.encryption.sealed(ROOM, "m.room.message", TEXT) == ("m.room.message", TEXT)
    await world.sees({"type": "m.room.encryption", "state_key": "", "event_id": "$e", "content": {"algorithm": MEGOLM}})
    assert (await world.says())["type"] == "m.room.encrypted"
    later = Encryption(world.machine, world.server.ask, world.clock)  # a new process, and a homeserver that lies
    assert await later.is_encrypted(ROOM)


async def test_of_the_rooms_that_we_make_the_first_tells_whether_the_server_leaves_them_open(world: World) -> None:
    rooms = [RoomId(f"!{number}:here") for number in range(3)]
    for room in rooms:
        world.encryption.created(room, None)
    assert (await world.says(rooms[0]))["type"] == "m.room.message"
    world.encryption.created(ROOM, None)
    assert (await world.says(ROOM))["type"] == "m.room.message"
    assert world.server.asked["state"] == 1


async def test_a_server_that_encrypts_every_room_is_believed(world: World) -> None:
    for number in range(2):
        room = RoomId(f"!{number}:here")
        world.server.settings[room] = {"algorithm": MEGOLM}
        world.encryption.created(room, None)
        assert (await world.says(room))["type"] == "m.room.encrypted"


async def test_a_room_that_we_made_encrypted_is_not_asked_about(world: World) -> None:
    world.server.settings.clear()
    world.encryption.created(ROOM, {"algorithm": MEGOLM})
    assert (await world.says())["type"] == "m.room.encrypted"
    assert world.server.asked["state"] == 0


async def test_an_unknown_encryption_is_not_written_to_in_clear(world: World) -> None:
    world.server.settings[ROOM] = {"algorithm": "m.tomorrow"}
    with pytest.raises(Permanent, match="not known"):
        await world.says()


async def wedge(world: World, ann: Person) -> None:
    """Something comes from a device that cannot be read."""
    ciphertext = {world.machine.curve25519: {"type": 0, "body": "AwogAAAA"}}
    content = {"algorithm": OLM, "sender_key": ann.curve25519, "ciphertext": ciphertext}
    await world.syncs(to_device={"events": [{"type": "m.room.encrypted", "sender": ANN, "content": content}]})


async def test_a_broken_session_is_replaced_and_what_was_said_on_it_is_given_again(world: World) -> None:
    ann = world.person(ANN)
    await world.says()
    world.server.inbox.clear()  # what we sent was not readable
    await wedge(world, ann)
    assert world.server.asked["sendToDevice"] == 2
    assert ann.hears(world.server, await world.says()) == "hello"


async def test_who_tells_of_a_broken_session_while_a_key_is_on_its_way_is_given_it_again(world: World) -> None:
    ann = world.person(ANN)
    _raw, key = await ann_says(world, ann)
    dummy = ann.wrap(ann.devices([BOT])[0], "m.dummy", {})
    told = [key, {"type": "m.room.encrypted", "sender": ANN, "content": dummy}]
    world.server.meanwhile["sendToDevice"] = partial(world.syncs, "s1", to_device={"events": told})
    await world.says()
    world.server.inbox.clear()  # the first was on the broken session
    assert ann.hears(world.server, await world.says()) == "hello"


async def test_that_a_session_was_replaced_is_said_until_it_is_heard(world: World) -> None:
    ann = world.person(ANN)
    await world.says()
    world.server.failing["sendToDevice"] = Temporary("the test says so")
    await wedge(world, ann)
    world.server.inbox.clear()
    await world.syncs("s2")
    assert len(world.server.inbox[ANN, "PHONE"]) == 1
    await world.syncs("s3")
    assert len(world.server.inbox[ANN, "PHONE"]) == 1


async def test_who_goes_after_a_new_session_cannot_read_on(world: World) -> None:
    ann, bob = world.person(ANN), world.person(BOB)
    bob.hears(world.server, await world.says())
    world.machine._lack_keys(BOB, bob.curve25519)
    world.server.members[ROOM].remove(BOB)
    await world.sees(_member(BOB, "leave"))
    raw = await world.says()
    assert ann.hears(world.server, raw) == "hello"
    with pytest.raises(NoKeyError):
        bob.decrypt(ROOM, raw)


async def test_who_goes_after_a_key_was_sent_to_them_without_answer_cannot_read_on(world: World) -> None:
    world.person(ANN)
    bob = world.person(BOB)
    really = world.server._sendToDevice

    def sent_and_no_answer(parts: Sequence[str], body: Any) -> Any:
        really(parts, body)
        raise Temporary("no answer")

    world.server._sendToDevice = sent_and_no_answer  # type: ignore[method-assign]
    with pytest.raises(Temporary):
        await world.says()
    world.server._sendToDevice = really  # type: ignore[method-assign]
    world.server.members[ROOM].remove(BOB)
    world.encryption.members_change(ROOM)
    with pytest.raises(NoKeyError):
        bob.hears(world.server, await world.says())


class Watched(Machine):
    """A device of which is known how much of its log is on the disk."""

    on_disk = 0

    def written(self) -> int:
        """The length of its log, which grows by each write."""
        return Path(f"{self._store.database_path}-wal").stat().st_size

    def flush(self) -> None:
        length = self.written()
        super().flush()
        self.on_disk = length


async def test_what_others_hear_of_is_on_the_disk_before(tmp_path: Path) -> None:
    world = World(tmp_path, Watched)
    ann, told = world.person(ANN), list[str]()
    assert isinstance(world.machine, Watched)
    machine = world.machine

    async def looks(kind: str) -> None:
        assert machine.on_disk == machine.written(), kind
        told.append(kind)

    for kind in ("upload", "sendToDevice"):
        world.server.meanwhile[kind] = partial(looks, kind)
    await world.says()
    _, key = await ann_says(world, ann)
    await world.encryption.take_in("s2", {"to_device": {"events": [key]}})
    await looks("the token of the sync")
    assert sorted(told) == ["sendToDevice", "the token of the sync", "upload"]
    world.close()


# --- in turn

FIVE = timedelta(seconds=5)


async def until(happened: Callable[[], object]) -> None:
    while not happened():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)


async def test_who_goes_and_who_comes_while_a_message_waits_for_its_turn_counts(world: World) -> None:
    ann, bob = world.person(ANN), world.person(BOB)
    account = Account(world.server, world.clock, world.machine)
    account._limiter.throttled(FIVE)
    sending = asyncio.create_task(account.send(ROOM, "m.room.message", TEXT, "k", urgency=Urgency.ANSWER))
    await until(lambda: world.clock.next_moment and world.server.asked["sendToDevice"])  # only the turn is missing
    world.server.members[ROOM].remove(BOB)
    assert account._encryption
    account._encryption.members_change(ROOM)
    cleo = world.person(CLEO)
    world.clock.advance(FIVE)
    await sending
    ((raw, _),) = world.server.sent
    assert ann.hears(world.server, raw) == cleo.hears(world.server, raw) == "hello"
    with pytest.raises(NoKeyError):
        bob.hears(world.server, raw)


async def test_a_message_that_is_tried_again_has_the_transaction_id_of_the_first(world: World) -> None:
    ann = world.person(ANN)
    account = Account(world.server, world.clock, world.machine)
    for failure in (Temporary("the test says so"), RateLimited(FIVE)):
        world.server.failing["send"] = failure
        with pytest.raises(type(failure)):
            await account.send(ROOM, "m.room.message", TEXT, "k", urgency=Urgency.ANSWER)
    again = asyncio.create_task(account.send(ROOM, "m.room.message", TEXT, "k", urgency=Urgency.ANSWER))
    await until(lambda: world.clock.next_moment)
    world.clock.advance(FIVE)
    await again
    ((raw, key),) = world.server.sent
    assert (raw["type"], key) == ("m.room.encrypted", "k")
    assert ann.hears(world.server, raw) == "hello"


async def test_a_turn_is_not_kept_where_the_keys_cannot_be_shared(world: World) -> None:
    ann = world.person(ANN)
    account = Account(world.server, world.clock, world.machine)
    await account.send(ROOM, "m.room.message", TEXT, "first")
    for kind in ("members", "claim"):
        cleo = world.person(UserId(f"@{kind}:here"))
        assert account._encryption
        account._encryption.members_change(ROOM)
        world.server.failing[kind] = Temporary("the test says so")
        with pytest.raises(Temporary):
            await account.send(ROOM, "m.room.message", TEXT, kind)
        await account.send(ROOM, "m.room.message", TEXT, kind)
        raw = world.server.sent[-1][0]
        assert ann.hears(world.server, raw) == cleo.hears(world.server, raw) == "hello"


async def test_messages_of_one_room_go_one_by_one_and_slow_keys_hold_up_no_other_room(world: World) -> None:
    ann, other = world.person(ANN), RoomId("!open:here")
    account = Account(world.server, world.clock, world.machine)
    gate, at_once = asyncio.Event(), Counter[str]()

    async def slow() -> None:
        at_once["now"] += 1
        at_once["most"] = max(at_once["now"], at_once["most"])
        await asyncio.sleep(0)
        at_once["now"] -= 1
        world.server.meanwhile["send"] = slow

    world.server.meanwhile |= {"query": gate.wait, "send": slow}
    sending = [asyncio.create_task(account.send(ROOM, "m.room.message", TEXT, f"{n}")) for n in range(20)]
    await until(lambda: world.server.asked["query"])
    await account.send(other, "m.room.message", TEXT, "open")
    assert [raw["type"] for raw, _ in world.server.sent] == ["m.room.message"]
    gate.set()
    await asyncio.gather(*sending)
    assert at_once["most"] == 1
    assert {ann.hears(world.server, raw) for raw, _ in world.server.sent[1:]} == {"hello"}
    assert len({raw["content"]["ciphertext"] for raw, _ in world.server.sent[1:]}) == 20


# --- what comes in


async def test_a_room_of_which_this_process_has_heard_nothing_leaves_no_keys_either(world: World) -> None:
    world.person(ANN)
    raw = await world.says()
    again = Machine(BOT, "BOT", world.folder / "bot", "pickle")
    encryption = Encryption(again, world.server.ask, world.clock)
    await encryption.take_in("s", {"rooms": {"leave": {ROOM: {}}}})
    await encryption.close()
    with pytest.raises(NoKeyError):
        again.decrypt(ROOM, raw)
    again.close()


async def ann_says(world: World, ann: Person, event_id: str = "$late") -> tuple[RawEvent, RawEvent]:
    """What Ann says, and what brings the key of it."""
    world.machine.learn({ANN: world.server.devices[ANN]}, [ANN])
    await world.syncs()  # publishes the bot's keys
    if not ann.devices([BOT]):
        body = world.machine.to_publish(one_time_keys=0, has_fallback=True)
        world.machine.published()
        ann.learn({BOT: {"BOT": world.server.devices[BOT]["BOT"]}}, [BOT])
        assert ann.begin_session(ann.devices([BOT])[0], next(iter(body["one_time_keys"].values())))
    session = ann.outbound(ROOM, {})
    key = ann.wrap(ann.devices([BOT])[0], "m.room_key", ann.room_key(ROOM, session))
    content = ann.encrypt(ROOM, "m.room.message", TEXT)
    raw = {"type": "m.room.encrypted", "sender": ANN, "event_id": event_id, "origin_server_ts": 1, "content": content}
    return raw, {"type": "m.room.encrypted", "sender": ANN, "content": key}


async def test_a_message_whose_key_comes_later_is_read_then_and_once(world: World) -> None:
    raw, key = await ann_says(world, world.person(ANN))
    assert world.encryption.opened(ROOM, raw) is raw
    assert await world.syncs("s1") == ()
    ((room, opened),) = await world.syncs("s2", to_device={"events": [key]})
    assert (room, opened["type"], opened["content"], opened["event_id"]) == (ROOM, "m.room.message", TEXT, "$late")
    assert await world.syncs("s3") == ()


async def test_who_says_much_that_nobody_can_read_takes_nobody_elses_place(world: World) -> None:
    raw, key = await ann_says(world, world.person(ANN))
    world.encryption.opened(ROOM, raw)
    for number in range(MOST_WAITING):
        world.encryption.opened(ROOM, {**raw, "sender": BOB, "event_id": f"${number}"})
    await world.syncs("s1")
    assert [event["sender"] for _, event in await world.syncs("s2", to_device={"events": [key]})] == [ANN]


async def test_what_came_late_comes_again_with_a_batch_that_is_asked_for_again(world: World) -> None:
    raw, key = await ann_says(world, world.person(ANN))
    world.encryption.opened(ROOM, raw)
    first = await world.syncs("s2", to_device={"events": [key]})
    assert await world.syncs("s2", to_device={"events": [key]}) == first != ()


async def test_a_key_that_comes_too_late_brings_nothing_back(world: World) -> None:
    raw, key = await ann_says(world, world.person(ANN))
    world.encryption.opened(ROOM, raw)
    world.clock.advance(KEY_MAY_TAKE + timedelta(seconds=1))
    assert await world.syncs("s2", to_device={"events": [key]}) == ()


async def test_what_is_only_looked_up_is_no_news_when_its_key_comes(world: World) -> None:
    raw, key = await ann_says(world, world.person(ANN))
    account = Account(world.server, world.clock, world.machine)
    world.server.events["$late"] = raw
    assert (await account.event(ROOM, EventId("$late")))["type"] == "m.room.encrypted"
    assert account._encryption is not None
    assert await account._encryption.take_in("s2", {"to_device": {"events": [key]}}) == ()
    await account._encryption.close()


async def test_a_key_in_the_same_batch_is_there_in_time(world: World) -> None:
    raw, key = await ann_says(world, world.person(ANN))
    await world.syncs("s2", to_device={"events": [key]})
    assert world.encryption.opened(ROOM, raw)["content"] == TEXT


@pytest.mark.parametrize(
    "answer",
    [
        {"to_device": None},
        {"to_device": {"events": "x"}},
        {"to_device": {"events": [None, 1, {}, {"type": "m.room.encrypted"}]}},
        {"device_lists": []},
        {"device_lists": {"changed": "x", "left": [1, None]}},
        {"device_one_time_keys_count": []},
        {"device_one_time_keys_count": {"signed_curve25519": "many"}},
        {"device_unused_fallback_key_types": {}},
        {"rooms": []},
        {"rooms": {"join": {ROOM: None}, "leave": None}},
        {"rooms": {"join": {ROOM: {"state": {"events": [{"type": "m.room.encryption", "state_key": ""}]}}}}},
    ],
)
async def test_no_sync_answer_breaks_it(world: World, answer: dict[str, Any]) -> None:
    world.person(ANN)
    await world.syncs(**answer)
    assert (await world.says())["type"] == "m.room.encrypted"


async def test_one_time_keys_that_ran_out_are_made_up_for(world: World) -> None:
    await world.syncs()
    uploads = world.server.asked["upload"]
    await world.syncs(device_one_time_keys_count={})  # none is left: so the specification says it
    assert world.server.asked["upload"] == uploads + 1


@pytest.mark.parametrize("failure", [Temporary("the test says so"), Permanent(400, "M_UNKNOWN", "already exists")])
async def test_a_failed_upload_stops_nothing_and_is_made_again(world: World, failure: Exception) -> None:
    await world.syncs()
    world.server.failing["upload"] = failure
    await world.syncs(device_one_time_keys_count={})
    before = world.server.asked["upload"]
    await world.syncs(device_one_time_keys_count={})
    assert world.server.asked["upload"] == before + 1

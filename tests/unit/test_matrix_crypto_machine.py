"""One device's keys: what others send, however broken or forged, neither stops it nor deceives it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import vodozemac
from nio.crypto.device import OlmDevice
from nio.crypto.olm_machine import Olm
from nio.crypto.sessions import InboundGroupSession, OlmAccount
from nio.store.database import MatrixStore

from bot.matrix.crypto.machine import (
    MEGOLM,
    MOST_ONE_TIME_KEYS,
    MOST_SESSIONS,
    OLM,
    PRIVATE,
    Machine,
    NoKeyError,
    UnreadableError,
)
from bot.matrix.events import Content
from bot.matrix.ids import RoomId, UserId

ROOM, OTHER_ROOM = RoomId("!room:example.org"), RoomId("!other:example.org")
ANN, BOT, EVE = UserId("@ann:example.org"), UserId("@bot:example.org"), UserId("@eve:example.org")

Make = Callable[..., Machine]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Machine] = []

    def machine(user: UserId, device: str = "PHONE", folder: str | None = None) -> Machine:
        made.append(Machine(user, device, tmp_path / (folder or f"{user}-{device}"), "pickle"))
        return made[-1]

    yield machine
    for each in made:
        each.close()


def publish(machine: Machine) -> dict[str, Any]:
    """What a homeserver holds of a device after its first upload."""
    body = dict(machine.to_publish(one_time_keys=0, has_fallback=False))
    machine.published()
    return body


def meet(machine: Machine, other: Machine, body: Mapping[str, Any]) -> OlmDevice:
    """One device learns of another, and begins a session with it."""
    machine.learn({other.user: {other.device: body["device_keys"]}}, [other.user])
    device = next(d for d in machine.devices([other.user]) if d.id == other.device)
    assert machine.begin_session(device, next(iter(body["one_time_keys"].values())))
    return device


def to_device(sender: Machine, content: Any) -> dict[str, Any]:
    return {"type": "m.room.encrypted", "sender": sender.user, "content": content}


def hand_key(sender: Machine, device: OlmDevice, receiver: Machine, room: RoomId = ROOM) -> str:
    """Share a room's key with one device; the id of its session."""
    session = sender.outbound(room, {})
    sender_content = sender.wrap(device, "m.room_key", sender.room_key(room, session))
    assert receiver.receive(to_device(sender, sender_content)) == (room, session.id)
    return str(session.id)


def event(sender: Machine, content: Any, event_id: str = "$1") -> dict[str, Any]:
    return {
        "type": "m.room.encrypted",
        "sender": sender.user,
        "event_id": event_id,
        "origin_server_ts": 1,
        "content": content,
    }


TEXT = {"msgtype": "m.text", "body": "hello"}


@pytest.fixture
def ann(make: Make) -> Machine:
    return make(ANN)


@pytest.fixture
def bot(make: Make) -> Machine:
    return make(BOT)


@pytest.fixture
def bots_keys(bot: Machine) -> dict[str, Any]:
    return publish(bot)


@pytest.fixture
def to_bot(ann: Machine, bot: Machine, bots_keys: dict[str, Any]) -> OlmDevice:
    """The bot's device, as Ann knows it; the bot knows hers."""
    bot.learn({ANN: {ann.device: publish(ann)["device_keys"]}}, [ANN])
    return meet(ann, bot, bots_keys)


def said(
    ann: Machine, type_: str, content: Mapping[str, Any], room: RoomId = ROOM, event_id: str = "$1"
) -> dict[str, Any]:
    return event(ann, ann.encrypt(room, type_, content), event_id)


def forged(ann: Machine, plaintext: bytes) -> dict[str, Any]:
    """Whatever bytes, encrypted with Ann's session."""
    session = ann.outbound(ROOM, {})
    ciphertext = session._session.encrypt(plaintext).to_base64()
    return event(ann, {"algorithm": MEGOLM, "session_id": session.id, "ciphertext": ciphertext})


# --- what we use of nio


def test_nio_is_still_as_we_know_it_inside() -> None:
    assert version("matrix-nio").startswith("0.26.")
    owners = {"Olm": Olm, "MatrixStore": MatrixStore, "OlmAccount": OlmAccount}
    for name, shape in PRIVATE.items():
        owner, _, member = name.partition(".")
        found = getattr(owners[owner], member, None)
        if found is None:
            assert isinstance(getattr(owners[owner](), member), vodozemac.Account), name
        else:
            assert str(inspect.signature(inspect.unwrap(found))) == shape, name


# --- what is said


def test_what_somebody_says_is_read(ann: Machine, bot: Machine, to_bot: OlmDevice) -> None:
    hand_key(ann, to_bot, bot)
    assert bot.decrypt(ROOM, said(ann, "m.room.message", TEXT)) == ("m.room.message", TEXT)


def test_a_message_before_its_key_is_known_as_such(ann: Machine, bot: Machine, to_bot: OlmDevice) -> None:
    session = ann.outbound(ROOM, {})
    raw = said(ann, "m.room.message", TEXT)
    with pytest.raises(NoKeyError, match=session.id.replace("+", r"\+")):
        bot.decrypt(ROOM, raw)


def test_a_client_may_leave_out_its_key_and_its_device(ann: Machine, bot: Machine, to_bot: OlmDevice) -> None:
    hand_key(ann, to_bot, bot)
    raw = said(ann, "m.room.message", TEXT)
    raw["content"] = {k: v for k, v in raw["content"].items() if k not in ("sender_key", "device_id")}
    assert bot.decrypt(ROOM, raw)[1] == TEXT


def test_the_relation_stays_in_clear(ann: Machine) -> None:
    relation = {"rel_type": "m.thread", "event_id": "$a"}
    ann.outbound(ROOM, {})
    assert ann.encrypt(ROOM, "m.room.message", {**TEXT, "m.relates_to": relation})["m.relates_to"] == relation


@pytest.mark.parametrize(
    "type_", ["m.room.power_levels", "m.room.member", "m.room.name", "m.room.redaction", "m.room.encrypted"]
)
def test_state_does_not_come_encrypted(ann: Machine, bot: Machine, to_bot: OlmDevice, type_: str) -> None:
    hand_key(ann, to_bot, bot)
    with pytest.raises(UnreadableError, match="state"):
        bot.decrypt(ROOM, said(ann, type_, {"users": {ANN: 100}}))


@pytest.mark.parametrize(
    "plaintext",
    [
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"nonsense",
        b'"text"',
        b"null",
        json.dumps({"type": "m.room.message", "content": [], "room_id": ROOM}).encode(),
        json.dumps({"type": 1, "content": {}, "room_id": ROOM}).encode(),
        json.dumps({"type": "m.room.message", "content": {}, "room_id": ROOM, "state_key": ""}).encode(),
        json.dumps({"type": "m.room.message", "content": {}, "room_id": OTHER_ROOM}).encode(),
        json.dumps({"type": "m.room.message", "content": {}}).encode(),
    ],
)
def test_what_is_malformed_inside_is_unreadable(
    ann: Machine, bot: Machine, to_bot: OlmDevice, plaintext: bytes
) -> None:
    hand_key(ann, to_bot, bot)
    with pytest.raises(UnreadableError):
        bot.decrypt(ROOM, forged(ann, plaintext))
    assert bot.decrypt(ROOM, said(ann, "m.room.message", TEXT))[1] == TEXT


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"algorithm": "m.other"},
        {"algorithm": MEGOLM},
        {"algorithm": MEGOLM, "session_id": 1, "ciphertext": "x"},
        {"algorithm": MEGOLM, "session_id": "s", "ciphertext": {}},
    ],
)
def test_what_is_malformed_outside_is_unreadable(bot: Machine, ann: Machine, content: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError):
        bot.decrypt(ROOM, event(ann, content))


def test_a_damaged_message_is_unreadable(ann: Machine, bot: Machine, to_bot: OlmDevice) -> None:
    hand_key(ann, to_bot, bot)
    raw = said(ann, "m.room.message", TEXT)
    raw["content"] = {**raw["content"], "ciphertext": raw["content"]["ciphertext"][:-8] + "AAAAAAAA"}
    with pytest.raises(UnreadableError):
        bot.decrypt(ROOM, raw)


def test_a_message_that_is_sent_again_is_refused_and_the_same_event_is_not(
    ann: Machine, bot: Machine, to_bot: OlmDevice
) -> None:
    hand_key(ann, to_bot, bot)
    raw = said(ann, "m.room.message", TEXT)
    assert bot.decrypt(ROOM, raw) == bot.decrypt(ROOM, raw)
    with pytest.raises(UnreadableError, match="again"):
        bot.decrypt(ROOM, {**raw, "event_id": "$2"})


def test_nobody_speaks_with_somebody_elses_session(ann: Machine, bot: Machine, to_bot: OlmDevice) -> None:
    hand_key(ann, to_bot, bot)
    raw = said(ann, "m.room.message", TEXT)
    with pytest.raises(NoKeyError):
        bot.decrypt(ROOM, {**raw, "sender": EVE})
    bot.outbound(ROOM, {})
    with pytest.raises(NoKeyError):
        bot.decrypt(ROOM, {**event(ann, bot.encrypt(ROOM, "m.room.message", TEXT)), "sender": EVE})


def hand_on(thief: Machine, bot: Machine, bots_keys: dict[str, Any], stolen: Content, number: int = 1) -> None:
    """Somebody gives the bot the key of a session that is not theirs, from their own device."""
    thief.learn({BOT: {bot.device: bots_keys["device_keys"]}}, [BOT])
    (device,) = thief.devices([BOT])
    assert thief.begin_session(device, list(bots_keys["one_time_keys"].values())[number])
    bot.receive(to_device(thief, thief.wrap(device, "m.room_key", stolen)))


@pytest.mark.parametrize("first", ["copy", "own"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("restarted", [True, False])
def test_a_copy_of_a_session_neither_mutes_its_owner_nor_speaks_for_her(
    make: Make,
    ann: Machine,
    bot: Machine,
    to_bot: OlmDevice,
    bots_keys: dict[str, Any],
    *,
    first: str,
    known: bool,
    restarted: bool,
) -> None:
    eve = make(EVE)
    session = ann.outbound(ROOM, {})
    key = ann.room_key(ROOM, session)
    ann.encrypt(ROOM, "m.room.message", TEXT)
    later = ann.room_key(ROOM, session)
    if known:
        bot.learn({EVE: {eve.device: publish(eve)["device_keys"]}}, [EVE])
    if first == "own":
        bot.receive(to_device(ann, ann.wrap(to_bot, "m.room_key", key)))
    hand_on(eve, bot, bots_keys, later)
    if first == "copy":
        bot.receive(to_device(ann, ann.wrap(to_bot, "m.room_key", key)))
    if restarted:
        bot.received()
        bot = make(BOT)
    raw = said(ann, "m.room.message", TEXT)
    raw["content"] |= {"sender_key": eve.curve25519, "device_id": eve.device}  # anybody may have written that
    assert bot.decrypt(ROOM, {**raw, "sender": EVE, "event_id": "$copied"})[1] == TEXT  # her own words, as hers
    assert bot.decrypt(ROOM, raw)[1] == TEXT
    raw["content"].pop("sender_key")
    assert bot.decrypt(ROOM, raw)[1] == TEXT


def test_a_message_waits_for_its_own_key_where_only_a_copy_came(
    make: Make, ann: Machine, bot: Machine, to_bot: OlmDevice, bots_keys: dict[str, Any]
) -> None:
    key = ann.room_key(ROOM, ann.outbound(ROOM, {}))
    hand_on(make(EVE), bot, bots_keys, key)
    raw = said(ann, "m.room.message", TEXT)
    with pytest.raises(NoKeyError):
        bot.decrypt(ROOM, raw)
    bot.receive(to_device(ann, ann.wrap(to_bot, "m.room_key", key)))
    assert bot.decrypt(ROOM, raw)[1] == TEXT


def test_a_copy_for_another_room_changes_nothing_in_this_one(
    make: Make, ann: Machine, bot: Machine, to_bot: OlmDevice, bots_keys: dict[str, Any]
) -> None:
    key = ann.room_key(ROOM, ann.outbound(ROOM, {}))
    hand_on(make(EVE), bot, bots_keys, {**key, "room_id": OTHER_ROOM})
    bot.receive(to_device(ann, ann.wrap(to_bot, "m.room_key", key)))
    bot.received()
    assert make(BOT).decrypt(ROOM, said(ann, "m.room.message", TEXT))[1] == TEXT


def test_a_key_that_comes_again_later_in_the_session_takes_no_message_away(
    ann: Machine, bot: Machine, to_bot: OlmDevice
) -> None:
    session = ann.outbound(ROOM, {})
    bot.receive(to_device(ann, ann.wrap(to_bot, "m.room_key", ann.room_key(ROOM, session))))
    raw = said(ann, "m.room.message", TEXT)
    bot.receive(to_device(ann, ann.wrap(to_bot, "m.room_key", ann.room_key(ROOM, session))))
    assert bot.decrypt(ROOM, raw)[1] == TEXT


def test_what_nios_table_holds_of_an_earlier_version_is_still_read(
    make: Make, ann: Machine, bot: Machine, to_bot: OlmDevice
) -> None:
    session = ann.outbound(ROOM, {})
    key = InboundGroupSession(session.session_key, ann.ed25519, ann.curve25519, ROOM)
    bot._olm.save_inbound_group_session(key)
    for again in (make(BOT), make(BOT)):
        assert again.decrypt(ROOM, said(ann, "m.room.message", TEXT, event_id=f"${id(again)}"))[1] == TEXT


# --- what comes to the device


def bodies(bot: Machine) -> list[Any]:
    key = bot.curve25519
    return [
        None,
        [],
        {},
        {"algorithm": OLM},
        {"algorithm": OLM, "sender_key": 1, "ciphertext": {}},
        {"algorithm": OLM, "sender_key": "x", "ciphertext": []},
        {"algorithm": OLM, "sender_key": "x", "ciphertext": {key: {}}},
        {"algorithm": OLM, "sender_key": "x", "ciphertext": {key: {"type": 0, "body": "nonsense"}}},
        {"algorithm": OLM, "sender_key": "x", "ciphertext": {key: {"type": 1, "body": "nonsense"}}},
        {"algorithm": OLM, "sender_key": "x", "ciphertext": {key: {"type": 0, "body": "AwogAAAA"}}},
        {"algorithm": OLM, "sender_key": "x" * 43, "ciphertext": {key: {"type": 7, "body": ""}}},
        {"algorithm": OLM, "sender_key": "x" * 43, "ciphertext": {key: {"type": "0", "body": 1}}},
    ]


@pytest.mark.parametrize("number", range(12))
def test_a_poisonous_message_to_the_device_harms_nobody(
    ann: Machine, bot: Machine, to_bot: OlmDevice, number: int
) -> None:
    assert bot.receive(to_device(ann, bodies(bot)[number])) is None
    bot.received()
    hand_key(ann, to_bot, bot)
    assert bot.decrypt(ROOM, said(ann, "m.room.message", TEXT))[1] == TEXT


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"algorithm": MEGOLM, "room_id": ROOM, "session_id": "s", "session_key": "nonsense"},
        {"algorithm": MEGOLM, "room_id": ROOM, "session_id": "s", "session_key": 1},
        {"algorithm": "m.other", "room_id": ROOM, "session_id": "s", "session_key": "x"},
    ],
)
def test_a_bad_room_key_harms_nobody(ann: Machine, bot: Machine, to_bot: OlmDevice, content: dict[str, Any]) -> None:
    bot.receive(to_device(ann, ann.wrap(to_bot, "m.room_key", content)))
    hand_key(ann, to_bot, bot)
    assert bot.decrypt(ROOM, said(ann, "m.room.message", TEXT))[1] == TEXT


def test_a_message_for_a_one_time_key_that_is_gone_asks_for_a_new_session_once(
    make: Make, ann: Machine, to_bot: OlmDevice
) -> None:
    after = make(BOT, "PHONE", "lost")  # the same device id, its store lost
    after.learn({ANN: {ann.device: keys_of(ann)}}, [ANN])
    wrapped = to_device(ann, ann.wrap(to_bot, "m.dummy", {}))
    wrapped["content"]["ciphertext"] = {after.curve25519: next(iter(wrapped["content"]["ciphertext"].values()))}
    assert after.receive(wrapped) is None
    assert [device.user_id for device in after.wedged_devices()] == [ANN]
    after.wedged.clear()
    after.receive(
        {**wrapped, "content": {**wrapped["content"], "ciphertext": {after.curve25519: {"type": 0, "body": "A"}}}}
    )
    assert not after.wedged_devices()


@pytest.mark.parametrize("killed", [True, False])
def test_what_comes_again_with_the_same_sync_breaks_no_session(
    make: Make, ann: Machine, bot: Machine, to_bot: OlmDevice, *, killed: bool
) -> None:
    session = ann.outbound(ROOM, {})
    all_of_it = [to_device(ann, ann.wrap(to_bot, "m.room_key", ann.room_key(ROOM, session))) for _ in range(2)]
    for wrapped in all_of_it:
        assert bot.receive(wrapped, "s1")
    bot.received()
    if killed:
        bot.close()
        bot = make(BOT)
    for wrapped in all_of_it:
        assert bot.receive(wrapped, "s1") is None
    assert not bot.wedged_devices()
    assert bot.decrypt(ROOM, said(ann, "m.room.message", TEXT))[1] == TEXT


def test_what_came_is_remembered_no_longer_than_it_can_come_again(
    make: Make, ann: Machine, bot: Machine, to_bot: OlmDevice
) -> None:
    for since in ("s1", "s2"):
        bot.receive(to_device(ann, ann.wrap(to_bot, "m.dummy", {})), since)
    assert len(bot._store._taken_in) == len(make(BOT)._store._taken_in) == 1


def keys_of(machine: Machine) -> dict[str, Any]:
    """A device's signed keys, as the homeserver tells them."""
    value: dict[str, Any] = {
        "algorithms": [OLM, MEGOLM],
        "device_id": machine.device,
        "user_id": machine.user,
        "keys": {f"curve25519:{machine.device}": machine.curve25519, f"ed25519:{machine.device}": machine.ed25519},
    }
    return {**value, "signatures": {machine.user: {f"ed25519:{machine.device}": machine.sign(value)}}}


# --- other devices


@pytest.mark.parametrize(
    "damage",
    [
        lambda keys: None,
        lambda keys: [],
        lambda keys: {},
        lambda keys: {**keys, "keys": None},
        lambda keys: {**keys, "keys": {}},
        lambda keys: {**keys, "keys": dict.fromkeys(keys["keys"], "nonsense")},
        lambda keys: {**keys, "keys": dict.fromkeys(keys["keys"], 1)},
        lambda keys: {**keys, "user_id": EVE},
        lambda keys: {**keys, "device_id": "OTHER"},
        lambda keys: {**keys, "signatures": {}},
        lambda keys: {**keys, "signatures": None},
        lambda keys: {**keys, "signatures": {ANN: {"ed25519:PHONE": "AAAA"}}},
        lambda keys: {**keys, "signatures": {ANN: []}},
        lambda keys: {**keys, "signatures": {ANN: {"ed25519:PHONE": 1}}},
        lambda keys: {**keys, "algorithms": ["changed after it was signed"]},
    ],
)
def test_a_malformed_device_is_left_out_and_no_other(
    make: Make, bot: Machine, ann: Machine, damage: Callable[[dict[str, Any]], Any]
) -> None:
    laptop = make(ANN, "LAPTOP")
    answer: dict[str, Any] = {ANN: {"PHONE": damage(keys_of(ann)), "LAPTOP": keys_of(laptop)}, EVE: "nonsense"}
    bot.learn(answer, [ANN, EVE])
    assert [device.id for device in bot.devices([ANN, EVE])] == ["LAPTOP"]


def test_a_device_that_goes_is_forgotten_and_known_again_when_it_is_back(bot: Machine, ann: Machine) -> None:
    for listed, known in (({"PHONE": keys_of(ann)}, 1), ({}, 0), ({"PHONE": keys_of(ann)}, 1)):
        bot.learn({ANN: listed}, [ANN])
        assert len(bot.devices([ANN])) == known


def test_a_device_cannot_change_who_it_is(make: Make, bot: Machine, ann: Machine) -> None:
    bot.learn({ANN: {"PHONE": keys_of(ann)}}, [ANN])
    bot.learn({ANN: {"PHONE": keys_of(make(ANN, "PHONE", "other"))}}, [ANN])
    assert [device.ed25519 for device in bot.devices([ANN])] == [ann.ed25519]


def test_a_device_cannot_change_one_of_its_keys_either(make: Make, bot: Machine, ann: Machine) -> None:
    bot.learn({ANN: {"PHONE": keys_of(ann)}}, [ANN])
    changed = keys_of(ann)
    changed["keys"]["curve25519:PHONE"] = make(EVE).curve25519
    changed["signatures"] = {ANN: {"ed25519:PHONE": ann.sign(changed)}}
    for _ in range(2):
        bot.learn({ANN: {"PHONE": changed}}, [ANN])
        assert [device.curve25519 for device in bot.devices([ANN])] == [ann.curve25519]
        bot = make(BOT)


def names_key_of(eve: Machine, ann: Machine) -> dict[str, Any]:
    """What Eve's homeserver lists of her device, which names Ann's Curve25519 key as its own."""
    keys = keys_of(eve)
    keys["keys"][f"curve25519:{eve.device}"] = ann.curve25519
    return {**keys, "signatures": {EVE: {f"ed25519:{eve.device}": eve.sign(keys)}}}


@pytest.mark.parametrize("eve_is_first", [True, False])
@pytest.mark.parametrize("restarted", [True, False])
def test_who_names_the_key_of_somebodys_device_does_not_take_its_messages(
    make: Make, ann: Machine, bot: Machine, bots_keys: dict[str, Any], *, eve_is_first: bool, restarted: bool
) -> None:
    eve, body = make(EVE), publish(ann)
    lists: dict[str, Any] = {ANN: {ann.device: body["device_keys"]}, EVE: {eve.device: names_key_of(eve, ann)}}
    one_time = {ANN: list(body["one_time_keys"].values()), EVE: list(publish(eve)["one_time_keys"].values())}
    for user in (EVE, ANN) if eve_is_first else (ANN, EVE):
        bot.learn(lists, [user])
        (device,) = bot.devices([user])
        assert not bot.has_session(device) or user == EVE
        assert bot.begin_session(device, one_time[user].pop())
    if restarted:
        bot = make(BOT)
    (device,) = bot.devices([ANN])
    if not bot.has_session(device):
        assert bot.begin_session(device, one_time[ANN].pop())
    ann.learn({BOT: {bot.device: bots_keys["device_keys"]}}, [BOT])
    hand_key(bot, device, ann)
    hand_key(ann, meet(ann, bot, bots_keys), bot)
    assert bot.decrypt(ROOM, said(ann, "m.room.message", TEXT))[1] == TEXT
    with pytest.raises(NoKeyError):
        bot.decrypt(ROOM, {**said(ann, "m.room.message", TEXT, event_id="$2"), "sender": EVE})


def test_who_begins_anew_is_not_written_to_on_the_former_session_where_others_name_their_key(
    make: Make, ann: Machine, bot: Machine, bots_keys: dict[str, Any]
) -> None:
    eve, body = make(EVE), publish(ann)
    bot.learn({EVE: {eve.device: names_key_of(eve, ann)}, ANN: {ann.device: body["device_keys"]}}, [EVE, ANN])
    (device,) = bot.devices([ANN])
    assert bot.begin_session(device, next(iter(body["one_time_keys"].values())))
    bot.receive(to_device(ann, ann.wrap(meet(ann, bot, bots_keys), "m.dummy", {})))
    assert not bot.has_session(device)


# --- broken sessions


def test_who_names_the_key_of_somebodys_device_does_not_keep_its_session_broken(
    make: Make, ann: Machine, bot: Machine
) -> None:
    eve = make(EVE)
    bot.learn({ANN: {ann.device: keys_of(ann)}, EVE: {eve.device: names_key_of(eve, ann)}}, [ANN, EVE])
    for number, sender in enumerate((eve, ann)):
        ciphertext = {bot.curve25519: {"type": 0, "body": f"AwogAAA{number}"}}
        bot.receive(to_device(sender, {"algorithm": OLM, "sender_key": ann.curve25519, "ciphertext": ciphertext}))
    assert (ANN, ann.curve25519) in bot.wedged


@pytest.mark.parametrize("payload", ["m.dummy", 1])
def test_of_one_devices_sessions_the_last_used_are_kept(
    make: Make, ann: Machine, bot: Machine, to_bot: OlmDevice, bots_keys: dict[str, Any], payload: Any
) -> None:
    olm: Any = ann._olm
    (first,) = olm.session_store[bot.curve25519]
    (fallback,) = bots_keys["fallback_keys"].values()
    for _ in range(MOST_SESSIONS + 2):
        assert ann.begin_session(to_bot, fallback)
        for session, type_ in ((ann._begun[BOT, "PHONE"], payload), (first, "m.dummy")):
            bot.receive(to_device(ann, olm._olm_encrypt(session, to_bot, type_, {})))
    assert not bot.wedged_devices() or payload == 1
    bot.received()
    for machine in (bot, make(BOT)):
        kept = {session.id for session in machine._olm.session_store[ann.curve25519]}
        assert len(kept) == MOST_SESSIONS
        assert first.id in kept


def test_who_begins_a_new_session_gets_the_keys_of_rooms_again(
    ann: Machine, bot: Machine, to_bot: OlmDevice, bots_keys: dict[str, Any]
) -> None:
    bot.receive(to_device(ann, ann.wrap(to_bot, "m.dummy", {})))
    session = bot.outbound(ROOM, {})
    bot.have_key(session, bot.devices([ANN]))
    assert not bot.without_key(session, bot.devices([ANN]))
    bot.wedged.add((ANN, ann.curve25519))
    assert ann.begin_session(to_bot, list(bots_keys["one_time_keys"].values())[1])
    bot.receive(to_device(ann, ann.wrap(to_bot, "m.dummy", {})))
    assert bot.without_key(session, bot.devices([ANN]))
    assert not bot.wedged  # one new session is enough


def test_with_whom_we_begin_a_new_session_gets_the_keys_of_rooms_again(bot: Machine, ann: Machine) -> None:
    body = publish(ann)
    keys = list(body["one_time_keys"].values())
    bot.learn({ANN: {"PHONE": body["device_keys"]}}, [ANN])
    (device,) = bot.devices([ANN])
    session = bot.outbound(ROOM, {})
    assert bot.begin_session(device, keys[0])
    bot.have_key(session, [device])
    assert not bot.unannounced_devices()
    bot.wedged.add((ANN, ann.curve25519))
    assert bot.begin_session(device, keys[1])
    assert bot.without_key(session, [device]) == bot.unannounced_devices() == [device]
    bot.announced([device])
    assert not bot.unannounced_devices()


def test_our_own_other_devices_are_devices_and_this_one_is_none(make: Make, bot: Machine) -> None:
    other = make(BOT, "OLD")
    bot.learn({BOT: {"OLD": keys_of(other), "PHONE": keys_of(bot)}}, [BOT])
    assert [device.id for device in bot.devices([BOT])] == ["OLD"]


@pytest.mark.parametrize("key", [None, [], {}, {"key": "nonsense"}, {"key": 1, "signatures": {}}, "text"])
def test_a_malformed_one_time_key_begins_nothing(bot: Machine, ann: Machine, key: Any) -> None:
    bot.learn({ANN: {"PHONE": keys_of(ann)}}, [ANN])
    (device,) = bot.devices([ANN])
    assert not bot.begin_session(device, key)
    assert not bot.has_session(device)


# --- what the homeserver has of us


def test_keys_are_published_once_and_made_up_for_when_they_run_low(bot: Machine) -> None:
    body = publish(bot)
    assert {"device_keys", "one_time_keys", "fallback_keys"} == set(body)
    assert len(body["one_time_keys"]) == MOST_ONE_TIME_KEYS
    assert bot.to_publish(one_time_keys=MOST_ONE_TIME_KEYS, has_fallback=True) == {}
    more = bot.to_publish(one_time_keys=0, has_fallback=True)
    assert set(more) == {"one_time_keys"}
    assert not set(more["one_time_keys"]) & set(body["one_time_keys"])


def test_an_upload_without_answer_is_made_again_with_the_same_keys(make: Make, bot: Machine) -> None:
    body = bot.to_publish(one_time_keys=0, has_fallback=False)
    assert bot.to_publish(one_time_keys=0, has_fallback=False) == body
    assert make(BOT).to_publish(one_time_keys=0, has_fallback=False) == body  # killed before the answer


def test_a_used_fallback_key_is_replaced_and_still_opens_what_was_sent_to_it(
    bot: Machine, ann: Machine, bots_keys: dict[str, Any]
) -> None:
    bot.learn({ANN: {"PHONE": publish(ann)["device_keys"]}}, [ANN])
    ann.learn({BOT: {"PHONE": bots_keys["device_keys"]}}, [BOT])
    (device,) = ann.devices([BOT])
    assert ann.begin_session(device, next(iter(bots_keys["fallback_keys"].values())))
    new = bot.to_publish(one_time_keys=MOST_ONE_TIME_KEYS, has_fallback=False)["fallback_keys"]
    bot.published()
    assert set(new) != set(bots_keys["fallback_keys"])
    hand_key(ann, device, bot)


def test_after_a_restart_everything_is_there(make: Make, bot: Machine, ann: Machine, to_bot: OlmDevice) -> None:
    hand_key(ann, to_bot, bot)
    bot.received()
    bot.remember_encrypted(ROOM)
    bot.close()
    again = make(BOT)
    assert again.was_encrypted(ROOM)
    assert not again.was_encrypted(OTHER_ROOM)
    assert again.ed25519 == bot.ed25519
    assert again.decrypt(ROOM, said(ann, "m.room.message", TEXT))[1] == TEXT
    assert [device.id for device in again.devices([ANN])] == ["PHONE"]
    assert again.to_publish(one_time_keys=MOST_ONE_TIME_KEYS, has_fallback=True) == {}


@pytest.mark.parametrize(
    ("settings", "most"), [({}, 100), ({"rotation_period_msgs": 3}, 3), ({"rotation_period_msgs": "x"}, 100)]
)
def test_a_rooms_session_serves_as_many_messages_as_the_room_says(
    ann: Machine, settings: dict[str, Any], most: int
) -> None:
    first = ann.outbound(ROOM, settings).id
    for _ in range(most):
        assert ann.outbound(ROOM, settings).id == first
        ann.encrypt(ROOM, "m.room.message", TEXT)
    assert ann.outbound(ROOM, settings).id != first

"""Secrets and the recovery key that opens them; the identity, its signatures and the file that keeps it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nio.api import Api
from vodozemac import Account, Ed25519PublicKey, Ed25519Signature

from bot.matrix.crypto import secret_storage as secrets
from bot.matrix.crypto.identity import Identity, IdentityError, has_signed
from bot.matrix.crypto.secret_storage import SecretError

KEYS = st.binary(min_size=32, max_size=32)
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
ANN = "@ann:example.org"


def test_a_recovery_key_is_written_as_other_clients_write_it() -> None:
    # The private key of Alice in RFC 7748, section 6.1, as libraries for Matrix use it in their tests.
    key = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    text = "EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d"
    assert secrets.written(key) == text
    assert secrets.read(text) == key


@given(KEYS)
def test_a_recovery_key_is_read_as_it_was_written(key: bytes) -> None:
    assert secrets.read(secrets.written(key)) == key
    assert secrets.read(secrets.written(key).replace(" ", "\n ")) == key


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:-1], "not whole"),
        (lambda text: text[1:], "not whole"),
        (lambda text: "", "not whole"),
        (lambda text: text + text, "too long"),
        (lambda text: text.replace(text[7], "0"), "“0”"),
        (lambda text: text[:-1] + ("2" if text[-1] != "2" else "3"), "mistyped"),
        (lambda text: "Z" + text[1:], "mistyped|too long"),
    ],
)
def test_a_mistyped_recovery_key_is_told(damage: Any, said: str) -> None:
    with pytest.raises(SecretError, match=said):
        secrets.read(damage(secrets.written(KEY)))


@given(KEYS, st.text(), st.text())
def test_a_secret_is_read_with_its_key_and_under_its_name(key: bytes, name: str, secret: str) -> None:
    sealed = secrets.encrypt(key, name, secret)
    assert secrets.decrypt(key, name, sealed) == secret
    padded = {part: value + "=" * (-len(value) % 4) for part, value in sealed.items()}
    assert secrets.decrypt(key, name, padded) == secret
    with pytest.raises(SecretError, match="another one"):
        secrets.decrypt(key, name + "x", sealed)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(SecretError, match="another one"):
        secrets.decrypt(OTHER, "name", secrets.encrypt(KEY, "name", "secret"))
    assert secrets.fits(KEY, secrets.description(KEY))
    assert not secrets.fits(OTHER, secrets.description(KEY))


def test_secrets_are_sealed_as_other_clients_seal_them() -> None:
    # By matrix-js-sdk 43: this key, under this name, with the counter 0x10 … 0x1f.
    sealed = {
        "iv": "EBESExQVFhcYGRobHB0eHw==",
        "ciphertext": "PbEKcvepAJQ=",
        "mac": "4hhb9ZeuwEWflWw2YwkP9eVbTQBjk+A7j9rnk7TB/vo=",
    }
    assert secrets.decrypt(KEY, "m.cross_signing.master", sealed) == "a secret"
    described = {"iv": "EBESExQVFhcYGRobHB0eHw==", "mac": "nrMWSgMXBpO1lS9nLEL08Saa+XuAn1pdQ0B7gSgsrQQ="}
    assert secrets.fits(KEY, described)
    assert not secrets.fits(OTHER, described)
    assert secrets.fits(OTHER, {})  # it does not tell


@pytest.mark.parametrize("sealed", [None, {}, [], "x", {"iv": 1}, {"iv": "!", "ciphertext": "!", "mac": "!"}])
def test_what_is_damaged_is_said_to_be(sealed: Any) -> None:
    with pytest.raises(SecretError):
        secrets.decrypt(KEY, "name", sealed)
    assert not secrets.fits(KEY, {"iv": "!", "mac": "!"})
    assert not secrets.fits(KEY, {"mac": "AAAA"})


def test_no_counter_overflows_where_others_count_with_64_bits() -> None:
    counters = [secrets.from_base64(secrets.encrypt(KEY, "", "")["iv"]) for _ in range(64)]
    assert not any(counter[8] & 0x80 for counter in counters)


@given(st.dictionaries(st.text(), st.integers(-(2**53) + 1, 2**53 - 1) | st.text() | st.booleans()))
def test_a_signature_holds_for_what_was_signed_by_whom(value: dict[str, Any]) -> None:
    identity = Identity(KEY, OTHER, KEY)
    value = {name: part for name, part in value.items() if name not in ("signatures", "unsigned")}
    signed = identity.signed("master", ANN, value)
    assert has_signed(identity.public("master"), ANN, signed)
    assert has_signed(identity.public("master"), ANN, {**signed, "unsigned": {"age": 1}})
    assert not has_signed(identity.public("master"), ANN, {**signed, "more": 1})
    assert not has_signed(identity.public("self_signing"), ANN, signed)
    assert not has_signed(identity.public("master"), "@bob:example.org", signed)


@given(KEYS)
def test_a_signature_is_the_one_that_nios_keys_make(seed: bytes) -> None:
    account = Account()
    value = {"user_id": ANN, "ä": [1, {"b": None}]}
    signature = account.sign(Api.to_canonical_json(value).encode()).to_base64()
    signed = {**value, "signatures": {ANN: {"ed25519:DEVICE": signature}}}
    assert has_signed(account.ed25519_key.to_base64(), ANN, signed, "DEVICE")
    ours = Identity(seed, seed, seed)
    public = Ed25519PublicKey.from_base64(ours.public("master"))
    text = ours.signed("master", ANN, value)["signatures"][ANN][f"ed25519:{ours.public('master')}"]
    public.verify_signature(Api.to_canonical_json(value).encode(), Ed25519Signature.from_base64(text))


def test_seeds_of_another_length_are_none() -> None:
    with pytest.raises(ValueError, match="length"):
        Identity(KEY, KEY[:-1], KEY)


def test_a_second_signature_keeps_the_first() -> None:
    identity = Identity(KEY, OTHER, KEY)
    signed = identity.signed("self_signing", ANN, identity.signed("master", ANN, {"a": 1}))
    assert all(has_signed(identity.public(usage), ANN, signed) for usage in ("master", "self_signing"))


def test_the_master_key_signs_the_others() -> None:
    identity = Identity.new()
    for usage in ("self_signing", "user_signing"):
        value = identity.key_object(ANN, usage)
        assert value["usage"] == [usage]
        assert has_signed(identity.public("master"), ANN, value)


@pytest.mark.parametrize("value", [{}, {"signatures": None}, {"signatures": {ANN: None}}, {"signatures": {ANN: {}}}])
def test_no_signature_is_no_signature(value: dict[str, Any]) -> None:
    assert not has_signed(Identity.new().public("master"), ANN, value)


def test_an_identity_is_kept_encrypted_and_for_us_alone(tmp_path: Path) -> None:
    file, identity = tmp_path / "identity.json", Identity.new()
    assert Identity.kept(file, KEY) is None
    identity.keep(file, KEY)
    assert Identity.kept(file, KEY) == identity
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secrets.to_base64(identity.master) not in file.read_text()
    with pytest.raises(IdentityError, match="one backup"):
        Identity.kept(file, OTHER)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"master": 1}', "\0"])
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "identity.json").write_text(text)
    with pytest.raises(IdentityError, match="cannot be read"):
        Identity.kept(tmp_path / "identity.json", KEY)

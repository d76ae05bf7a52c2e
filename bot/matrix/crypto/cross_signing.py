"""Sets the identity up, once: kept before it is uploaded, the device signed, a way back for a lost store."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bot.errors import Permanent
from bot.matrix.crypto import secret_storage
from bot.matrix.crypto.identity import USAGES, Identity, IdentityError, KeyStore, has_signed
from bot.matrix.events import mapping
from bot.matrix.http import Ask, path
from bot.matrix.ids import UserId
from bot.matrix.proof import ProofError, ask_as_owner

DEFAULT_KEY = "m.secret_storage.default_key"

_ON_PURPOSE = (
    "make a new one on purpose (`breakout-bot login --new-identity`), after which everybody has to verify the bot again"
)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose identity it is, and what signs for it."""

    ask: Ask
    me: UserId
    device: str
    ed25519: str
    """The key with which this device signs."""
    sign: Callable[[Mapping[str, Any]], str]
    """The signature of this device, whose keys are uploaded already."""
    keys: KeyStore


@dataclass(frozen=True, slots=True)
class Chain:
    """What other people's clients find when they ask whether this device is the bot's."""

    device: bool
    """The homeserver has the keys of the device."""
    master: bool
    self_signing: bool
    """Signed by the master key."""
    signed: bool
    """The device, by the self-signing key."""

    @property
    def holds(self) -> bool:
        """Whether strict clients talk to this device (MSC4153)."""
        return self.device and self.master and self.self_signing and self.signed


async def set_up(
    account: Account, *, password: str | None = None, recovery_key: str | None = None, anew: bool = False
) -> bool:
    """Have this device signed by the account's identity, which is made where the account has none.

    Each step may be the last before a kill: what was done is found done the next time. An identity that the account
    has is never replaced, unless `anew` says so. Returns whether the recovery key was needed; one that is given is
    tried in any case. Raises `IdentityError`, `SecretError`, `ProofError`, `Permanent`, `Temporary`.
    """
    needed = False
    published = await _keys(account.ask, account.me, account.device)
    if anew or _public(published.get("master")) is None:
        if recovery_key is not None:
            raise IdentityError(
                "The account has no identity that a recovery key could restore: leave out --recovery-key-file."
            )
        ours = _to_upload(account, published, anew=anew)
        try:
            await _upload(account, ours, password)
        except (ProofError, Permanent):
            account.keys.pending.unlink(missing_ok=True)  # refused for certain: nobody has it
            raise
    else:
        kept = _kept(account, published)
        restored = None if recovery_key is None else await _by_recovery_key(account, published, recovery_key)
        if (found := kept or restored) is None:
            raise _locked_out(account)
        ours, needed = found, kept is None
    ours.keep(account.keys.identity, account.keys.file_key)
    account.keys.pending.unlink(missing_ok=True)
    await _sign_device(account, ours)
    return needed


async def as_others_see_it(ask: Ask, me: UserId, device: str) -> Chain:
    """Which links of the chain from the account's identity to a device hold."""
    return _chain(me, await _keys(ask, me, device))


async def has_recovery(ask: Ask, me: UserId, keys: KeyStore) -> bool:
    """Whether the identity could be restored from the homeserver, by somebody who was shown the recovery key."""
    kept = Identity.kept(keys.identity, keys.file_key)
    if kept is None or not keys.shown.is_file() or keys.shown.read_bytes() != kept.public("master").encode():
        return False
    default = (await _data(ask, me, DEFAULT_KEY)).get("key")
    for usage in USAGES:
        sealed = (await _data(ask, me, f"m.cross_signing.{usage}")).get("encrypted")
        if not (isinstance(sealed, Mapping) and isinstance(default, str) and default in sealed):
            return False
    return True


async def new_recovery(account: Account) -> str:
    """Put the identity into secret storage, encrypted with a new key; that is returned, and kept nowhere.

    Call `note_recovery` when somebody has it: until then `has_recovery` says no, since a kill may have swallowed it.
    """
    kept = Identity.kept(account.keys.identity, account.keys.file_key)
    if kept is None:
        raise IdentityError("There is no identity yet. Log the bot in first: `breakout-bot login`.")
    account.keys.shown.unlink(missing_ok=True)
    key, name = secret_storage.new_key(), secrets.token_hex(16)
    await _put_data(account, f"m.secret_storage.key.{name}", secret_storage.description(key))
    for usage in USAGES:
        secret = f"m.cross_signing.{usage}"
        sealed = secret_storage.encrypt(key, secret, secret_storage.to_base64(kept.seed(usage)))
        await _put_data(account, secret, {"encrypted": {name: sealed}})
    await _put_data(account, DEFAULT_KEY, {"key": name})
    return secret_storage.written(key)


def note_recovery(account: Account) -> None:
    """Note that somebody has the recovery key of the identity as it is now."""
    kept = Identity.kept(account.keys.identity, account.keys.file_key)
    if kept is not None:
        account.keys.shown.write_text(kept.public("master"), "utf-8")


def _to_upload(account: Account, published: Mapping[str, Any], *, anew: bool) -> Identity:
    """What is kept already, since people may have verified it or an upload may be under way; else a new one, kept."""
    if anew:
        _settle(account, published)
    for file in () if anew else (account.keys.identity, account.keys.pending):
        if kept := Identity.kept(file, account.keys.file_key):
            return kept
    new = Identity.new()
    new.keep(account.keys.pending, account.keys.file_key)
    return new


def _settle(account: Account, published: Mapping[str, Any]) -> None:
    """An identity that the homeserver took, but whose answer was lost, is ours until another one is taken."""
    with suppress(IdentityError):
        kept = Identity.kept(account.keys.pending, account.keys.file_key)
        if kept is not None and _is(kept, published):
            kept.keep(account.keys.identity, account.keys.file_key)


def _kept(account: Account, published: Mapping[str, Any]) -> Identity | None:
    """The identity that the account has, from the folder."""
    for file in (account.keys.pending, account.keys.identity):
        kept = Identity.kept(file, account.keys.file_key)
        if kept is not None and _is(kept, published):
            return kept
    return None


def _locked_out(account: Account) -> IdentityError:
    here = "another one" if account.keys.identity.exists() else "none"
    return IdentityError(
        f"The account has an identity, and {account.keys.folder} has {here}. Log in with its recovery key "
        f"(`breakout-bot login --recovery-key-file FILE`), or {_ON_PURPOSE}."
    )


async def _by_recovery_key(account: Account, published: Mapping[str, Any], recovery_key: str) -> Identity:
    restored = await _restored(account, secret_storage.read(recovery_key))
    if not _is(restored, published):
        raise IdentityError(
            f"The recovery key opens an identity that the account no longer has. You can {_ON_PURPOSE}."
        )
    account.keys.shown.write_text(restored.public("master"), "utf-8")
    return restored


async def _restored(account: Account, key: bytes) -> Identity:
    default = (await _data(account.ask, account.me, DEFAULT_KEY)).get("key")
    described = await _data(account.ask, account.me, f"m.secret_storage.key.{default}")
    if described.get("algorithm") != secret_storage.ALGORITHM:
        raise secret_storage.SecretError(
            f"The homeserver has nothing that a recovery key opens. You can {_ON_PURPOSE}."
        )
    if not secret_storage.fits(key, described):
        raise secret_storage.SecretError("The recovery key is not the one of this account.")
    sealed = {
        usage: mapping((await _data(account.ask, account.me, f"m.cross_signing.{usage}")).get("encrypted")).get(
            str(default)
        )
        for usage in USAGES
    }
    try:
        return Identity.opened(key, sealed, "m.cross_signing.")
    except (ValueError, secret_storage.SecretError) as error:
        raise secret_storage.SecretError(
            f"The identity that the homeserver keeps for the recovery key is damaged. You can {_ON_PURPOSE}."
        ) from error


def _is(identity: Identity, published: Mapping[str, Any]) -> bool:
    """Whether these are the keys that the account has; the user-signing key is nobody else's business."""
    return all(identity.public(usage) == _public(published.get(usage)) for usage in ("master", "self_signing"))


async def _upload(account: Account, kept: Identity, password: str | None) -> None:
    """Stages of the upload that ask for the password (all but the first on most servers, MSC3967) get it."""
    master = kept.key_object(account.me, "master")
    by_device = {account.me: {f"ed25519:{account.device}": account.sign(master)}}
    body: dict[str, Any] = {"master_key": {**master, "signatures": by_device}}
    body |= {f"{usage}_key": kept.key_object(account.me, usage) for usage in USAGES[1:]}
    await ask_as_owner(account.ask, account.me, path("keys", "device_signing", "upload"), body, password)


async def _sign_device(account: Account, ours: Identity) -> None:
    found = await _keys(account.ask, account.me, account.device)
    device = found.get("device")
    if not isinstance(device, Mapping):
        raise IdentityError("The homeserver does not have the keys of this device (yet).")
    # What the homeserver made up must not become ours by our signature.
    if not has_signed(account.ed25519, account.me, device, account.device):
        raise IdentityError(
            "The homeserver has other keys for this device than its own. Delete session.json in the data folder, and "
            "log in anew (`breakout-bot login`)."
        )
    if _chain(account.me, found).holds:
        return
    plain = {name: value for name, value in device.items() if name not in ("unsigned", "signatures")}
    signed = ours.signed("self_signing", account.me, plain)
    await account.ask("POST", path("keys", "signatures", "upload"), {account.me: {account.device: signed}})
    if not _chain(account.me, await _keys(account.ask, account.me, account.device)).holds:
        raise IdentityError(
            "The homeserver did not take the signature of this device; `breakout-bot check` tells more."
        )


async def _keys(ask: Ask, me: UserId, device: str) -> Mapping[str, Any]:
    """The account's public keys by usage, and a device's."""
    answer = (await ask("POST", path("keys", "query"), {"device_keys": {me: []}})).json
    found = {usage: mapping(answer.get(f"{usage}_keys")).get(me) for usage in USAGES}
    return {**found, "device": mapping(mapping(answer.get("device_keys")).get(me)).get(device)}


def _chain(me: UserId, found: Mapping[str, Any]) -> Chain:
    master, own = _public(found.get("master")), _public(found.get("self_signing"))
    return Chain(
        device=found.get("device") is not None,
        master=master is not None,
        self_signing=master is not None and has_signed(master, me, found.get("self_signing") or {}),
        signed=own is not None and has_signed(own, me, found.get("device") or {}),
    )


def _public(key: Any) -> str | None:
    """The public key in a key object."""
    return next((public for public in mapping(mapping(key).get("keys")).values() if isinstance(public, str)), None)


async def _data(ask: Ask, me: UserId, type_: str) -> Mapping[str, Any]:
    try:
        found = (await ask("GET", path("user", me, "account_data", type_))).json
    except Permanent as refused:
        if refused.status != 404:  # noqa: PLR2004
            raise
        return {}
    return mapping(found)


async def _put_data(account: Account, type_: str, content: Mapping[str, Any]) -> None:
    await account.ask("PUT", path("user", account.me, "account_data", type_), content)

"""Writes what makes the bot an application service of a Synapse, for which no limits hold."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import yaml
from rich.console import Console

from bot.config import read_config
from bot.credentials import write
from bot.errors import ConfigError
from bot.explained import with_config

TOKEN = "appservice-token"  # noqa: S105 - the name of its file in the data folder


def make_service(path: Path | None, file: Path) -> None:
    """Write the registration to `file` and its token into the data folder, and say what is to be done with them.

    A registration that is there is kept. Raises `ConfigError`, `StoreError`.
    """
    config = read_config(path)
    me, place = config.homeserver.user_id, config.store.path / TOKEN
    found = _read(file, me)
    token = found or secrets.token_urlsafe(48)
    if found is None:
        write(file, yaml.safe_dump(_registration(me, token), sort_keys=False))
    write(place, token)
    said = (
        f"{'Kept' if found else 'Wrote'} {file}. Let Synapse read it, and nobody else; then:\n"
        f"  1. in homeserver.yaml:  app_service_config_files: [{file.absolute()}]\n"
        "  2. restart Synapse\n"
        "  3. in the bot's settings, below homeserver, instead of a password:  "
        f"appservice_token_file: {place.absolute()}\n"
        "  4. `breakout-bot register`"
    )
    Console(highlight=False, soft_wrap=True).print(with_config(said, path), markup=False)


def _registration(me: str, token: str) -> dict[str, object]:
    localpart = me[1:].partition(":")[0]
    return {
        "id": "breakout-bot",
        "url": None,  # it is told nothing: the bot syncs, as for encryption it must
        "as_token": token,
        "hs_token": secrets.token_urlsafe(48),
        "sender_localpart": f"{localpart}-service",
        "rate_limited": False,
        "namespaces": {"users": [{"exclusive": True, "regex": f"^{re.escape(me)}$"}], "aliases": [], "rooms": []},
    }


def _read(file: Path, me: str) -> str | None:
    """The token of a registration of ours; None where the file is not there."""
    if not file.exists():
        return None
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        users = found["namespaces"]["users"]
        if found["id"] == "breakout-bot" and any(re.match(user["regex"], me) for user in users):
            return str(found["as_token"])
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read ({error.strerror}): see to its rights, or name another file."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, re.error):
        pass
    raise ConfigError(f"{file} is there and no registration of {me}: name a file that is not there yet.")

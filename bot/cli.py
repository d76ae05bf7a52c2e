"""The one program: register · login · run · demo · check · config · backup."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from bot.errors import BotError, ConfigError, LoginLost, StoreTooNew

T = TypeVar("T")

app = typer.Typer(
    name="breakout-bot",
    help="Breakout rooms for Matrix: a moderator splits a room into groups and brings everybody back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="The YAML file with the settings; see config.example.yaml.")
]

ADMIN_TOKEN = "BREAKOUT_BOT_ADMIN_TOKEN"  # noqa: S105 - its name only
SHARED_SECRET = "BREAKOUT_BOT_SHARED_SECRET"  # noqa: S105
"""The variables of the environment that may hold them."""

AdminTokenFile = Annotated[
    Path | None,
    typer.Option(help=f"A file with the access token of an admin of the homeserver; or {ADMIN_TOKEN} has it."),
]


@app.command()
def login(
    config: ConfigFile = None,
    recovery_key_file: Annotated[
        Path | None, typer.Option(help="A file with the recovery key, after the data folder was lost.")
    ] = None,
    new_identity: Annotated[
        bool, typer.Option("--new-identity", help="Replace the account's identity: everybody has to verify it again.")
    ] = False,
    new_recovery_key: Annotated[
        bool, typer.Option("--new-recovery-key", help="Make another recovery key; the old one opens nothing any more.")
    ] = False,
    remove_old_devices: Annotated[
        bool,
        typer.Option("--remove-old-devices", help="Sign out the account's other devices that bear the bot's name."),
    ] = False,
) -> None:
    """Log in, have other people's apps trust the bot's device, and show the recovery key."""
    from bot.login import Wishes
    from bot.login import login as log_in

    _run(log_in(config, Wishes(recovery_key_file, new_identity, new_recovery_key, remove_old_devices)), config)


@app.command()
def register(
    config: ConfigFile = None,
    shared_secret_file: Annotated[
        Path | None,
        typer.Option(help=f"A file with registration_shared_secret of Synapse; or {SHARED_SECRET} has it."),
    ] = None,
    admin_token_file: AdminTokenFile = None,
    display_name: Annotated[str, typer.Option(help="The bot's name, where it has none.")] = "Breakout rooms",
    appservice: Annotated[
        Path | None,
        typer.Option(help="Write a registration for Synapse to this file, by which no limits hold; do nothing else."),
    ] = None,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Set a new password of an account that exists, as an admin.")
    ] = False,
    show_password: Annotated[
        bool, typer.Option("--show-password", help="Show the random password of a new account.")
    ] = False,
) -> None:
    """Make the bot's account on a Synapse of which you are an admin, and log it in."""
    from bot.appservice import make_service
    from bot.config import read_config
    from bot.register import Means
    from bot.register import register as make_account
    from bot.secret import asked, given

    if appservice is not None:
        make_service(config, appservice)
        return
    secret = given("the shared secret", shared_secret_file, SHARED_SECRET)
    token = given("the admin's access token", admin_token_file, ADMIN_TOKEN)
    if secret is None and token is None and read_config(config).homeserver.appservice_token is None:
        secret = asked("registration_shared_secret of homeserver.yaml (empty: the account exists)")
    _run(make_account(config, Means(secret, token, display_name, new_password, show_password)), config)


@app.command()
def run(config: ConfigFile = None) -> None:
    """Run the bot until it is stopped (Ctrl-C, or SIGTERM)."""
    from bot.run import run as run_bot

    _run(run_bot(config), config)


@app.command()
def check(
    config: ConfigFile = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For machines: a list of objects with name, ok, message and remedy.")
    ] = False,
    admin_token_file: AdminTokenFile = None,
) -> None:
    """Tell what is missing before the first session, and how to mend it."""
    from bot.check import check as run_checks
    from bot.secret import given

    token = given("the admin's access token", admin_token_file, ADMIN_TOKEN)
    if not _run(run_checks(config, as_json=as_json, admin_token=token), config):
        raise typer.Exit(1)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it; a file that is there is replaced.")],
    config: ConfigFile = None,
) -> None:
    """Copy what only the bot knows to a file, also while it runs; docs/backup.md says how to put it back."""
    from bot.config import read_config
    from bot.store.backup import back_up
    from bot.store.database import FILE

    back_up(read_config(config).store.path / FILE, file)
    typer.echo(f"Written: {file}. The recovery key is not in it; keep that too.")


@app.command(name="config")
def show_config(config: ConfigFile = None) -> None:
    """Print the settings in force, secrets hidden."""
    from bot.config import as_yaml, read_config
    from bot.loader import load

    found = read_config(config)
    typer.echo(as_yaml(found, {loaded.name: loaded.config for loaded in load(found.plugins)}), nl=False)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def demo(context: typer.Context) -> None:
    """Play a whole session on a homeserver of its own, and verify it (`demo --help` tells more)."""
    from bot.loader import demo_of

    raise typer.Exit(demo_of("breakout")(context.args))


def _run(command: Coroutine[Any, Any, T], config: Path | None) -> T:
    """Carry a command out; the commands that its failure advises name the settings file that was given."""
    from bot.explained import with_config

    try:
        return asyncio.run(command)
    except BotError as error:
        error.args = (with_config(str(error), config),)
        raise
    except OSError as error:
        where = f"{error.filename} cannot be read or written" if error.filename else "The system refuses"
        raise BotError(f"{where} ({error.strerror or error}): see to free space there, and to its rights.") from error


def main(args: list[str] | None = None) -> None:
    """The entry point: a known failure is one sentence and no traceback.

    The exit code is 1, or 78 (EX_CONFIG) where starting again helps only after somebody has mended something.
    """
    try:
        app(args)
    except BotError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the last word of a program that cannot go on
        sys.exit(os.EX_CONFIG if _is_for_good(error) else 1)


def _is_for_good(error: BotError) -> bool:
    """Whether starting again helps only after somebody has mended settings, login, version or rights."""
    behind = error.__context__
    is_shut = isinstance(behind, OSError) and behind.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return is_shut or isinstance(error, ConfigError | LoginLost | StoreTooNew)

"""Takes a secret from a file, the environment or a question: never from the command line, which others can read."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from bot.errors import ConfigError


def given(what: str, file: Path | None, variable: str) -> str | None:
    """The secret without the white space around it; None where nobody gave one. Raises `ConfigError`."""
    if file is None:
        return os.environ.get(variable, "").strip() or None
    try:
        found = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read ({error.strerror}): name the file that holds {what}, and see to its rights."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is no text: it must hold {what}, and nothing else.") from None
    if not found or any(letter.isspace() for letter in found):
        raise ConfigError(f"{file} must hold {what} in one line, and nothing else.")
    return found


def asked(question: str) -> str | None:
    """The secret that somebody types, unseen; None where nobody is there or nothing was typed."""
    if not sys.stdin.isatty():
        return None
    return getpass.getpass(f"{question}: ").strip() or None

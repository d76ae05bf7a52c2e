"""Says in plain words what is wrong with a setting: its path, what was expected, and what stands there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

SECRETS = ("password", "access_token", "appservice_token")

_EXAMPLES = {
    "homeserver": "`homeserver:`, and below it, indented, `url:`, `user_id:` and `password_file:`",
    "url": "`url: https://matrix.example.org`",
    "user_id": '`user_id: "@breakout:example.org"`',
    "allowed_inviters": '`allowed_inviters: ["@*:example.org"]`',
    "names": "`names: [breakout, bo]`",
    "warnings": "`warnings: [5m, 1m]`",
    "plugins": "`plugins:`, and below it, indented, `breakout:` with its own settings",
}
"""What is right, by the name of a setting."""

_ADDRESS = "must be a whole address, from http to the port if there is one"
_LENGTH = "must be a length of time such as 90s, 5m or 14 days"
_GROUP = "must be a group of settings: lines below it, indented, each with a name and a colon"
_LIST = "must be a list, in square brackets"
_TEXT = "must be text, in quotes"

_SAID: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "must be given",
    "extra_forbidden": lambda _: "there is no such setting; docs/configure.md lists those that there are",
    "url_parsing": lambda _: _ADDRESS,
    "url_scheme": lambda _: _ADDRESS,
    "url_type": lambda _: _ADDRESS,
    "url_syntax_violation": lambda _: _ADDRESS,
    "model_type": lambda _: _GROUP,
    "dict_type": lambda _: _GROUP,
    "tuple_type": lambda _: _LIST,
    "list_type": lambda _: _LIST,
    "string_type": lambda _: _TEXT,
    "path_type": lambda _: "must be the path of a file or folder",
    "int_parsing": lambda _: "must be a whole number",
    "int_type": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "bool_parsing": lambda _: "must be true or false",
    "bool_type": lambda _: "must be true or false",
    "time_delta_type": lambda _: _LENGTH,
    "time_delta_parsing": lambda _: _LENGTH,
    "literal_error": lambda about: "must be " + about["expected"].replace("'", ""),
    "enum": lambda about: "must be " + about["expected"].replace("'", ""),
    "greater_than_equal": lambda about: f"must be at least {about['ge']}",
    "greater_than": lambda about: f"must be more than {about['gt']}",
    "less_than_equal": lambda about: f"must be at most {about['le']}",
    "less_than": lambda about: f"must be less than {about['lt']}",
    "string_too_short": lambda about: (
        "must not be empty" if about["min_length"] == 1 else f"must have at least {about['min_length']} characters"
    ),
    "string_too_long": lambda about: f"must have at most {about['max_length']} characters",
    "too_short": lambda _: "must not be empty",
}
"""By the kind of pydantic's fault; what is not here says its own words."""


def explain(error: ValidationError, below: str = "") -> str:
    """One line for each wrong value; what was given is repeated where that is no secret."""
    lines = []
    for fault in error.errors(include_url=False):
        path = ".".join([*([below] if below else []), *(str(part) for part in fault["loc"])]) or "(top level)"
        lines.append(f"{path}: {_said(fault)}")
    return "\n".join(lines)


def _said(fault: Any) -> str:
    kind, given = fault["type"], fault.get("input")
    about = fault.get("ctx") or {}
    said = _SAID[kind](about) if kind in _SAID else str(fault["msg"]).removeprefix("Value error, ")
    last = next((part for part in reversed(fault["loc"]) if isinstance(part, str)), "")
    if kind not in {"value_error", "extra_forbidden"} and last in _EXAMPLES:
        said += f", for example {_EXAMPLES[last]}"
    tells = kind in ("missing", "extra_forbidden") or isinstance(given, dict) or any(name in last for name in SECRETS)
    if tells or repr(given) in said or str(given) in said.split():
        return said
    return f"{said} (it is {_shown(given)})"


def _shown(given: Any) -> str:
    """A value as it stands in YAML."""
    return "empty" if given is None or given == "" else repr(given)

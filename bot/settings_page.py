"""Writes `docs/configure.md` from the settings' own declarations: `python -m bot.settings_page`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bot.config import Config
from bot.loader import load_one

PAGE = Path(__file__).parent.parent / "docs" / "configure.md"

_HEAD = """# Configure

Settings come from one YAML file (`--config`), and each of them also from the environment, which wins:
`homeserver.url` is `BREAKOUT_BOT_HOMESERVER__URL`, `plugins.breakout.mode` is
`BREAKOUT_BOT_PLUGINS__BREAKOUT__MODE`. A secret can stand in a file of its own (`homeserver.password_file`).

A wrong or unknown setting is refused at the start with its path and what was expected.
`breakout-bot config --config FILE` (typed as [troubleshooting.md](troubleshooting.md) says) prints what is in force,
secrets hidden. Lengths of time are written as `90s`, `5m`, `1h30m`, `14 days`, or as a number of seconds; in the
environment, lists are JSON: `'["@*:example.org"]'`.

This page is made by `python -m bot.settings_page`.
"""


def page(plugins: Mapping[str, type[BaseModel]]) -> str:
    """The whole page."""
    parts = [_HEAD]
    for name, field in Config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            parts.append(_section(name, model))
    parts += [_section(f"plugins.{name}", model) for name, model in plugins.items()]
    return "\n".join(parts)


def _section(path: str, model: type[BaseModel]) -> str:
    lines = [
        f"## {path}",
        "",
        (model.__doc__ or "").strip(),
        "",
        "| setting | default | what it does |",
        "|---|---|---|",
    ]
    lines += list(_rows(path, model))
    return "\n".join(lines) + "\n"


def _rows(path: str, model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        said = (field.description or "").replace("|", "\\|")
        yield f"| `{path}.{name}` | {_default(field)} | {said} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default()
    return "none" if value is None else f"`{json.dumps(_plain(value), ensure_ascii=False)}`"


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.0f}s"
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def main() -> None:
    """Write the page."""
    PAGE.write_text(page({"breakout": load_one("breakout", {}).plugin.config}), encoding="utf-8")


if __name__ == "__main__":
    main()

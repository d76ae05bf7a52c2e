"""Finds, checks and starts plugins; a broken one is only itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bot.errors import ConfigError
from bot.plugin import Plugin, PluginConfig
from bot.wrong_settings import explain


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin with its settings, not yet started."""

    plugin: Plugin[Any]
    config: PluginConfig

    @property
    def name(self) -> str:
        """The plugin's name, which owns its rows in the store."""
        return self.plugin.name

    @property
    def synonyms(self) -> Mapping[str, str]:
        """Other first words, each with the declared one that it stands for."""
        return self.plugin.names(self.config) if self.plugin.names else {}

    @property
    def needs_admin(self) -> str:
        """The setting for which the bot's account must be an admin of the homeserver; "" for none."""
        setting = self.plugin.needs_admin(self.config) if self.plugin.needs_admin else ""
        return setting and f"plugins.{self.name}.{setting}"


def load(plugins: Mapping[str, dict[str, Any] | None]) -> tuple[Loaded, ...]:
    """Load each plugin that the settings name; `ConfigError` with the path of each wrong setting."""
    loaded, faults = [], []
    for name, values in plugins.items():
        try:
            loaded.append(load_one(name, values or {}))
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
    return tuple(loaded)


def owners(loaded: Iterable[Loaded]) -> tuple[tuple[str, str], ...]:
    """Who has tables in the store, each with the package of their migrations."""
    plugins = ((each.name, each.plugin.migrations) for each in loaded)
    return (("bot", "bot.store.migrations"), *((name, package) for name, package in plugins if package))


def load_one(name: str, values: Mapping[str, Any]) -> Loaded:
    """Import `plugins.<name>` (or its `plugin` module) and check its settings."""
    plugin = _find(name)
    try:
        return Loaded(plugin, plugin.config.model_validate(dict(values)))
    except ValidationError as error:
        raise ConfigError(explain(error, f"plugins.{name}")) from None


def _find(name: str) -> Plugin[Any]:
    if not name.isidentifier():
        raise ConfigError(f"plugins.{name}: a plugin's name is one word, such as breakout")
    for module in (f"plugins.{name}.plugin", f"plugins.{name}"):
        try:
            found = getattr(importlib.import_module(module), "plugin", None)
        except ModuleNotFoundError as error:
            if error.name and module.startswith(error.name):
                continue
            raise
        if isinstance(found, Plugin):
            return found
    raise ConfigError(f"plugins.{name}: there is no such plugin")


def demo_of(name: str) -> Callable[[list[str]], int]:
    """The demo that the plugin `name` brings along: takes the command line's arguments, returns the exit code."""
    module = importlib.import_module(f"plugins.{name}.demo")
    run: Callable[[list[str]], int] = module.run
    return run

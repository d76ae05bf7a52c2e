"""Settings: from the file, the environment and secret files; what is wrong is named with its path."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bot.config import as_yaml, read_config
from bot.errors import ConfigError
from bot.loader import load, load_one
from bot.settings_page import PAGE, page

EXAMPLE = Path(__file__).parent.parent.parent / "config.example.yaml"
EDITED = {"url": "http://localhost:8008", "user_id": "@bot:localhost", "password": "secret"}


def test_the_example_is_refused_until_it_is_edited() -> None:
    with pytest.raises(ConfigError) as refused:
        read_config(EXAMPLE)
    for path in ("homeserver.url", "homeserver.user_id"):
        assert path in str(refused.value)


def test_the_example_names_each_setting_with_its_default() -> None:
    values = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    given = load_one("breakout", values["plugins"]["breakout"])
    assert set(values["plugins"]["breakout"]) == set(type(given.config).model_fields)
    assert given.config == load_one("breakout", {}).config


def test_the_example_once_edited_is_taken() -> None:
    config = read_config(EXAMPLE, homeserver=EDITED)
    assert config.homeserver.user_id == "@bot:localhost"
    assert [loaded.name for loaded in load(config.plugins)] == ["breakout"]


def test_a_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKOUT_BOT_PLUGINS__BREAKOUT__MODE", "choose")
    monkeypatch.setenv("BREAKOUT_BOT_LOGS__LEVEL", "ERROR")
    config = read_config(EXAMPLE, homeserver=EDITED)
    assert config.logs.level == "ERROR"
    assert (config.plugins["breakout"] or {})["mode"] == "choose"


def test_a_secret_file_ends_with_a_newline_that_is_no_part_of_it(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("from a file\n", encoding="utf-8")
    config = read_config(None, homeserver={**EDITED, "password": None, "password_file": str(secret)})
    assert config.homeserver.password is not None
    assert config.homeserver.password.get_secret_value() == "from a file"


def test_an_empty_secret_file_holds_none_as_where_the_service_manager_was_given_none(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("\n", encoding="utf-8")
    config = read_config(None, homeserver={**EDITED, "password": None, "password_file": str(secret)})
    assert config.homeserver.password is None


def test_secrets_are_hidden_where_settings_are_shown() -> None:
    config = read_config(None, homeserver=EDITED)
    shown = as_yaml(config, {loaded.name: loaded.config for loaded in load(config.plugins)})
    assert "secret" not in shown
    assert "max_rooms: 20" in shown


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"homeserver": {**EDITED, "url": "no address"}}, "homeserver.url"),
        ({"homeserver": {**EDITED, "colour": "red"}}, "homeserver.colour: there is no such setting"),
        ({"homeserver": EDITED, "logs": {"level": "LOUD"}}, "logs.level"),
        ({"homeserver": EDITED, "metrics": {"listen": "9469"}}, "metrics.listen: expected an address and a port"),
        ({"homeserver": EDITED, "metrics": {"listen": "localhost:99999"}}, "metrics.listen"),
    ],
)
def test_a_wrong_setting_is_named_with_its_path(values: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_config(None, **values)
    assert path in str(refused.value)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"mode": "random"}, "plugins.breakout.mode"),
        ({"max_rooms": 101}, "plugins.breakout.max_rooms"),
        ({"closing_notice": "soon"}, "plugins.breakout.closing_notice"),
        ({"timezone": "Moon/Crater"}, "plugins.breakout.timezone"),
        ({"colour": "red"}, "plugins.breakout.colour"),
    ],
)
def test_a_wrong_setting_of_a_plugin_is_named_with_its_path(values: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_one("breakout", values)
    assert path in str(refused.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "homeserver: must be given, for example `homeserver:`, and below it"),
        ({"homeserver": {**EDITED, "url": "matrix.example.org"}}, "must be a whole address, from http to the port"),
        ({"homeserver": {**EDITED, "url": "https://hs.example/_matrix/client"}}, "must end before /_matrix"),
        ({"homeserver": {**EDITED, "user_id": "bot"}}, 'must be a full user id, such as "@breakout:example.org"'),
        ({"homeserver": EDITED, "logs": {"level": "LOUD"}}, "must be DEBUG, INFO, WARNING or ERROR (it is 'LOUD')"),
        ({"homeserver": EDITED, "access": {"allowed_inviters": "@a:b"}}, "must be a list, in square brackets"),
        ({"homeserver": EDITED, "plugins": []}, "must be a group of settings"),
        ({"homeserver": {**EDITED, "password": 1234}}, "must be text, in quotes"),
    ],
)
def test_a_wrong_setting_is_explained_in_plain_words(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_config(None, **values)
    assert said in str(refused.value)
    assert "1234" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_rooms": "many"}, "must be a whole number (it is 'many')"),
        ({"max_rooms": 101}, "must be at most 100 (it is 101)"),
        ({"closing_notice": None}, "must be a length of time such as 90s, 5m or 14 days (it is empty)"),
        ({"names": []}, "must not be empty, for example `names: [breakout, bo]`"),
    ],
)
def test_a_wrong_setting_of_a_plugin_is_explained_in_plain_words(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_one("breakout", values)
    assert said in str(refused.value)


def test_the_examples_value_is_said_once() -> None:
    with pytest.raises(ConfigError) as refused:
        read_config(EXAMPLE)
    assert all(line.count("example.org") == 1 for line in str(refused.value).splitlines() if "example.org" in line)


def test_a_list_in_the_environment_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKOUT_BOT_ACCESS__ALLOWED_INVITERS", "@a:b")
    with pytest.raises(ConfigError, match="written as JSON there"):
        read_config(None, homeserver=EDITED)


@pytest.mark.parametrize("text", ["- a\n- b\n", "hello", "homeserver: [", "\x00"])
def test_a_file_of_another_form_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"has no settings of the form|is no valid YAML"):
        read_config(file)


def test_a_plugin_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"plugins\.nothing"):
        load({"nothing": None})


def test_the_page_of_the_settings_is_the_newest() -> None:
    written = page({"breakout": load_one("breakout", {}).plugin.config})
    assert PAGE.read_text(encoding="utf-8") == written, "write it anew: python -m bot.settings_page"


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:9469", ("127.0.0.1", 9469)),
        ("[::1]:9469", ("::1", 9469)),
        ("localhost:0", ("localhost", 0)),
        (None, None),
    ],
)
def test_where_metrics_are_served_is_an_address_and_a_port(listen: str | None, address: object) -> None:
    assert read_config(None, homeserver=EDITED, metrics={"listen": listen}).metrics.address == address

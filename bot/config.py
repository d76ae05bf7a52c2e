"""Typed settings from one YAML file, the environment and secret files; unknown and never-edited values are refused."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from bot.errors import ConfigError
from bot.matrix.ids import server_of, user_id
from bot.wrong_settings import SECRETS, explain

NEVER_EDITED = ("change-me", "@breakout:example.org", "https://matrix.example.org")
"""The placeholders of `config.example.yaml`: a bot started with one of them was not configured."""

_LAST_PORT = 65535


def _edited(value: str) -> str:
    if value in NEVER_EDITED:
        raise ValueError(f"{value!r} is the example's value; put your own here")
    return value


def _user(value: str) -> str:
    try:
        return user_id(value)
    except ValueError:
        raise ValueError('must be a full user id, such as "@breakout:example.org" (in quotes)') from None


def _secret_of(secret: str, file: Path) -> str | None:
    """The secret in a file; None where it is empty, as a secret is that went after the first login."""
    try:
        found = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(
            f"{secret}_file {file} cannot be read ({error.strerror}): see to the path, and to the right to read"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{secret}_file {file} is no text file: it must hold the {secret} and nothing else") from error
    return found or None


class Part(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HomeserverConfig(Part):
    """The account that the bot uses."""

    url: HttpUrl = Field(description="The homeserver's client address, as clients use it.")
    user_id: Annotated[str, AfterValidator(_edited), AfterValidator(_user)] = Field(
        description="The bot's full user id."
    )
    password: SecretStr | None = Field(
        None,
        description="The account's password; needed for the first start only, when no access token is given.",
    )
    access_token: SecretStr | None = Field(None, description="An access token instead of the password.")
    password_file: Path | None = Field(None, description="A file that holds the password.")
    access_token_file: Path | None = Field(None, description="A file that holds the access token.")
    appservice_token: SecretStr | None = Field(
        None, description="The as_token of an application service that has the bot, for which no limits hold."
    )
    appservice_token_file: Path | None = Field(
        None, description="A file that holds it, as `register --appservice` writes it."
    )
    device_name: str = Field("Breakout rooms", description="The name of the bot's session among its devices.")

    @field_validator("url", mode="before")
    @classmethod
    def _url_is_edited(cls, value: object) -> object:
        if isinstance(value, str) and "/_matrix" in value:
            raise ValueError(f"must end before /_matrix, for example `url: {value.partition('/_matrix')[0]}`")
        return _edited(value) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, values: Any) -> Any:
        """Take each secret from its file, where one is named, without the newline at its end; an empty one has none."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for secret in SECRETS:
            if (name := values.get(f"{secret}_file")) and not values.get(secret):
                values[secret] = _secret_of(secret, Path(name))
        return values

    @field_validator(*SECRETS)
    @classmethod
    def _secret_is_edited(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _edited(value.get_secret_value())
        return value


class StoreConfig(Part):
    """Where the bot remembers."""

    path: Path = Field(Path("data"), description="The data folder; made when missing, used by one process at a time.")


class AccessConfig(Part):
    """Who may use the bot."""

    allowed_inviters: tuple[str, ...] = Field(
        (),
        description="Patterns of user ids who may invite the bot into a room (`@*:example.org`). "
        "Empty: everybody of the bot's own server.",
    )

    def may_invite(self, inviter: str, me: str) -> bool:
        """Whether the bot `me` follows an invite of `inviter`."""
        patterns = self.allowed_inviters or (f"@*:{server_of(me)}",)
        return any(fnmatch.fnmatchcase(inviter, pattern) for pattern in patterns)


class CommandsConfig(Part):
    """How commands are told from talk."""

    prefix: str = Field("!", min_length=1, max_length=3, description="The sign before each command, as in `!breakout`.")


class LogsConfig(Part):
    """What is logged; never what people write."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The least level that is logged.")
    format: Literal["text", "json"] = Field("text", description="One line of text or of JSON an event.")


class MetricsConfig(Part):
    """Where health and metrics are served; anybody who reaches the address may read them."""

    listen: str | None = Field(
        None,
        description="An address and a port, such as `127.0.0.1:9469`, for `/metrics`, `/health/live` and "
        "`/health/ready` ([metrics.md](metrics.md)). Empty: nowhere.",
    )

    @field_validator("listen")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None:
            _address(value)
        return value

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of `listen`."""
        return None if self.listen is None else _address(self.listen)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= _LAST_PORT:
        raise ValueError("expected an address and a port, such as 127.0.0.1:9469")
    return host.removeprefix("[").removesuffix("]"), int(port)


class Config(BaseSettings):
    """All settings. In the environment a path is written as `BREAKOUT_BOT_HOMESERVER__URL`."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="BREAKOUT_BOT_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )
    file: ClassVar[Path | None] = None

    homeserver: HomeserverConfig
    store: StoreConfig = StoreConfig()
    access: AccessConfig = AccessConfig()
    commands: CommandsConfig = CommandsConfig()
    logs: LogsConfig = LogsConfig()
    metrics: MetricsConfig = MetricsConfig()
    plugins: dict[str, dict[str, Any] | None] = Field(
        default={"breakout": None}, description="The plugins to load, each with its own settings."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library names the parameters
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code comes first, then the environment, then the file."""
        sources = (init_settings, env_settings)
        if cls.file is None:
            return sources
        return (*sources, YamlConfigSettingsSource(settings_cls, yaml_file=cls.file))


def read_config(path: Path | None, **given: Any) -> Config:
    """The settings in force, or `ConfigError` with one line for each wrong value: its path and what was expected."""
    if path is not None and not path.is_file():
        raise ConfigError(f"There is no configuration file {path}. Copy config.example.yaml there and edit it.")
    reading = type("Config", (Config,), {"file": path, "__doc__": Config.__doc__})
    try:
        config: Config = reading(**given)
    except ValidationError as error:
        raise ConfigError(explain(error)) from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" near line {where.line + 1}" if where else ""
        raise ConfigError(f"{path} is no valid YAML{line}: look for a missing quote, colon or space there.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): give the bot's user the right to.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text in UTF-8: write it anew from config.example.yaml.") from None
    except SettingsError:
        raise ConfigError(
            "A setting in the environment is not of the right form: lists and groups are written as JSON there, for "
            """example BREAKOUT_BOT_ACCESS__ALLOWED_INVITERS='["@*:example.org"]'."""
        ) from None
    except (ValueError, TypeError):  # of the file's own source
        raise ConfigError(f"{path or 'The environment'} has no settings of the form `name: value`.") from None
    return config


def as_yaml(config: Config, plugins: Mapping[str, BaseModel]) -> str:
    """The settings in force as YAML, each with its default filled in, secrets as asterisks."""
    values = config.model_dump(mode="json", exclude={"plugins"})
    values["plugins"] = {name: settings.model_dump(mode="json") for name, settings in plugins.items()}
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return text

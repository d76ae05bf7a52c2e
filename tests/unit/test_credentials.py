"""Without a kept login and without a secret there is nothing to log in with, and the sentence says what to give."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import HomeserverConfig
from bot.credentials import Credentials, credentials
from bot.errors import ConfigError

ME = "@bot:example.com"


async def test_the_first_login_needs_a_secret(tmp_path: Path) -> None:
    config = HomeserverConfig.model_validate({"url": "https://example.com", "user_id": ME})
    with pytest.raises(ConfigError, match="password_file"):
        await credentials(config, tmp_path)


async def test_after_it_the_password_can_go(tmp_path: Path) -> None:
    config = HomeserverConfig.model_validate({"url": "https://example.com", "user_id": ME})
    (tmp_path / "session.json").write_text(f'{{"user_id": "{ME}", "device_id": "D", "access_token": "t"}}')
    assert await credentials(config, tmp_path) == Credentials(ME, "D", "t")

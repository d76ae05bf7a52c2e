"""What is said again of a message, and what must not leave an encrypted room with it."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.breakout.relaying import Copy, to_relay

KEY = {"url": "mxc://here/1", "key": {"k": "secret"}, "iv": "x", "hashes": {}}


@pytest.mark.parametrize(
    "content",
    [
        {"msgtype": "m.image", "body": "a", "file": KEY},
        {"msgtype": "m.image", "body": "a", "url": "mxc://here/2", "info": {"thumbnail_file": KEY}},
        {"msgtype": "dm.filament.gallery", "body": "a", "itemtypes": [{"itemtype": "m.image", "file": KEY}]},
    ],
)
def test_a_key_is_noticed_wherever_it_stands(content: dict[str, Any]) -> None:
    copy = to_relay({"type": "m.room.message", "sender": "@mia:here", "content": content})
    assert isinstance(copy, Copy)
    assert copy.is_encrypted_file


def test_a_file_without_a_key_goes_anywhere() -> None:
    content = {"msgtype": "m.image", "body": "a", "url": "mxc://here/2", "info": {"w": 2, "key": "value"}}
    copy = to_relay({"type": "m.room.message", "sender": "@mia:here", "content": content})
    assert isinstance(copy, Copy)
    assert not copy.is_encrypted_file

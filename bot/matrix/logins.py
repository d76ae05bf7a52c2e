"""Opens an account by its password, and asks whose an access token is."""

from __future__ import annotations

from bot.errors import LoginLost, Permanent
from bot.matrix.http import asking, path


async def login_password(
    url: str, user_id: str, password: str, device_name: str, device: str | None = None
) -> tuple[str, str]:
    """Log in, on a new device unless `device` is one; its id and the access token. Raises `Permanent`, `Temporary`."""
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user_id},
        "password": password,
        "initial_device_display_name": device_name,
        **({} if device is None else {"device_id": device}),
    }
    async with asking(url) as ask:
        try:
            answer = await ask("POST", path("login"), body)
        except LoginLost as lost:
            raise Permanent(403, "M_USER_DEACTIVATED", str(lost)) from lost
    return answer.text("device_id"), answer.text("access_token")


async def login_as_service(url: str, user_id: str, token: str, device_name: str, device: str) -> tuple[str, str]:
    """The same by the token of an application service that has the user."""
    body = {
        "type": "m.login.application_service",
        "identifier": {"type": "m.id.user", "user": user_id},
        "initial_device_display_name": device_name,
        "device_id": device,
    }
    async with asking(url, token) as ask:
        answer = await ask("POST", path("login"), body)
    return answer.text("device_id"), answer.text("access_token")


async def whoami(url: str, token: str) -> tuple[str, str]:
    """The user id and the device id ("" for none) behind an access token. Raises `Permanent` or `Temporary`."""
    async with asking(url, token) as ask:
        try:
            answer = await ask("GET", path("account", "whoami"))
        except LoginLost as lost:
            raise Permanent(401, "M_UNKNOWN_TOKEN", str(lost)) from lost
    return answer.text("user_id"), str(answer.json.get("device_id") or "")

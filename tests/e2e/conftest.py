"""The fixtures of a real homeserver for the tests of this folder."""

from bot.testing.pytest_plugin import homeserver, people, pytest_collection_modifyitems, stock_homeserver

__all__ = ["homeserver", "people", "pytest_collection_modifyitems", "stock_homeserver"]

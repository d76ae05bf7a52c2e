"""Kills the bot at every boundary of a session, and looks at the homeserver afterwards."""

"""The same laws for the homeserver in memory and for the real one."""

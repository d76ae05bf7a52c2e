"""On the fake homeserver: every boundary of a session, and every way to be hit there."""

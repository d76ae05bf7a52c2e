"""Every moment at which a session can be hit, and every way: after each the world must be as if nothing had been."""

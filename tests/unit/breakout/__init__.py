"""The rules of breakout rooms, one by one."""

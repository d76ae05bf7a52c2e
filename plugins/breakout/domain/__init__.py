"""The rules of breakout rooms: pure functions of values, standard library only."""

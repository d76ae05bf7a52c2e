"""Breakout rooms: a main room is split into breakout rooms and brought back together."""

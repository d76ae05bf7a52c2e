"""Restarts, faults and real rooms, against a homeserver of our own."""

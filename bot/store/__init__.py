"""What is remembered: one SQLite file, one writer."""

"""Each command and each event as one pure function: a session in, a `Change` out, a `Refusal` raised."""

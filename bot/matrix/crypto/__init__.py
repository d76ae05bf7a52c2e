"""End-to-end encryption: one device, its keys, and who gets the keys of which room."""

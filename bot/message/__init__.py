"""What is said, as values, and the one renderer."""

"""What holds for everything that can be made up."""

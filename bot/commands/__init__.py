"""From a typed line to a permitted call, and the help that comes from the same declarations."""

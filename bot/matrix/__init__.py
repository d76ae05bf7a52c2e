"""Everything that touches Matrix: identifiers, events, ports, and the only code that knows nio."""

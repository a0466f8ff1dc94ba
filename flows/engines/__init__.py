"""Which engine runs each model on this machine: tried once, kept, and given up where it fails."""

"""Records folded into the state, snapshots of it, and look-ups of what was forgotten."""

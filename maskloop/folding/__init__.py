"""Records folded into the state: a reducer for each kind, snapshots, look-ups of what was forgotten."""

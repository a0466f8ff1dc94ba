"""What each kind of record does to the state, and the state while it is being folded."""

"""What is due, and why: pure functions of the state."""

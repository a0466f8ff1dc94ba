"""The state of the loop, folded from the records."""

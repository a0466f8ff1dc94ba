"""What one picture, and what the model said about it, look like in a few comparable numbers: one table."""

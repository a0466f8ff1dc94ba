"""A search over training settings: its space, its trials, and what they are compared by."""

"""A search over training settings: what it begins with, how far it is, what it found."""

"""One feature of a window against the baseline: tests, corrections for many of them, causes in words."""

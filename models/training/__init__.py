"""One training run, from a request to a saved candidate."""
